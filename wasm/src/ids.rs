//! The kernel's answers: what it accepted, under which id, and which ids it is done with.

use crate::events::{self, Event};
use crate::ledger::Ledger;
use crate::send;
use crate::seq::{self, Counting};
use crate::socket::{self, Resolution, Socket};
use crate::Fault;

/// What was accepted and is not counted yet: a batch is counted once.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ids: u32,
    sends: u64,
    /// All bytes.
    pub bytes: u64,
    lent: u64,
}

impl<C: Counting> Ledger<'_, C> {
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
    #[inline(always)] // Its results would go through memory otherwise.
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

    #[inline(always)]
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
        let own = &mut socket.counters;
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
}
