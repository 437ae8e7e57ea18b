//! Sends, from the first lease to the release: put together, queued, withdrawn, let go.

use crate::events::{self, Event};
use crate::ledger::Ledger;
use crate::send::{self, Iovec, Msghdr, Send};
use crate::seq::Counting;
use crate::socket::Socket;
use crate::submit::Plain;
use crate::table::next_generation;
use crate::Fault;

/// What a send has besides bytes; the caller writes name and control messages into its record.
#[derive(Clone, Copy)]
struct Extra {
    /// Bytes of the socket address.
    name_bytes: u32,
    /// Bytes of control messages.
    control_bytes: u32,
    /// Bytes of a segment of a train; 0 for a single datagram.
    segment: u32,
}

impl Extra {
    /// From one word: the name's bytes in the lowest 8 bits, then 8 bits of the control messages', then the segment's.
    #[inline]
    const fn unpack(word: u32) -> Self {
        Extra { name_bytes: word & 0xff, control_bytes: word >> 8 & 0xff, segment: word >> 16 }
    }
}

/// What a send that left its queue early had done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Bytes the kernel had taken.
    pub accepted: u32,
    /// Nothing was accepted and nothing is outstanding: the leases are the program's as before, and no event comes.
    pub whole: bool,
}

impl<C: Counting> Ledger<'_, C> {
    /// The record of a send that is not free.
    #[inline]
    pub fn send(&mut self, slot: u32, generation: u32) -> Result<&mut Send, Fault> {
        match self.sends.find(slot) {
            Some(record) if record.generation == generation && record.state != send::FREE => Ok(record),
            _ => {
                self.leases.stale_handles += 1;
                Err(Fault::Stale)
            }
        }
    }

    /// The record of a slot that is known to be in use.
    #[inline]
    pub fn send_record(&self, slot: u32) -> &Send {
        &self.sends[slot]
    }

    /// Where the message of a send is, in bytes from the first send record.
    #[inline]
    pub(crate) fn message_at(&self, slot: u32) -> u64 {
        slot as u64 * size_of::<Send>() as u64 + send::offsets::MESSAGE as u64
    }

    /// Where the address of a send is, in bytes from the start of the core's memory.
    #[inline]
    pub fn name_at(&self, slot: u32) -> u32 {
        self.sends_at + slot * size_of::<Send>() as u32 + send::offsets::NAME
    }

    /// A new send without leases; `extra` is an [`Extra`] in one word.
    pub fn send_new(&mut self, socket: u32, generation: u32, flags: u32, extra: u32) -> Result<u32, Fault> {
        let extra = check_flags(self.socket(socket, generation)?, flags, extra)?;
        let slot = self.take_send(flags)?;
        self.open(slot, socket, generation, flags, extra);
        Ok(slot)
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
        self.sends[slot].state = send::QUEUED;
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
        extra: u32,
        lease: u32,
        lease_generation: u32,
        at: u32,
        bytes: u32,
    ) -> Result<u32, Fault> {
        let extra = check_flags(self.socket(socket, socket_generation)?, flags, extra)?;
        let offset = self.check_part(lease, lease_generation, at, bytes)?;
        let slot = self.take_send(flags)?;
        let consumed = self.leases.claim(lease);
        let base = self.arena_base + offset as u64;
        let record = self.open(slot, socket, socket_generation, flags, extra);
        record.push(lease, consumed, base, bytes);
        record.state = send::QUEUED;
        let Msghdr { name, name_len, .. } = record.message;
        let zero_copy = flags & send::ZERO_COPY != 0;
        if flags & send::AT_ONCE == 0 || !self.can_go(socket, zero_copy, bytes, extra.segment) {
            self.enqueue(slot, socket);
            return Ok(slot);
        }
        self.begin(socket);
        if extra.control_bytes == 0 {
            if extra.segment != 0 {
                self.sends[slot].flags |= send::AS_TRAIN;
            }
            let bytes = Iovec { base, len: bytes as u64 };
            self.submit_plain(slot, socket, Plain { zero_copy, bytes, name, name_len });
        } else {
            self.submit_message(slot, socket);
        }
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

    /// A queued send asks for a copy from here on.
    pub fn send_copy(&mut self, slot: u32, generation: u32) -> Result<(), Fault> {
        let record = self.send(slot, generation)?;
        if record.state != send::QUEUED {
            return Err(Fault::Busy);
        }
        record.flags &= !send::ZERO_COPY;
        Ok(())
    }

    /// Takes a send out of its queue. `errno` says why, to whom it may concern.
    pub fn send_cancel(&mut self, slot: u32, generation: u32, errno: u32) -> Result<Withdrawn, Fault> {
        if self.send(slot, generation)?.state != send::QUEUED {
            return Err(Fault::Busy);
        }
        Ok(self.withdraw(slot, errno))
    }

    pub(crate) fn withdraw(&mut self, slot: u32, errno: u32) -> Withdrawn {
        self.dequeue(slot);
        let record = &mut self.sends[slot];
        self.sockets[record.socket].tally.failed += 1;
        let &mut Send { generation, flags, refs, .. } = record;
        let accepted = record.accepted();
        let whole = accepted == 0 && refs == 0;
        if flags & send::REAPED != 0 {
            let kind = if whole { events::REFUSED } else { events::CUT };
            self.reaped.push(Event { kind, send: slot, generation, value: errno });
        }
        if whole {
            self.count_over(slot);
            self.undo(slot);
            return Withdrawn { accepted, whole };
        }
        let record = &mut self.sends[slot];
        record.flags |= send::FAILED;
        record.state = send::ACCEPTED;
        if refs == 0 {
            self.release(slot);
        }
        Withdrawn { accepted, whole }
    }

    /// Checks a part of a lease for a send, and returns where it starts in the arena.
    #[inline]
    fn check_part(&mut self, lease: u32, generation: u32, at: u32, bytes: u32) -> Result<u32, Fault> {
        let record = self.leases.check_claim(lease, generation)?;
        if bytes == 0 || at > record.bytes || bytes > record.bytes - at {
            return Err(Fault::Range);
        }
        Ok(record.offset + at)
    }

    /// A free record. A reaped send gets none while too many events wait: each of those in flight may bring two more.
    #[inline]
    fn take_send(&mut self, flags: u32) -> Result<u32, Fault> {
        if flags & send::REAPED != 0 && self.reaped.count() >= self.sends.len() {
            return Err(Fault::NoSlot);
        }
        self.send_pool.take(&mut self.sends).ok_or(Fault::NoSlot)
    }

    /// Makes an open send without leases of a free record.
    #[inline]
    fn open(&mut self, slot: u32, socket: u32, socket_generation: u32, flags: u32, extra: Extra) -> &mut Send {
        let Extra { name_bytes, control_bytes, segment } = extra;
        let at = self.core_base + self.sends_at as u64 + slot as u64 * size_of::<Send>() as u64;
        let record = &mut self.sends[slot];
        if record.generation == 0 {
            record.generation = 1;
        }
        record.state = send::OPEN;
        record.socket = socket;
        record.socket_generation = socket_generation;
        record.refs = 0;
        record.flags = flags;
        record.bytes = 0;
        record.left = 0;
        record.copied = 0;
        record.lease_count = 0;
        record.consumed = 0;
        record.position = 0;
        record.segment = segment;
        // Nobody writes the other words yet: they stay zero.
        let message = &mut record.message;
        message.name = if name_bytes == 0 { 0 } else { at + send::offsets::NAME as u64 };
        message.name_len = name_bytes;
        message.iov = at + send::offsets::IOVECS as u64;
        message.iov_len = 0;
        message.control = if control_bytes == 0 { 0 } else { at + send::offsets::CONTROL as u64 };
        message.control_len = control_bytes as u64;
        record
    }

    /// Appends a send whose state says so already to its socket's queue.
    #[inline(never)]
    fn enqueue(&mut self, slot: u32, socket_slot: u32) {
        self.begin(socket_slot);
        let socket = &mut self.sockets[socket_slot];
        let tail = socket.tail;
        socket.tail = slot + 1;
        if tail == 0 {
            socket.head = slot + 1;
        } else {
            self.sends[tail - 1].link = slot + 1;
        }
        let record = &mut self.sends[slot];
        record.back = tail;
        record.link = 0;
    }

    /// Counts a send that is the kernel's turn from now on.
    #[inline]
    fn begin(&mut self, socket: u32) {
        self.sends_out += 1;
        let socket = &mut self.sockets[socket];
        socket.sends += 1;
        socket.tally.queued += 1;
    }

    /// Unlinks a send from its queue. Batches filled before are void.
    #[inline]
    fn dequeue(&mut self, slot: u32) {
        self.filled = 0;
        let Send { socket, link, back, .. } = self.sends[slot];
        let socket = &mut self.sockets[socket];
        socket.tally.left += 1;
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
        for i in 0..self.sends[slot].lease_count {
            let (lease, consumed) = self.sends[slot].lease(i);
            self.leases.unclaim(lease, consumed);
        }
        self.free_send(slot);
    }

    /// The kernel holds nothing of the send any more.
    #[inline]
    pub(crate) fn release(&mut self, slot: u32) {
        let record = &mut self.sends[slot];
        record.state = send::RELEASED;
        let reaped = record.flags & send::REAPED != 0;
        let value = (record.flags & send::COPIED != 0) as u32;
        let event = Event { kind: events::RELEASED, send: slot, generation: record.generation, value };
        let count = record.lease_count;
        self.sockets[record.socket].tally.bytes_released += record.lent() as u64;
        for i in 0..count {
            let (lease, _) = self.sends[slot].lease(i);
            self.leases.end_loan(lease);
        }
        if reaped {
            self.reaped.push(event);
            self.over(slot);
        } else {
            self.events.push(event);
        }
    }

    /// Whoever owns a released send knows it: the record is free.
    #[inline]
    pub(crate) fn over(&mut self, slot: u32) {
        self.count_over(slot);
        self.free_send(slot);
    }

    #[inline]
    fn count_over(&mut self, slot: u32) {
        self.sends_out -= 1;
        let Send { socket, socket_generation, .. } = self.sends[slot];
        let socket = &mut self.sockets[socket];
        // The socket may have been freed before its last events were taken.
        if socket.generation == socket_generation {
            socket.sends -= 1;
        }
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
fn check_flags(socket: &Socket, flags: u32, extra: u32) -> Result<Extra, Fault> {
    let extra = Extra::unpack(extra);
    let Extra { name_bytes, control_bytes, segment } = extra;
    let fits = name_bytes as usize <= send::NAME_BYTES && control_bytes as usize <= send::CONTROL_BYTES;
    if flags & !send::ASKED != 0 || !fits || (control_bytes as u64) < socket.segment_control_bytes(segment) {
        return Err(Fault::Range);
    }
    Ok(extra)
}
