//! The ledger: which send waits on which socket, which id stands for which send, and which leases they hold.
//!
//! Ids are the kernel's: every socket counts its own from 0, one per zero-copy call that took bytes (and some that
//! did not), wrapping at 2^32. A completion names an inclusive range of them that may wrap, may span several
//! sends, and may come out of order.

use crate::counters::SocketCounters;
use crate::events::{self, Event, Events};
use crate::lease::Leases;
use crate::send::{self, Mmsghdr, Msghdr, Send};
use crate::seq::{self, Counting, Kernel};
use crate::socket::{self, Resolution, Socket};
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
    /// Two per send.
    pub events: &'a mut [Event],
    /// `window` entries per socket.
    pub windows: &'a mut [u32],
    /// Messages of one batch.
    pub batch: &'a mut [Mmsghdr],
    /// Entries per socket, a power of two.
    pub window: u32,
    /// Where the send records start in the core's memory, in bytes.
    pub sends_at: u32,
}

/// The ledger.
#[derive(Debug)]
pub struct Ledger<'a, C = Kernel> {
    /// The leases.
    pub leases: Leases<'a>,
    /// Events not taken yet.
    pub events: Events<'a>,
    pub(crate) sockets: Table<'a, Socket>,
    pub(crate) sends: Table<'a, Send>,
    windows: Table<'a, u32>,
    pub(crate) batch: Table<'a, Mmsghdr>,
    pub(crate) filled: u32,
    pub(crate) filled_socket: u32,
    pub(crate) window: u32,
    socket_pool: Pool,
    send_pool: Pool,
    sends_at: u32,
    core_base: u64,
    arena_base: u64,
    counting: PhantomData<C>,
}

/// What a send that left its queue early had done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Bytes the kernel had taken.
    pub accepted: u32,
    /// Nothing was accepted and nothing is outstanding: the leases are the program's as before, and no event comes.
    pub whole: bool,
}

/// What was accepted and is not counted yet: a batch is counted once.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ids: u32,
    sends: u64,
    /// All bytes.
    pub bytes: u64,
    lent: u64,
}

impl<'a, C: Counting> Ledger<'a, C> {
    /// A ledger over zero-filled tables.
    pub fn new(parts: Parts<'a>) -> Self {
        Ledger {
            leases: parts.leases,
            events: Events::new(parts.events),
            sockets: Table(parts.sockets),
            sends: Table(parts.sends),
            windows: Table(parts.windows),
            batch: Table(parts.batch),
            filled: 0,
            filled_socket: 0,
            window: parts.window,
            socket_pool: Pool::starting_at(0),
            send_pool: Pool::starting_at(0),
            sends_at: parts.sends_at,
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

    // Sockets

    /// The record of a live socket.
    #[inline]
    pub fn socket(&mut self, slot: u32, generation: u32) -> Result<&mut Socket, Fault> {
        if slot < self.socket_pool.high {
            let record = &self.sockets[slot];
            if record.generation == generation && record.flags & socket::LIVE != 0 {
                return Ok(&mut self.sockets[slot]);
            }
        }
        self.leases.counters.stale_handles += 1;
        Err(Fault::Stale)
    }

    /// A new socket, whose first id is 0. Returns slot and generation.
    pub fn socket_new(&mut self, kind: u32, limit: u32) -> Result<(u32, u32), Fault> {
        if kind > 1 {
            return Err(Fault::Range);
        }
        let slot = self.socket_pool.take(&mut self.sockets).ok_or(Fault::NoSlot)?;
        let record = &mut self.sockets[slot];
        let generation = if record.generation == 0 { 1 } else { record.generation };
        let flags = socket::LIVE | if kind == 1 { socket::DATAGRAM } else { 0 };
        *record = Socket { generation, flags, limit, ..Socket::default() };
        Ok((slot, generation))
    }

    /// Forgets a socket that has nothing queued and nothing outstanding.
    pub fn socket_free(&mut self, slot: u32, generation: u32) -> Result<(), Fault> {
        let record = self.socket(slot, generation)?;
        if record.queued != 0 || record.outstanding != 0 {
            return Err(Fault::Busy);
        }
        record.flags = 0;
        record.generation = next_generation(generation);
        self.socket_pool.give(&mut self.sockets, slot);
        Ok(())
    }

    /// Changes how many bytes zero-copy sends may have in flight.
    pub fn socket_limit(&mut self, slot: u32, generation: u32, limit: u32) -> Result<(), Fault> {
        self.socket(slot, generation)?.limit = limit;
        Ok(())
    }

    /// Sets the next id of a socket that has nothing outstanding, as a kernel would have counted to it.
    pub fn socket_set_next(&mut self, slot: u32, generation: u32, id: u32) -> Result<(), Fault> {
        let record = self.socket(slot, generation)?;
        if record.queued != 0 || record.outstanding != 0 {
            return Err(Fault::Busy);
        }
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

    // Sends

    /// The record of a send that is not free.
    #[inline]
    pub fn send(&mut self, slot: u32, generation: u32) -> Result<&mut Send, Fault> {
        if slot < self.send_pool.high {
            let record = &self.sends[slot];
            if record.generation == generation && record.state != send::FREE {
                return Ok(&mut self.sends[slot]);
            }
        }
        self.leases.counters.stale_handles += 1;
        Err(Fault::Stale)
    }

    /// The record of a slot that is known to be in use.
    #[inline]
    pub fn send_record(&self, slot: u32) -> &Send {
        &self.sends[slot]
    }

    /// Where the address of a send is, in bytes from the start of the core's memory.
    #[inline]
    pub fn name_at(&self, slot: u32) -> u32 {
        self.sends_at + slot * size_of::<Send>() as u32 + send::offsets::NAME
    }

    /// A new send without leases.
    pub fn send_new(&mut self, socket: u32, generation: u32, flags: u32, name_bytes: u32) -> Result<u32, Fault> {
        self.socket(socket, generation)?;
        check_flags(flags, name_bytes)?;
        self.open(socket, generation, flags, name_bytes)
    }

    /// Adds `bytes` of a lease, from its byte `at` on.
    pub fn send_lease(
        &mut self,
        slot: u32,
        generation: u32,
        lease: u32,
        lease_generation: u32,
        at: u32,
        bytes: u32,
    ) -> Result<(), Fault> {
        let &mut Send { state, lease_count, bytes: total, .. } = self.send(slot, generation)?;
        if state != send::OPEN {
            return Err(Fault::Busy);
        }
        let offset = self.check_part(lease, lease_generation, at, bytes)?;
        if lease_count as usize == send::LEASES || total.checked_add(bytes).is_none() {
            return Err(Fault::Range);
        }
        let consumed = self.leases.claim(lease);
        self.sends[slot].push(lease, consumed, self.arena_base + offset as u64, bytes);
        Ok(())
    }

    /// Puts an open send into its socket's queue.
    pub fn send_queue(&mut self, slot: u32, generation: u32) -> Result<(), Fault> {
        let record = self.send(slot, generation)?;
        if record.state != send::OPEN {
            return Err(Fault::Busy);
        }
        let (socket, socket_generation) = (record.socket, record.socket_generation);
        self.socket(socket, socket_generation)?;
        self.enqueue(slot, socket);
        Ok(())
    }

    /// [`Ledger::send_new`], [`Ledger::send_lease`] and [`Ledger::send_queue`] in one. When it is refused, nothing
    /// has changed.
    #[allow(clippy::too_many_arguments)]
    #[inline]
    pub fn send_one(
        &mut self,
        socket: u32,
        socket_generation: u32,
        flags: u32,
        name_bytes: u32,
        lease: u32,
        lease_generation: u32,
        at: u32,
        bytes: u32,
    ) -> Result<u32, Fault> {
        self.socket(socket, socket_generation)?;
        check_flags(flags, name_bytes)?;
        let offset = self.check_part(lease, lease_generation, at, bytes)?;
        let slot = self.open(socket, socket_generation, flags, name_bytes)?;
        let consumed = self.leases.claim(lease);
        self.sends[slot].push(lease, consumed, self.arena_base + offset as u64, bytes);
        self.enqueue(slot, socket);
        Ok(slot)
    }

    /// Undoes an open send: every lease gets its claim back as it was.
    pub fn send_drop(&mut self, slot: u32, generation: u32) -> Result<(), Fault> {
        if self.send(slot, generation)?.state != send::OPEN {
            return Err(Fault::Busy);
        }
        self.undo(slot);
        Ok(())
    }

    /// Takes a send out of its queue.
    pub fn send_cancel(&mut self, slot: u32, generation: u32) -> Result<Withdrawn, Fault> {
        if self.send(slot, generation)?.state != send::QUEUED {
            return Err(Fault::Busy);
        }
        Ok(self.withdraw(slot))
    }

    pub(crate) fn withdraw(&mut self, slot: u32) -> Withdrawn {
        self.dequeue(slot);
        self.leases.counters.failed += 1;
        let record = &mut self.sends[slot];
        let accepted = record.accepted;
        if accepted == 0 && record.refs == 0 {
            self.undo(slot);
            return Withdrawn { accepted, whole: true };
        }
        record.flags |= send::FAILED;
        record.state = send::ACCEPTED;
        if record.refs == 0 {
            self.release(slot);
        }
        Withdrawn { accepted, whole: false }
    }

    // The kernel's answers

    /// The kernel took `bytes` of the send at the head of its socket's queue; as a loan (`zero_copy`) under the
    /// socket's next id, or as a copy. Returns the id (0 for a copy) and the bytes left.
    pub fn accept(&mut self, slot: u32, generation: u32, bytes: u32, zero_copy: bool) -> Result<(u32, u32), Fault> {
        let record = self.send(slot, generation)?;
        let socket = record.socket;
        if record.state != send::QUEUED || self.sockets[socket].head != slot + 1 {
            return Err(Fault::Busy);
        }
        self.filled = 0;
        let mut tally = Tally::default();
        let accepted = self.accept_head(socket, slot, bytes, zero_copy, &mut tally);
        self.count_accepted(socket, &tally);
        accepted
    }

    /// [`Ledger::accept`] for a send that is known to be the head; totals are left to [`Ledger::count_accepted`].
    #[inline]
    pub(crate) fn accept_head(
        &mut self,
        socket_slot: u32,
        slot: u32,
        bytes: u32,
        zero_copy: bool,
        tally: &mut Tally,
    ) -> Result<(u32, u32), Fault> {
        let record = &mut self.sends[slot];
        let socket = &mut self.sockets[socket_slot];
        let datagram = socket.flags & socket::DATAGRAM != 0;
        let left = record.left();
        if bytes > left || (bytes < left && (datagram || bytes == 0)) {
            return Err(Fault::Range);
        }
        let mut id = 0;
        // An empty datagram takes an id like any other; an empty stream send takes none.
        if zero_copy && (bytes != 0 || datagram) {
            if seq::distance(socket.oldest, socket.next) == self.window {
                return Err(Fault::NoRoom);
            }
            id = socket.next;
            self.windows[socket_slot * self.window + (id & (self.window - 1))] = slot + 1;
            socket.next = C::next(id);
            tally.ids += 1;
            tally.lent += bytes as u64;
            record.refs += 1;
            record.lent += bytes;
        } else if !zero_copy {
            record.flags |= send::COPIED;
        }
        tally.bytes += bytes as u64;
        record.advance(bytes);
        if bytes != left {
            return Ok((id, left - bytes));
        }
        record.state = send::ACCEPTED;
        tally.sends += 1;
        let event = Event { kind: events::ACCEPTED, send: slot, generation: record.generation, value: record.bytes };
        let (refs, next) = (record.refs, record.link);
        socket.head = next;
        socket.queued -= 1;
        if next == 0 {
            socket.tail = 0;
        } else {
            self.sends[next - 1].back = 0;
        }
        self.events.push(event);
        if refs == 0 {
            self.release(slot);
        }
        Ok((id, 0))
    }

    /// Adds what was accepted to the totals of the socket and of everything.
    #[inline]
    pub(crate) fn count_accepted(&mut self, slot: u32, tally: &Tally) {
        let socket = &mut self.sockets[slot];
        let totals = &mut *self.leases.counters;
        socket.outstanding += tally.ids;
        socket.in_flight += tally.lent;
        socket.counters.accepted += tally.sends;
        socket.counters.bytes_accepted += tally.bytes;
        socket.counters.bytes_zero_copy += tally.lent;
        totals.accepted += tally.sends;
        totals.bytes_accepted += tally.bytes;
        totals.bytes_zero_copy += tally.lent;
    }

    /// A failed send took the socket's next id. Nobody owns it.
    pub fn take_id(&mut self, slot: u32, generation: u32) -> Result<u32, Fault> {
        let window = self.window;
        let socket = self.socket(slot, generation)?;
        if seq::distance(socket.oldest, socket.next) == window {
            return Err(Fault::NoRoom);
        }
        let id = socket.next;
        socket.next = C::next(id);
        socket.outstanding += 1;
        socket.counters.ids_taken += 1;
        self.leases.counters.ids_taken += 1;
        self.windows[slot * window + (id & (window - 1))] = socket::TAKEN;
        Ok(id)
    }

    /// The kernel is done with the ids of the inclusive range `[lo, hi]`.
    ///
    /// Costs at most one step per window entry, whatever the range says.
    pub fn complete(
        &mut self,
        slot: u32,
        generation: u32,
        lo: u32,
        hi: u32,
        copied: bool,
    ) -> Result<Resolution, Fault> {
        let &mut Socket { oldest, next, flags, .. } = self.socket(slot, generation)?;
        let mut resolution = Resolution::default();
        let length = seq::len(lo, hi);
        let live = seq::distance(oldest, next);
        if length != 0 && length <= self.window {
            C::walk(lo, hi, |id| {
                if seq::distance(oldest, id) < live {
                    self.resolve(slot, id, copied, &mut resolution);
                } else {
                    resolution.unknown += 1;
                }
            });
        } else {
            // Longer than the window: walk what is live instead, and count the rest.
            let mut id = oldest;
            while id != next {
                if seq::contains(lo, hi, id) {
                    self.resolve(slot, id, copied, &mut resolution);
                }
                id = seq::next(id);
            }
            let known = resolution.resolved + resolution.duplicate;
            let length = if length == 0 { 1 << 32 } else { length as u64 };
            resolution.unknown = (length - known as u64).min(u32::MAX as u64) as u32;
        }
        if flags & socket::SUSPECT != 0 && length != 0 && length <= self.window {
            self.adopt(slot, lo, hi, &mut resolution);
        }
        self.count(slot, &resolution, copied);
        Ok(resolution)
    }

    #[inline]
    fn resolve(&mut self, socket: u32, id: u32, copied: bool, resolution: &mut Resolution) {
        let entry = &mut self.windows[socket * self.window + (id & (self.window - 1))];
        let owner = *entry;
        *entry = 0;
        if owner == 0 {
            resolution.duplicate += 1;
            return;
        }
        resolution.resolved += 1;
        if owner == socket::TAKEN {
            return;
        }
        let record = &mut self.sends[owner - 1];
        record.refs -= 1;
        record.flags |= if copied { send::COPIED } else { send::NOT_COPIED };
        if record.refs == 0 && record.state == send::ACCEPTED {
            self.release(owner - 1);
        }
    }

    /// Ids from `next` to `hi` belong to calls that failed, so they are taken; those before `lo` are outstanding.
    fn adopt(&mut self, slot: u32, lo: u32, hi: u32, resolution: &mut Resolution) {
        let window = self.window;
        self.advance_oldest(slot);
        let socket = &self.sockets[slot];
        let next = socket.next;
        let beyond = seq::len(next, hi);
        if beyond == 0 || beyond >= window || seq::distance(socket.oldest, next) + beyond > window {
            return;
        }
        let mut outstanding = 0;
        C::walk(next, hi, |id| {
            // A gap before `lo`: taken too, and its completion is still to come.
            let gap = !seq::contains(lo, hi, id);
            self.windows[slot * window + (id & (window - 1))] = if gap { socket::TAKEN } else { 0 };
            outstanding += gap as u32;
        });
        let socket = &mut self.sockets[slot];
        socket.next = C::next(hi);
        socket.outstanding += outstanding;
        // They count as outstanding and resolved at once, below.
        socket.outstanding += beyond - outstanding;
        resolution.adopted = beyond;
        resolution.resolved += beyond - outstanding;
        resolution.unknown -= beyond - outstanding;
    }

    #[inline]
    fn advance_oldest(&mut self, slot: u32) {
        let window = self.window;
        let socket = &mut self.sockets[slot];
        while socket.oldest != socket.next && self.windows[slot * window + (socket.oldest & (window - 1))] == 0 {
            socket.oldest = C::next(socket.oldest);
        }
    }

    #[inline]
    fn count(&mut self, slot: u32, resolution: &Resolution, copied: bool) {
        self.advance_oldest(slot);
        let socket = &mut self.sockets[slot];
        socket.outstanding -= resolution.resolved;
        let Resolution { resolved, duplicate, unknown, adopted } = *resolution;
        let totals = &mut *self.leases.counters;
        let own: &mut SocketCounters = &mut socket.counters;
        own.notifications += 1;
        totals.notifications += 1;
        if copied {
            own.ids_copied += resolved as u64;
            totals.ids_copied += resolved as u64;
        } else {
            own.ids_not_copied += resolved as u64;
            totals.ids_not_copied += resolved as u64;
        }
        if duplicate | unknown | adopted != 0 {
            own.ids_duplicate += duplicate as u64;
            own.ids_unknown += unknown as u64;
            own.ids_taken += adopted as u64;
            totals.ids_duplicate += duplicate as u64;
            totals.ids_unknown += unknown as u64;
            totals.ids_taken += adopted as u64;
        }
    }

    /// Consumes the `n` oldest events; the records of released sends become free.
    pub fn events_take(&mut self, n: u32) -> Result<(), Fault> {
        if n > self.events.count() {
            return Err(Fault::Range);
        }
        for i in 0..n {
            let event = self.events.peek(i);
            if event.kind == events::RELEASED {
                self.free_send(event.send);
            }
        }
        self.events.skip(n)
    }

    // Parts of the above

    /// Checks a part of a lease for a send, and returns where it starts in the arena.
    #[inline]
    fn check_part(&mut self, lease: u32, generation: u32, at: u32, bytes: u32) -> Result<u32, Fault> {
        let record = self.leases.check_claim(lease, generation)?;
        if bytes == 0 || at > record.bytes || bytes > record.bytes - at {
            return Err(Fault::Range);
        }
        Ok(record.offset + at)
    }

    #[inline]
    fn open(&mut self, socket: u32, socket_generation: u32, flags: u32, name_bytes: u32) -> Result<u32, Fault> {
        let slot = self.send_pool.take(&mut self.sends).ok_or(Fault::NoSlot)?;
        let at = self.core_base + self.sends_at as u64 + slot as u64 * size_of::<Send>() as u64;
        let record = &mut self.sends[slot];
        record.generation = if record.generation == 0 { 1 } else { record.generation };
        record.state = send::OPEN;
        record.socket = socket;
        record.socket_generation = socket_generation;
        record.refs = 0;
        record.flags = flags;
        record.bytes = 0;
        record.accepted = 0;
        record.lent = 0;
        record.lease_count = 0;
        record.consumed = 0;
        record.position = 0;
        record.message = Msghdr {
            name: if name_bytes == 0 { 0 } else { at + send::offsets::NAME as u64 },
            name_len: name_bytes,
            iov: at + send::offsets::IOVECS as u64,
            ..Msghdr::default()
        };
        Ok(slot)
    }

    #[inline]
    fn enqueue(&mut self, slot: u32, socket_slot: u32) {
        let socket = &mut self.sockets[socket_slot];
        let tail = socket.tail;
        socket.tail = slot + 1;
        socket.queued += 1;
        socket.counters.sends += 1;
        self.leases.counters.sends += 1;
        if tail == 0 {
            socket.head = slot + 1;
        } else {
            self.sends[tail - 1].link = slot + 1;
        }
        let record = &mut self.sends[slot];
        record.state = send::QUEUED;
        record.back = tail;
        record.link = 0;
    }

    /// Unlinks a send from its queue. Batches filled before are void.
    #[inline]
    fn dequeue(&mut self, slot: u32) {
        self.filled = 0;
        let Send { socket, link, back, .. } = self.sends[slot];
        let socket = &mut self.sockets[socket];
        socket.queued -= 1;
        if link == 0 {
            socket.tail = back;
        } else {
            self.sends[link - 1].back = back;
        }
        if back == 0 {
            socket.head = link;
        } else {
            self.sends[back - 1].link = link;
        }
    }

    /// Gives every lease its claim back and frees the record.
    fn undo(&mut self, slot: u32) {
        // Backwards, so that a lease that is in it twice ends as it began.
        for i in (0..self.sends[slot].lease_count).rev() {
            let (lease, consumed) = self.sends[slot].lease(i);
            self.leases.unclaim(lease, consumed);
        }
        self.free_send(slot);
    }

    /// The kernel holds nothing of the send any more.
    #[inline]
    fn release(&mut self, slot: u32) {
        let record = &mut self.sends[slot];
        record.state = send::RELEASED;
        let generation = record.generation;
        let value = (record.flags & send::COPIED != 0) as u32;
        let lent = record.lent;
        let count = record.lease_count;
        self.sockets[record.socket].in_flight -= lent as u64;
        for i in 0..count {
            let (lease, _) = self.sends[slot].lease(i);
            self.leases.end_loan(lease);
        }
        self.events.push(Event { kind: events::RELEASED, send: slot, generation, value });
    }

    #[inline]
    fn free_send(&mut self, slot: u32) {
        let record = &mut self.sends[slot];
        record.state = send::FREE;
        record.generation = next_generation(record.generation);
        self.send_pool.give(&mut self.sends, slot);
    }
}

#[inline]
fn check_flags(flags: u32, name_bytes: u32) -> Result<(), Fault> {
    if flags & !send::ZERO_COPY != 0 || name_bytes as usize > send::NAME_BYTES {
        return Err(Fault::Range);
    }
    Ok(())
}
