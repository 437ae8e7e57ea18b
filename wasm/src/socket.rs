//! Sockets, as far as the ledger needs them: a queue of sends, and a window of ids that the kernel counts.

use crate::counters::SocketCounters;
use crate::table::Linked;

/// `flags`: the slot is in use.
pub const LIVE: u32 = 1;
/// `flags`: sends are datagrams, accepted whole or not at all.
pub const DATAGRAM: u32 = 2;
/// `flags`: a zero-copy call failed and may have taken an id.
pub const SUSPECT: u32 = 4;

/// A window entry of an id that a failed send took. Other entries: 0 resolved, else the owner's slot plus one.
pub const TAKEN: u32 = u32::MAX;

/// One socket. The offset of `counters` is part of the interface.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Socket {
    /// Which use of the slot this is.
    pub generation: u32,
    /// `LIVE`, `DATAGRAM`, `SUSPECT`.
    pub flags: u32,
    /// The id the kernel gives to the next zero-copy send.
    pub next: u32,
    /// The oldest id that is not resolved; equal to `next` when none is outstanding.
    pub oldest: u32,
    /// Ids outstanding.
    pub outstanding: u32,
    /// First send of the queue, plus one.
    pub head: u32,
    /// Last send of the queue, plus one.
    pub tail: u32,
    /// Sends in the queue.
    pub queued: u32,
    /// Bytes that zero-copy sends may have in flight; `u32::MAX` for no bound.
    pub limit: u32,
    /// The free list.
    pub link: u32,
    /// Bytes that zero-copy sends have in flight.
    pub in_flight: u64,
    /// Totals.
    pub counters: SocketCounters,
}

impl Linked for Socket {
    #[inline]
    fn link(&mut self) -> &mut u32 {
        &mut self.link
    }
}

/// What a completion did, id by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Ids that were outstanding, adopted ones included.
    pub resolved: u32,
    /// Ids that had been resolved before.
    pub duplicate: u32,
    /// Ids outside the window.
    pub unknown: u32,
    /// Ids found to have been taken by failed sends.
    pub adopted: u32,
}
