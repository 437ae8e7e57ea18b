//! The kernel's answers: what it accepted, under which id, and which ids it is done with.

use crate::events::{self, Event};
use crate::ledger::Ledger;
use crate::send::{self, Send};
use crate::seq::{self, Counting};
use crate::socket::{self, Resolution, Socket};
use crate::Fault;

impl<C: Counting> Ledger<'_, C> {
    /// The kernel took `bytes` of the send at the head of its socket's queue; as a loan (`zero_copy`) under the
    /// socket's next id, or as a copy. Returns the id (0 for a copy) and the bytes left.
    pub fn accept(&mut self, slot: u32, generation: u32, bytes: u32, zero_copy: bool) -> Result<(u32, u32), Fault> {
        let &mut Send { state, socket, .. } = self.send(slot, generation)?;
        if state != send::QUEUED || self.sockets[socket].head != slot + 1 {
            return Err(Fault::Busy);
        }
        self.filled = 0;
        self.accept_head(socket, slot, bytes, zero_copy)
    }

    /// [`Ledger::accept`] for a send that is known to be the head.
    #[inline(always)] // Its results would go through memory otherwise.
    pub(crate) fn accept_head(
        &mut self,
        socket_slot: u32,
        slot: u32,
        bytes: u32,
        zero_copy: bool,
    ) -> Result<(u32, u32), Fault> {
        let record = &mut self.sends[slot];
        let socket = &mut self.sockets[socket_slot];
        let datagram = socket.flags & socket::DATAGRAM != 0;
        let left = record.left;
        // Of a train the kernel takes a segment, if it takes no trains.
        let whole = datagram && !(record.segment == bytes && socket.flags & socket::UNSEGMENTED != 0);
        if bytes > left || (bytes < left && (whole || bytes == 0)) {
            return Err(Fault::Range);
        }
        let mut id = 0;
        if !zero_copy {
            record.flags |= send::COPIED;
            record.copied += bytes;
            socket.tally.bytes_copied += bytes as u64;
        } else if bytes != 0 || datagram {
            // An empty datagram takes an id like any other; an empty stream send takes none.
            id = socket.next;
            if seq::distance(socket.oldest, id) == self.window {
                return Err(Fault::NoRoom);
            }
            self.windows[socket_slot * self.window + (id & (self.window - 1))] = slot + 1;
            socket.next = C::next(id);
            socket.tally.bytes_lent += bytes as u64;
            record.refs += 1;
        }
        Ok((id, self.took_head(socket_slot, slot, bytes)))
    }

    /// The kernel took `bytes` more of the send at the head of its socket's queue. Returns the bytes left.
    #[inline(always)]
    pub(crate) fn took_head(&mut self, socket_slot: u32, slot: u32, bytes: u32) -> u32 {
        let record = &mut self.sends[slot];
        let left = record.left - bytes;
        record.left = left;
        if left != 0 {
            record.advance(bytes);
            return left;
        }
        let next = record.link;
        let socket = &mut self.sockets[socket_slot];
        socket.head = next;
        if next == 0 {
            socket.tail = 0;
        } else {
            self.sends[next - 1].back = 0;
        }
        self.accepted(socket_slot, slot);
        0
    }

    /// The kernel took the last byte of a send that is in no queue any more.
    #[inline(always)]
    pub(crate) fn accepted(&mut self, socket_slot: u32, slot: u32) {
        self.sockets[socket_slot].tally.left += 1;
        let record = &mut self.sends[slot];
        record.state = send::ACCEPTED;
        let &mut Send { generation, bytes, flags, refs, .. } = record;
        let told = if flags & send::REAPED != 0 { &mut self.reaped } else { &mut self.events };
        told.push(Event { kind: events::ACCEPTED, send: slot, generation, value: bytes });
        if refs == 0 {
            self.release(slot);
        }
    }

    /// Empty sends at the head of a stream's queue are accepted as they are.
    #[inline]
    pub(crate) fn accept_empty(&mut self, socket_slot: u32) {
        loop {
            let head = self.sockets[socket_slot].head;
            if head == 0 || self.sends[head - 1].left != 0 {
                return;
            }
            self.sends[head - 1].flags |= send::COPIED;
            self.took_head(socket_slot, head - 1, 0);
        }
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
        socket.tally.ids_taken += 1;
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
        let window = self.window;
        let entry = |id: u32| slot * window + (id & (window - 1));
        let mut resolution = Resolution::default();
        let length = seq::len(lo, hi);
        let short = length != 0 && length <= window;
        let mut front = oldest;
        if short {
            let live = seq::distance(oldest, next);
            C::walk(lo, hi, |id| {
                if seq::distance(oldest, id) < live {
                    self.resolve(entry(id), copied, &mut resolution);
                    if id == front {
                        front = C::next(id);
                    }
                }
            });
        } else {
            // Longer than the window: walk what is live instead.
            let mut id = oldest;
            while id != next {
                if seq::contains(lo, hi, id) {
                    self.resolve(entry(id), copied, &mut resolution);
                }
                id = seq::next(id);
            }
        }
        let length = if length == 0 { 1 << 32 } else { length as u64 };
        let known = resolution.resolved + resolution.duplicate;
        resolution.unknown = (length - known as u64).min(u32::MAX as u64) as u32;
        self.advance_oldest(slot, front, next);
        if short && flags & socket::SUSPECT != 0 {
            self.adopt(slot, lo, hi, &mut resolution);
        }
        self.count(slot, &resolution, copied);
        Ok(resolution)
    }

    #[inline(always)]
    fn resolve(&mut self, entry: u32, copied: bool, resolution: &mut Resolution) {
        let owner = core::mem::take(&mut self.windows[entry]);
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
        if copied {
            record.flags |= send::COPIED;
        }
        if record.refs == 0 && record.state == send::ACCEPTED {
            self.release(owner - 1);
        }
    }

    /// Ids from `next` to `hi` belong to calls that failed, so they are taken; those before `lo` are outstanding.
    fn adopt(&mut self, slot: u32, lo: u32, hi: u32, resolution: &mut Resolution) {
        let window = self.window;
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
        let next = C::next(hi);
        socket.next = next;
        let oldest = socket.oldest;
        self.advance_oldest(slot, oldest, next);
        resolution.adopted = beyond;
        resolution.resolved += beyond - outstanding;
        resolution.unknown -= beyond - outstanding;
    }

    /// Moves the oldest id to the first one from `oldest` on that is outstanding, or to `next`.
    #[inline]
    fn advance_oldest(&mut self, slot: u32, mut oldest: u32, next: u32) {
        let window = self.window;
        while oldest != next && self.windows[slot * window + (oldest & (window - 1))] == 0 {
            oldest = C::next(oldest);
        }
        self.sockets[slot].oldest = oldest;
    }

    #[inline]
    fn count(&mut self, slot: u32, resolution: &Resolution, copied: bool) {
        let Resolution { resolved, duplicate, unknown, adopted } = *resolution;
        let tally = &mut self.sockets[slot].tally;
        tally.notifications += 1;
        if copied {
            tally.ids_copied += resolved as u64;
        } else {
            tally.ids_not_copied += resolved as u64;
        }
        if duplicate | unknown | adopted != 0 {
            tally.ids_duplicate += duplicate as u64;
            tally.ids_unknown += unknown as u64;
            tally.ids_taken += adopted as u64;
        }
    }
}
