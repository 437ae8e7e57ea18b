//! Tables on the host's heap, for tests and measurements.

use crate::batch::MESSAGES;
use crate::carve::{Block, Index};
use crate::events::Event;
use crate::layout::Sizes;
use crate::lease::{Lease, Leases};
use crate::ledger::{Ledger, Parts};
use crate::operation::Operation;
use crate::send::{Iovec, Mmsghdr, Send};
use crate::seq::Counting;
use crate::socket::Socket;

/// Zero-filled tables of the given sizes.
#[derive(Debug)]
pub struct Store {
    sizes: Sizes,
    leases: Vec<Lease>,
    blocks: Vec<Block>,
    index: Box<Index>,
    sockets: Vec<Socket>,
    sends: Vec<Send>,
    events: Vec<Event>,
    reaped: Vec<Event>,
    windows: Vec<u32>,
    batch: Vec<Mmsghdr>,
    operations: Vec<Operation>,
    staging: Vec<Iovec>,
}

/// Where the send records are said to start.
pub const SENDS_AT: u32 = 4096;
/// Where the batch is said to start.
pub const BATCH_AT: u32 = 1 << 30;
/// Where the staging is said to start.
pub const STAGING_AT: u32 = 1 << 31;

impl Store {
    /// Allocates them.
    pub fn new(sizes: Sizes) -> Self {
        assert!(sizes.valid(), "{sizes:?}");
        Store {
            sizes,
            leases: vec![Lease::default(); sizes.leases as usize],
            blocks: vec![Block::default(); sizes.blocks() as usize],
            index: Box::new(Index::EMPTY),
            sockets: vec![Socket::default(); sizes.sockets as usize],
            sends: vec![Send::default(); sizes.sends as usize],
            events: vec![Event::default(); sizes.events() as usize],
            reaped: vec![Event::default(); sizes.reaped() as usize],
            windows: vec![0; (sizes.sockets * sizes.window) as usize],
            batch: vec![Mmsghdr::default(); MESSAGES as usize],
            operations: vec![Operation::default(); sizes.operations() as usize],
            staging: vec![Iovec::default(); sizes.staging() as usize],
        }
    }

    /// A ledger over them. To be called once.
    pub fn ledger<C: Counting>(&mut self, piece: u32) -> Ledger<'_, C> {
        Ledger::new(Parts {
            leases: Leases::new(&mut self.leases, &mut self.blocks, &mut self.index, self.sizes.arena, piece),
            sockets: &mut self.sockets,
            sends: &mut self.sends,
            events: &mut self.events,
            reaped: &mut self.reaped,
            windows: &mut self.windows,
            batch: &mut self.batch,
            operations: &mut self.operations,
            staging: &mut self.staging,
            window: self.sizes.window,
            sends_at: SENDS_AT,
            batch_at: BATCH_AT,
            staging_at: STAGING_AT,
        })
    }
}
