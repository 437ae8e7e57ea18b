//! The ledger: which send waits on which socket, which id stands for which send, and which leases they hold.
//!
//! Ids are the kernel's: every socket counts its own from 0, one per zero-copy call that took bytes (and some that
//! did not), wrapping at 2^32. A completion names an inclusive range of them that may wrap, may span several
//! sends, and may come out of order.

use crate::counters::{Counters, Tally};
use crate::events::{self, Event, Events};
use crate::lease::Leases;
use crate::operation::Operation;
use crate::ring::Ring;
use crate::send::{Iovec, Mmsghdr, Send};
use crate::seq::{self, Counting, Kernel};
use crate::socket::{self, Socket};
use crate::submit::Registered;
use crate::table::{next_generation, Pool, Table};
use crate::Fault;
use core::marker::PhantomData;

/// The tables a ledger works on. They must be zero-filled.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The leases.
    pub leases: Leases<'a>,
    /// One record per socket.
    pub sockets: &'a mut [Socket],
    /// One record per send in progress.
    pub sends: &'a mut [Send],
    /// Three per send, two per socket and two per operation; without a ring two per send.
    pub events: &'a mut [Event],
    /// Three per send and one more: those of reaped sends.
    pub reaped: &'a mut [Event],
    /// `window` entries per socket.
    pub windows: &'a mut [u32],
    /// Messages of one batch.
    pub batch: &'a mut [Mmsghdr],
    /// One per operation of the ring.
    pub operations: &'a mut [Operation],
    /// Iovecs of entries that gather several sends.
    pub staging: &'a mut [Iovec],
    /// Entries per socket, a power of two.
    pub window: u32,
    /// Where the send records start in the core's memory, in bytes.
    pub sends_at: u32,
    /// Where the batch starts.
    pub batch_at: u32,
    /// Where the staging starts.
    pub staging_at: u32,
}

/// The ledger.
#[derive(Debug)]
pub struct Ledger<'a, C = Kernel> {
    /// The leases.
    pub leases: Leases<'a>,
    /// Events not taken yet.
    pub events: Events<'a>,
    /// Those of reaped sends.
    pub reaped: Events<'a>,
    /// Sends that were queued and are not over.
    pub sends_out: u32,
    pub(crate) sockets: Table<'a, Socket>,
    pub(crate) sends: Table<'a, Send>,
    pub(crate) windows: Table<'a, u32>,
    pub(crate) batch: Table<'a, Mmsghdr>,
    pub(crate) filled: u32,
    pub(crate) filled_socket: u32,
    pub(crate) window: u32,
    /// What the sockets that were freed had counted.
    retired: Tally,
    socket_pool: Pool,
    pub(crate) send_pool: Pool,
    pub(crate) sends_at: u32,
    /// The rings, once the kernel has set them up.
    pub ring: Option<Ring<'a>>,
    /// What of the arena is registered.
    pub registered: Registered,
    /// Completions of operations that are over.
    pub late: u64,
    pub(crate) operations: Table<'a, Operation>,
    pub(crate) operation_pool: Pool,
    pub(crate) operations_out: u32,
    pub(crate) staging: Table<'a, Iovec>,
    pub(crate) staged_iovecs: u32,
    pub(crate) staged_messages: u32,
    pub(crate) batch_at: u32,
    pub(crate) staging_at: u32,
    pub(crate) core_base: u64,
    pub(crate) arena_base: u64,
    counting: PhantomData<C>,
}

impl<'a, C: Counting> Ledger<'a, C> {
    /// A ledger over zero-filled tables.
    pub fn new(parts: Parts<'a>) -> Self {
        Ledger {
            leases: parts.leases,
            events: Events::new(parts.events),
            reaped: Events::new(parts.reaped),
            sends_out: 0,
            sockets: Table(parts.sockets),
            sends: Table(parts.sends),
            windows: Table(parts.windows),
            batch: Table(parts.batch),
            filled: 0,
            filled_socket: 0,
            window: parts.window,
            retired: Tally::default(),
            socket_pool: Pool::starting_at(0),
            send_pool: Pool::starting_at(0),
            sends_at: parts.sends_at,
            ring: None,
            registered: Registered::default(),
            late: 0,
            operations: Table(parts.operations),
            operation_pool: Pool::starting_at(0),
            operations_out: 0,
            staging: Table(parts.staging),
            staged_iovecs: 0,
            staged_messages: 0,
            batch_at: parts.batch_at,
            staging_at: parts.staging_at,
            core_base: 0,
            arena_base: 0,
            counting: PhantomData,
        }
    }

    /// Says where the two memories are, for the pointers in messages.
    pub fn set_bases(&mut self, core: u64, arena: u64) {
        self.core_base = core;
        self.arena_base = arena;
    }

    /// The record of a live socket.
    #[inline]
    pub fn socket(&mut self, slot: u32, generation: u32) -> Result<&mut Socket, Fault> {
        match self.sockets.find(slot) {
            Some(record) if record.generation == generation && record.flags & socket::LIVE != 0 => Ok(record),
            _ => {
                self.leases.stale_handles += 1;
                Err(Fault::Stale)
            }
        }
    }

    /// A new socket, whose first id is 0. What no control message speaks of the kernel cuts into segments of `segment` bytes,
    /// unless that is 0. Returns slot and generation.
    pub fn socket_new(&mut self, kind: u32, limit: u32, segment: u32) -> Result<(u32, u32), Fault> {
        let most = if kind == 1 { u16::MAX as u32 } else { 0 };
        if kind > 1 || segment > most {
            return Err(Fault::Range);
        }
        let slot = self.socket_pool.take(&mut self.sockets).ok_or(Fault::NoSlot)?;
        let record = &mut self.sockets[slot];
        let generation = if record.generation == 0 { 1 } else { record.generation };
        let flags = socket::LIVE | if kind == 1 { socket::DATAGRAM } else { 0 };
        *record = Socket { generation, flags, limit, segment, ..Socket::default() };
        Ok((slot, generation))
    }

    /// Forgets a socket that has nothing queued and nothing outstanding.
    pub fn socket_free(&mut self, slot: u32, generation: u32) -> Result<(), Fault> {
        let record = self.socket(slot, generation)?;
        if record.queued() != 0 || record.outstanding() != 0 || record.chain != 0 {
            return Err(Fault::Busy);
        }
        record.flags = 0;
        record.generation = next_generation(generation);
        let tally = record.tally;
        self.retired.add(&tally);
        self.socket_pool.give(&mut self.sockets, slot);
        Ok(())
    }

    /// Changes how many bytes zero-copy sends may have in flight.
    pub fn socket_limit(&mut self, slot: u32, generation: u32, limit: u32) -> Result<(), Fault> {
        self.socket(slot, generation)?.limit = limit;
        Ok(())
    }

    /// The kernel takes no trains of a socket: from now on they go segment by segment.
    pub fn socket_unsegmented(&mut self, slot: u32, generation: u32) -> Result<(), Fault> {
        self.socket(slot, generation)?.flags |= socket::UNSEGMENTED;
        Ok(())
    }

    /// Sets the next id of a socket that has nothing outstanding, as a kernel would have counted to it.
    pub fn socket_set_next(&mut self, slot: u32, generation: u32, id: u32) -> Result<(), Fault> {
        let record = self.socket(slot, generation)?;
        if record.queued() != 0 || record.outstanding() != 0 {
            return Err(Fault::Busy);
        }
        record.first = record.first.wrapping_add(seq::distance(record.next, id));
        record.next = id;
        record.oldest = id;
        Ok(())
    }

    /// Says whether a failed call may have taken an id.
    pub fn suspect(&mut self, slot: u32, generation: u32, on: bool) -> Result<(), Fault> {
        let record = self.socket(slot, generation)?;
        record.flags = record.flags & !socket::SUSPECT | if on { socket::SUSPECT } else { 0 };
        Ok(())
    }

    /// Totals of everything, the sockets that were freed included. Looks at every socket.
    pub fn counters(&self) -> Counters {
        let mut tally = self.retired;
        for slot in 0..self.socket_pool.high {
            if self.sockets[slot].flags & socket::LIVE != 0 {
                tally.add(&self.sockets[slot].tally);
            }
        }
        let sockets = tally.counters();
        let loans = &self.leases.loans;
        Counters {
            lent: loans.begun,
            released: loans.ended,
            sends: sockets.sends,
            accepted: sockets.accepted,
            failed: tally.failed,
            bytes_accepted: sockets.bytes_accepted,
            bytes_zero_copy: sockets.bytes_zero_copy,
            notifications: sockets.notifications,
            ids_copied: sockets.ids_copied,
            ids_not_copied: sockets.ids_not_copied,
            ids_taken: sockets.ids_taken,
            ids_duplicate: sockets.ids_duplicate,
            ids_unknown: sockets.ids_unknown,
            stale_handles: self.leases.stale_handles,
            max_in_flight: loans.most,
            max_in_flight_bytes: loans.most_bytes,
            late_completions: self.late,
        }
    }

    /// Consumes the `n` oldest events; the records of released sends and of operations that are over become
    /// free.
    pub fn events_take(&mut self, n: u32) -> Result<(), Fault> {
        if n > self.events.count() {
            return Err(Fault::Range);
        }
        for i in 0..n {
            let event = self.events.peek(i);
            match event.kind {
                events::RELEASED => self.over(event.send),
                events::CALLED => self.operation_free(event.send),
                _ => {}
            }
        }
        self.events.skip(n)
    }
}
