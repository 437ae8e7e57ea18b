//! The kernel's answers: accepted, copied, failed, completed; and the events that follow.

use super::*;
use ringlet_core::batch::Reason;
use ringlet_core::events::{ACCEPTED, RELEASED};
use ringlet_core::send;
use ringlet_core::socket::Resolution;
use ringlet_core::store::{SENDS_AT, STAGING_AT};

impl World<'_> {
    pub(super) fn accept(&mut self, a: u32, b: u32, c: u32) {
        let (mut slot, mut generation) = self.pick_send(a, b, State::Queued);
        if a % 4 != 3 {
            // Mostly the head of a queue: anything else is refused.
            let (socket, _) = self.pick_socket(a, 0);
            let socket = self.sockets[socket as usize].live.as_ref();
            if let Some(&head) = socket.and_then(|socket| socket.queue.front()) {
                slot = head;
                generation = self.sends[head as usize].last;
            }
        }
        let send = self.sends.get(slot as usize).and_then(|slot| slot.live.as_ref());
        let left = send.map_or(1, Send::left);
        let socket = send.and_then(|send| self.sockets[send.socket as usize].live.as_ref());
        let next = send.zip(socket).map_or(left, |(send, socket)| send.next(socket));
        let bytes = match b % 8 {
            0 => left + 1,
            1 => 0,
            2 | 3 if left > 1 && self.sends.len() > slot as usize => self.part_of(slot, b >> 3, c),
            4 => left,
            _ => next,
        };
        let zero_copy = c & 7 != 7;
        let expected = self.expect_accept(slot, generation, bytes, zero_copy);
        assert_eq!(self.real.accept(slot, generation, bytes, zero_copy), expected, "accept");
    }

    pub(super) fn expect_accept(
        &mut self,
        slot: u32,
        generation: u32,
        bytes: u32,
        zero_copy: bool,
    ) -> Result<(u32, u32), Fault> {
        let window = self.sizes.window as usize;
        let send = Self::find(&mut self.sends, slot, generation, |send| send.generation, &mut self.counters)?;
        if send.state != State::Queued {
            return Err(Fault::Busy);
        }
        let socket = self.sockets[send.socket as usize].live.as_mut().expect("a socket");
        if socket.queue.front() != Some(&slot) {
            return Err(Fault::Busy);
        }
        let left = send.left();
        let segment = send.by_segment(socket) && bytes == send.extra.segment;
        if bytes > left || (bytes < left && (bytes == 0 || (socket.datagram && !segment))) {
            return Err(Fault::Range);
        }
        let mut id = 0;
        if zero_copy && (bytes > 0 || socket.datagram) {
            if socket.ids.len() == window {
                return Err(Fault::NoRoom);
            }
            id = socket.next;
            socket.next = socket.next.wrapping_add(1);
            socket.ids.push_back((id, Owner::Send(slot)));
            socket.in_flight += bytes as u64;
            socket.counters.bytes_zero_copy += bytes as u64;
            self.counters.bytes_zero_copy += bytes as u64;
            send.refs += 1;
            send.lent += bytes;
        }
        if !zero_copy {
            send.copied = true;
        }
        if bytes < left && segment || send.begun() {
            self.seen.segments += 1;
            self.seen.crossing += (send.ranges(bytes).len() > 1) as u64;
        } else {
            self.seen.trains += (send.extra.segment != 0) as u64;
        }
        send.accepted += bytes;
        socket.counters.bytes_accepted += bytes as u64;
        self.counters.bytes_accepted += bytes as u64;
        let left = send.bytes - send.accepted;
        if left == 0 {
            send.state = State::Accepted;
            socket.queue.pop_front();
            socket.counters.accepted += 1;
            self.counters.accepted += 1;
            let told = if send.reaped { &mut self.reaped } else { &mut self.events };
            told.push_back(Event { kind: ACCEPTED, send: slot, generation, value: send.bytes });
            if send.refs == 0 {
                self.released(slot);
            }
        }
        Ok((id, left))
    }

    /// Fills a batch, reads it as the kernel would, and answers.
    pub(super) fn batch(&mut self, a: u32, b: u32, c: u32) {
        let (slot, generation) = self.pick_socket(a, b);
        let max = c % 40;
        let got = self.real.batch_fill(slot, generation, max);
        let socket = match self.socket(slot, generation) {
            Err(fault) => return assert_eq!(got, Err(fault)),
            Ok(socket) => socket.clone(),
        };
        if max == 0 {
            return assert_eq!(got, Err(Fault::Range));
        }
        let filled = got.expect("a batch");
        let mut room = self.sizes.window as usize - socket.ids.len();
        let (mut messages, mut bytes, mut reason) = (0, 0, Reason::Empty);
        let mut group = None;
        for &queued in socket.queue.iter().take(max as usize) {
            let send = self.sends[queued as usize].live.as_ref().expect("a send");
            let left = send.next(&socket) as u64;
            if group.is_some_and(|group| group != send.zero_copy) {
                break;
            }
            if send.zero_copy {
                let takes_id = left > 0 || socket.datagram;
                if takes_id && room == 0 {
                    reason = Reason::Window;
                    break;
                }
                room -= takes_id as usize;
                let busy = socket.in_flight + bytes;
                if busy > 0 && send.accepted == 0 && socket.limit != u32::MAX && busy + left > socket.limit as u64 {
                    reason = Reason::Limit;
                    break;
                }
            }
            group = Some(send.zero_copy);
            messages += 1;
            bytes += left;
            if send.by_segment(&socket) {
                break;
            }
        }
        assert_eq!((filled.messages, filled.bytes), (messages, bytes), "batch");
        if messages > 0 {
            assert_eq!(Some(filled.zero_copy), group, "one flag for a batch");
        } else {
            assert_eq!(filled.reason, reason);
        }
        for (i, &queued) in socket.queue.iter().take(messages as usize).enumerate() {
            self.check_message(i as u32, queued, &socket);
        }

        if c >> 24 & 63 == 0 {
            // Of others it takes no trains any more; those in the batch are on their way.
            self.unsegment(slot, generation);
        }

        // The kernel takes some of them, and stops at the first that it takes in part, or refuses.
        let mut count = 0;
        let mut accepted = 0;
        let mut refused = false;
        for i in 0..messages.min(b >> 8 & 63) {
            let head = socket.queue[i as usize];
            let send = self.sends[head as usize].live.as_ref().expect("a send");
            let left = send.next(&socket);
            let train = send.extra.segment != 0 && !socket.unsegmented;
            refused = train && (c >> 12).wrapping_add(i) % 8 == 0;
            if refused {
                break;
            }
            let partial = !socket.datagram && left > 1 && (c >> 8).wrapping_add(i) % 4 == 0;
            let taken = if partial { self.part_of(head, b >> 14, c) } else { left };
            self.real.batch_message(i).len = if self.advances_by_trains { send.left() } else { taken };
            let (last, zero_copy) = (send.generation, filled.zero_copy);
            self.expect_accept(head, last, taken, zero_copy).expect("an accepted message");
            accepted += taken as u64;
            count += 1;
            if partial {
                break;
            }
        }
        let queued = self.sockets[slot as usize].live.as_ref().expect("a socket").queue.len() as u32;
        assert_eq!(self.real.batch_done(slot, generation, count), Ok((queued, accepted)), "done");
        if count > 0 {
            assert_eq!(self.real.batch_done(slot, generation, 1), Err(Fault::Range), "a batch is answered once");
        }
        if refused {
            self.refuse(slot, generation, c >> 20);
        }
    }

    /// The kernel refused a train, which takes an id now and then, for it takes none of this socket.
    fn refuse(&mut self, slot: u32, generation: u32, c: u32) {
        let socket = self.sockets[slot as usize].live.as_ref().expect("a socket");
        let sends = || self.sends.iter().filter_map(|slot| slot.live.as_ref()).filter(|send| send.socket == slot);
        self.seen.refused += 1;
        self.seen.refused_later += sends().any(|send| send.extra.segment != 0 && send.refs != 0) as u64;
        if socket.ids.len() < self.sizes.window as usize && c & 3 == 0 {
            self.take_id_of(slot, generation);
        }
        self.unsegment(slot, generation);
    }

    /// Some bytes of a send, but not all; often up to where one of its leases ends.
    pub(super) fn part_of(&self, slot: u32, b: u32, c: u32) -> u32 {
        let send = self.sends[slot as usize].live.as_ref().expect("a send");
        let left = send.left();
        let ends = send.parts.iter().scan(0, |end, part| {
            *end += part.bytes;
            Some(*end)
        });
        let first = ends.filter(|&end| end > send.accepted && end < send.bytes).nth((b >> 1 & 1) as usize);
        match first {
            Some(end) if b & 1 == 0 => end - send.accepted,
            _ => c % (left - 1) + 1,
        }
    }

    pub(super) fn check_message(&mut self, i: u32, slot: u32, socket: &Socket) {
        let header = self.real.batch_message(i).header;
        let record = self.real.send_record(slot);
        let send = self.sends[slot as usize].live.as_ref().expect("a send");
        let at = CORE_BASE + SENDS_AT as u64 + slot as u64 * size_of::<send::Send>() as u64;
        let by_segment = send.by_segment(socket);
        assert!(by_segment || header == record.message, "the record is kept ready");
        let Extra { name, control, .. } = send.extra;
        let said = by_segment && send.extra.segment != socket.segment;
        let control = control - if said { send::SEGMENT_CONTROL_BYTES as u32 } else { 0 };
        let given = |offset: u32, bytes: u32| (if bytes == 0 { 0 } else { at + offset as u64 }, bytes as u64);
        assert_eq!((header.name, header.name_len as u64), given(send::offsets::NAME, name), "where it goes");
        assert_eq!((header.control, header.control_len), given(send::offsets::CONTROL, control), "what goes with it");
        // The record has iovecs for all that is left; those of a segment are staged.
        let start = if by_segment { CORE_BASE + STAGING_AT as u64 } else { at + send::offsets::IOVECS as u64 };
        let first = ((header.iov - start) / 16) as u32;
        let iovec = |i| if by_segment { self.real.staged(i) } else { record.iovecs[i as usize] };
        let iovecs: Vec<_> = (first..first + header.iov_len as u32).map(iovec).collect();
        assert_eq!(iovecs, send.ranges(send.next(socket)), "the bytes that come next");
    }

    pub(super) fn batch_head(&mut self, a: u32, b: u32) {
        let (slot, generation) = self.pick_socket(a, b);
        let head = self.socket(slot, generation).and_then(|socket| socket.queue.front().copied().ok_or(Fault::Busy));
        if a % 3 != 0 {
            assert_eq!(self.real.batch_copy(slot, generation), head.map(|_| ()), "copy");
            if let Ok(head) = head {
                self.sends[head as usize].live.as_mut().expect("a send").zero_copy = false;
            }
            return;
        }
        let expected = head.map(|head| {
            let last = self.sends[head as usize].last;
            (head, last, self.withdraw(head, b % 3))
        });
        assert_eq!(self.real.batch_fail(slot, generation, b % 3), expected, "fail");
    }

    pub(super) fn take_id(&mut self, a: u32, b: u32) {
        let (slot, generation) = self.pick_socket(a, b);
        self.take_id_of(slot, generation);
    }

    fn take_id_of(&mut self, slot: u32, generation: u32) {
        let window = self.sizes.window as usize;
        let expected = self.socket(slot, generation).and_then(|socket| {
            if socket.ids.len() == window {
                return Err(Fault::NoRoom);
            }
            socket.next = socket.next.wrapping_add(1);
            socket.ids.push_back((socket.next.wrapping_sub(1), Owner::Nobody));
            socket.counters.ids_taken += 1;
            Ok(socket.next.wrapping_sub(1))
        });
        self.counters.ids_taken += expected.is_ok() as u64;
        assert_eq!(self.real.take_id(slot, generation), expected, "take_id");
    }

    pub(super) fn suspect(&mut self, a: u32, b: u32, c: u32) {
        let (slot, generation) = self.pick_socket(a, b);
        let on = c % 3 != 0;
        let expected = self.socket(slot, generation).map(|socket| socket.suspect = on);
        assert_eq!(self.real.suspect(slot, generation, on), expected, "suspect");
    }

    pub(super) fn complete(&mut self, a: u32, b: u32, c: u32) {
        let (slot, generation) = self.pick_socket(a, b);
        let window = self.sizes.window;
        let socket = self.sockets.get(slot as usize).and_then(|slot| slot.live.as_ref());
        let next = socket.map_or(0, |socket| socket.next);
        let oldest = socket.and_then(|socket| socket.ids.front()).map_or(next, |entry| entry.0);
        let live = next.wrapping_sub(oldest).max(1);
        let lo = oldest.wrapping_add(c % live);
        let (lo, hi) = match b % 16 {
            // One, some, all, some before and after, a few beyond the end, far away, and anything at all.
            0..=5 => (lo, lo),
            6..=8 => (lo, lo.wrapping_add((c >> 8) % (next.wrapping_sub(lo).max(1)))),
            9 => (oldest, next.wrapping_sub(1)),
            10 => (oldest.wrapping_sub(c % 5), next.wrapping_add(c >> 8 & 3)),
            11 | 12 => (next.wrapping_add(c >> 4 & 3).wrapping_sub(1), next.wrapping_add(c >> 8 & 7)),
            13 => (lo, lo.wrapping_add(c % (2 * window))),
            14 => (c, c.wrapping_sub(a & 1)),
            _ => (c, a),
        };
        self.complete_range(slot, generation, lo, hi, c & 1 == 1);
    }

    pub(super) fn complete_range(&mut self, slot: u32, generation: u32, lo: u32, hi: u32, copied: bool) {
        let got = self.real.complete(slot, generation, lo, hi, copied);
        if let Err(fault) = self.socket(slot, generation) {
            return assert_eq!(got, Err(fault));
        }
        let expected = self.expect_complete(slot, lo, hi, copied);
        assert_eq!(got, Ok(expected), "complete [{lo}, {hi}]");
    }

    pub(super) fn expect_complete(&mut self, slot: u32, lo: u32, hi: u32, copied: bool) -> Resolution {
        let window = self.sizes.window as u64;
        let length = hi.wrapping_sub(lo) as u64 + 1;
        let inside = |id: u32| (id.wrapping_sub(lo) as u64) < length;
        let socket = self.sockets[slot as usize].live.as_mut().expect("a socket");
        let mut resolution = Resolution::default();
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        for (id, owner) in socket.ids.iter_mut().filter(|(id, _)| inside(*id)) {
            match *owner {
                Owner::Resolved => resolution.duplicate += 1,
                Owner::Nobody => resolution.resolved += 1,
                Owner::Send(send) => {
                    resolution.resolved += 1;
                    hits.push((id.wrapping_sub(lo), send));
                }
            }
            *owner = Owner::Resolved;
        }
        let known = (resolution.resolved + resolution.duplicate) as u64;
        let mut unknown = length - known;
        trim(&mut socket.ids);

        // Ids beyond the end, while a failed call is suspected of having taken them.
        let beyond = hi.wrapping_sub(socket.next) as u64 + 1;
        if socket.suspect && length <= window && beyond < window && socket.ids.len() as u64 + beyond <= window {
            for _ in 0..beyond {
                let id = socket.next;
                socket.next = id.wrapping_add(1);
                if inside(id) {
                    socket.ids.push_back((id, Owner::Resolved));
                    resolution.resolved += 1;
                    unknown -= 1;
                } else {
                    socket.ids.push_back((id, Owner::Nobody));
                }
                resolution.adopted += 1;
            }
            trim(&mut socket.ids);
        }
        resolution.unknown = unknown.min(u32::MAX as u64) as u32;
        let own = &mut socket.counters;
        let all = &mut self.counters;
        let (not_copied, copies) = if copied { (0, resolution.resolved) } else { (resolution.resolved, 0) };
        for (own, all, more) in [
            (&mut own.notifications, &mut all.notifications, 1),
            (&mut own.ids_copied, &mut all.ids_copied, copies),
            (&mut own.ids_not_copied, &mut all.ids_not_copied, not_copied),
            (&mut own.ids_taken, &mut all.ids_taken, resolution.adopted),
            (&mut own.ids_duplicate, &mut all.ids_duplicate, resolution.duplicate),
            (&mut own.ids_unknown, &mut all.ids_unknown, resolution.unknown),
        ] {
            *own += more as u64;
            *all += more as u64;
        }
        // Short ranges are walked from `lo` on, long ones from the oldest id on.
        if length <= window {
            hits.sort_unstable();
        }
        for &(_, slot) in &hits {
            let send = self.sends[slot as usize].live.as_mut().expect("a send");
            send.refs -= 1;
            send.copied |= copied;
            if send.refs == 0 && send.state == State::Accepted {
                self.released(slot);
            }
        }
        self.hits = hits;
        resolution
    }

    pub(super) fn take_events(&mut self, a: u32) {
        let waiting = self.events.len() as u32;
        if a % 16 == 0 {
            assert_eq!(self.real.events_take(waiting + 1), Err(Fault::Range));
        }
        self.take_n(if a % 4 == 0 { a % (waiting + 1) } else { waiting });
    }

    /// Takes events of reaped sends: all that can be seen in one piece, or some.
    pub(super) fn take_reaped(&mut self, a: u32) {
        let (ready, _) = self.real.reaped.ready();
        assert!(ready > 0 || self.reaped.is_empty());
        let n = if a % 4 == 3 { a % (ready + 1) } else { ready };
        for i in 0..n {
            assert_eq!(Some(self.real.reaped.peek(i)), self.reaped.pop_front(), "event of a reaped send");
        }
        self.real.reaped.skip(n).expect("events");
    }

    pub(super) fn take_n(&mut self, n: u32) {
        let (ready, _) = self.real.events.ready();
        assert!(ready > 0 || self.events.is_empty());
        for i in 0..n {
            let event = self.events.pop_front().expect("an event");
            assert_eq!(self.real.events.peek(i), event, "event");
            if event.kind == RELEASED {
                let send = self.sends[event.send as usize].live.take().expect("a send");
                assert_eq!(send.generation, event.generation);
            }
        }
        self.real.events_take(n).expect("events");
    }
}

fn trim(ids: &mut VecDeque<(u32, Owner)>) {
    while ids.front().is_some_and(|(_, owner)| *owner == Owner::Resolved) {
        ids.pop_front();
    }
}
