//! The operations of the model.

use super::*;
use ringlet_core::batch::Reason;
use ringlet_core::events::{ACCEPTED, RELEASED};
use ringlet_core::ledger::Withdrawn;
use ringlet_core::send;
use ringlet_core::socket::Resolution;
use ringlet_core::store::SENDS_AT;

impl World<'_> {
    // Leases

    pub(super) fn take(&mut self, a: u32, b: u32, c: u32) {
        let bytes = match c % 16 {
            0 => self.piece,
            1 => a % (2 * self.piece) + 1,
            2 => 0,
            3..=8 => a % 256 + 1,
            scale => a % (self.sizes.arena >> (scale - 8)) + 1,
        };
        let align = match b % 8 {
            0 => 4096,
            1 => 1 << ((b >> 3) % 32),
            2 => b >> 3 & 0x3fff,
            _ => 64,
        };
        let expected =
            if bytes == 0 || bytes > self.piece || align > self.sizes.arena || align & align.wrapping_sub(1) != 0 {
                Some(Fault::Range)
            } else if self.leases.iter().all(|slot| slot.live.is_some()) {
                Some(Fault::NoSlot)
            } else {
                None
            };
        let got = self.real.leases.take(bytes, align);
        match (got, expected) {
            (Ok(slot), None) => {
                let real = *self.real.leases.record(slot);
                assert_eq!(real.bytes, bytes);
                self.arena.take(real.offset, bytes, align);
                let lease = Lease {
                    generation: real.generation,
                    offset: real.offset,
                    bytes,
                    holds: 0,
                    implicit: true,
                    sends: 0,
                    receiving: false,
                    block: real.offset,
                };
                Self::settle_in(&mut self.leases, slot, real.generation, lease);
            }
            (Err(Fault::NoRoom), None) => {
                assert!(!self.arena.must_fit(bytes, align), "{bytes} bytes at {align} would fit");
            }
            (got, expected) => assert_eq!(got, Err(expected.expect("a fault"))),
        }
    }

    pub(super) fn release(&mut self, a: u32, b: u32) {
        let (slot, generation) = self.pick_lease(a, b, Lease::held);
        self.release_one(slot, generation);
    }

    pub(super) fn release_one(&mut self, slot: u32, generation: u32) {
        let expected = match self.lease(slot, generation) {
            Err(fault) => Err(fault),
            Ok(lease) if lease.holds > 0 => {
                lease.holds -= 1;
                Ok(())
            }
            Ok(lease) if lease.implicit => {
                lease.implicit = false;
                Ok(())
            }
            Ok(_) => Err(Fault::NotHeld),
        };
        let expected = expected.map(|()| self.settle(slot));
        assert_eq!(self.real.leases.release(slot, generation), expected, "release");
    }

    pub(super) fn retain(&mut self, a: u32, b: u32) {
        let (slot, generation) = self.pick_lease(a, b, Lease::held);
        let expected = match self.lease(slot, generation) {
            Err(fault) => Err(fault),
            Ok(lease) if lease.held() => {
                lease.holds += 1;
                Ok(())
            }
            Ok(_) => Err(Fault::NotHeld),
        };
        assert_eq!(self.real.leases.retain(slot, generation), expected, "retain");
    }

    pub(super) fn cut(&mut self, a: u32, b: u32, c: u32) {
        let (slot, generation) = self.pick_lease(a, b, |lease| lease.implicit && lease.holds == 0);
        let found = self.lease(slot, generation).map(|lease| lease.clone());
        let at = c % found.as_ref().map_or(7, |lease| lease.bytes + 1);
        let full = self.leases.iter().all(|slot| slot.live.is_some());
        let got = self.real.leases.cut(slot, generation, at);
        let lease = match found {
            Err(fault) => return assert_eq!(got, Err(fault)),
            Ok(lease) => lease,
        };
        if lease.sends > 0 || lease.holds > 0 || !lease.implicit {
            return assert_eq!(got, Err(Fault::Busy));
        }
        if at == 0 || at >= lease.bytes {
            return assert_eq!(got, Err(Fault::Range));
        }
        if full {
            return assert_eq!(got, Err(Fault::NoSlot));
        }
        let rest = got.expect("a cut");
        let real = *self.real.leases.record(rest);
        assert_eq!((real.offset, real.bytes), (lease.offset + at, lease.bytes - at));
        self.arena.share(lease.block);
        self.leases[slot as usize].live.as_mut().expect("a lease").bytes = at;
        let part = Lease { generation: real.generation, offset: real.offset, bytes: real.bytes, ..lease };
        Self::settle_in(&mut self.leases, rest, real.generation, part);
    }

    pub(super) fn lend(&mut self, a: u32, b: u32) {
        let (slot, generation) = self.pick_lease(a, b, |lease| lease.held() && lease.sends == 0);
        let expected = match self.lease(slot, generation) {
            Err(fault) => Err(fault),
            Ok(lease) if !lease.held() => Err(Fault::NotHeld),
            Ok(lease) if lease.sends > 0 => Err(Fault::Busy),
            Ok(lease) => {
                lease.receiving = true;
                self.begin_loan(slot);
                Ok(())
            }
        };
        assert_eq!(self.real.leases.lend(slot, generation), expected, "lend");
    }

    pub(super) fn unlend(&mut self, a: u32, b: u32) {
        let (slot, generation) = self.pick_lease(a, b, |lease| lease.receiving);
        self.unlend_one(slot, generation);
    }

    pub(super) fn unlend_one(&mut self, slot: u32, generation: u32) {
        let expected = match self.lease(slot, generation) {
            Err(fault) => Err(fault),
            Ok(lease) if !lease.receiving => Err(Fault::Busy),
            Ok(lease) => {
                lease.receiving = false;
                Ok(self.end_loan(slot))
            }
        };
        assert_eq!(self.real.leases.unlend(slot, generation), expected, "unlend");
    }

    fn begin_loan(&mut self, slot: u32) {
        let lease = self.leases[slot as usize].live.as_mut().expect("a lease");
        lease.sends += 1;
        if lease.sends == 1 {
            self.loans += 1;
            self.loan_bytes += lease.bytes as u64;
            self.counters.lent += 1;
            self.counters.max_in_flight = self.counters.max_in_flight.max(self.loans);
            self.counters.max_in_flight_bytes = self.counters.max_in_flight_bytes.max(self.loan_bytes);
        }
    }

    fn end_loan(&mut self, slot: u32) -> bool {
        let lease = self.leases[slot as usize].live.as_mut().expect("a lease");
        lease.sends -= 1;
        if lease.sends == 0 {
            self.loans -= 1;
            self.loan_bytes -= lease.bytes as u64;
            self.counters.released += 1;
        }
        self.settle(slot)
    }

    /// The lease goes back when nobody has a claim.
    fn settle(&mut self, slot: u32) -> bool {
        let lease = self.leases[slot as usize].live.as_ref().expect("a lease");
        if lease.held() || lease.sends > 0 {
            return false;
        }
        self.arena.give(lease.block);
        self.leases[slot as usize].live = None;
        true
    }

    // Sockets

    pub(super) fn socket_new(&mut self, a: u32, b: u32) {
        let limit = match b % 4 {
            0 => b % 1024,
            1 => b % self.sizes.arena,
            _ => u32::MAX,
        };
        let kind = a % 9 / 4;
        let got = self.real.socket_new(kind, limit);
        if kind > 1 {
            return assert_eq!(got, Err(Fault::Range));
        }
        if self.sockets.iter().all(|slot| slot.live.is_some()) {
            return assert_eq!(got, Err(Fault::NoSlot));
        }
        let (slot, generation) = got.expect("a socket");
        let socket = Socket {
            generation,
            datagram: kind == 1,
            limit,
            next: self.first_id,
            ids: VecDeque::new(),
            queue: VecDeque::new(),
            suspect: false,
            in_flight: 0,
            counters: Default::default(),
        };
        Self::settle_in(&mut self.sockets, slot, generation, socket);
        self.real.socket_set_next(slot, generation, self.first_id).expect("an idle socket");
    }

    pub(super) fn socket_change(&mut self, a: u32, b: u32, c: u32) {
        let (slot, generation) = self.pick_socket(a, b);
        match c % 4 {
            0 => {
                let expected = self.socket(slot, generation).map(|socket| socket.limit = c);
                assert_eq!(self.real.socket_limit(slot, generation, c), expected, "limit");
            }
            1 => {
                let next = if b & 64 == 0 { c } else { 0u32.wrapping_sub(c % 16) };
                let expected = self.socket(slot, generation).and_then(|socket| {
                    if !socket.queue.is_empty() || !socket.ids.is_empty() {
                        return Err(Fault::Busy);
                    }
                    socket.next = next;
                    Ok(())
                });
                assert_eq!(self.real.socket_set_next(slot, generation, next), expected, "set next");
            }
            _ => self.free_socket(slot, generation),
        }
    }

    pub(super) fn free_socket(&mut self, slot: u32, generation: u32) {
        let expected = self.socket(slot, generation).and_then(|socket| {
            if socket.queue.is_empty() && socket.ids.is_empty() {
                Ok(())
            } else {
                Err(Fault::Busy)
            }
        });
        if expected.is_ok() {
            self.sockets[slot as usize].live = None;
        }
        assert_eq!(self.real.socket_free(slot, generation), expected, "free");
    }

    // Sends

    pub(super) fn send_new(&mut self, a: u32, b: u32, c: u32) {
        let (socket, generation) = self.pick_socket(a, b);
        let (flags, name) = (c % 33 / 16, c % 34);
        let expected = self.expect_open(socket, generation, flags, name).and_then(|()| self.room_for_send());
        let got = self.real.send_new(socket, generation, flags, name);
        match expected {
            Err(fault) => assert_eq!(got, Err(fault)),
            Ok(()) => self.opened(got.expect("a send"), socket, generation, flags),
        }
    }

    fn expect_open(&mut self, socket: u32, generation: u32, flags: u32, name: u32) -> Result<(), Fault> {
        self.socket(socket, generation)?;
        if flags > 1 || name > 32 {
            return Err(Fault::Range);
        }
        Ok(())
    }

    fn room_for_send(&self) -> Result<(), Fault> {
        if self.sends.iter().all(|slot| slot.live.is_some()) {
            Err(Fault::NoSlot)
        } else {
            Ok(())
        }
    }

    fn opened(&mut self, slot: u32, socket: u32, socket_generation: u32, flags: u32) {
        let generation = self.real.send_record(slot).generation;
        let send = Send {
            generation,
            state: State::Open,
            socket,
            socket_generation,
            zero_copy: flags == 1,
            copied: false,
            refs: 0,
            bytes: 0,
            accepted: 0,
            lent: 0,
            parts: Vec::new(),
        };
        Self::settle_in(&mut self.sends, slot, generation, send);
    }

    pub(super) fn send_lease(&mut self, a: u32, b: u32, c: u32) {
        let (slot, generation) = self.pick_send(a, b, State::Open);
        let (lease, lease_generation) = self.pick_lease(c, b >> 8, |lease| lease.held() && !lease.receiving);
        let (at, bytes) = self.choose_part(lease, b, c);
        let expected = match self.send(slot, generation) {
            Err(fault) => Err(fault),
            Ok(send) if send.state != State::Open => Err(Fault::Busy),
            Ok(send) => {
                let full = send.parts.len() == send::LEASES || send.bytes.checked_add(bytes).is_none();
                self.expect_part(lease, lease_generation, at, bytes).and(if full { Err(Fault::Range) } else { Ok(()) })
            }
        };
        assert_eq!(self.real.send_lease(slot, generation, lease, lease_generation, at, bytes), expected, "send_lease");
        if expected.is_ok() {
            self.add_part(slot, lease, at, bytes);
        }
    }

    fn choose_part(&self, lease: u32, b: u32, c: u32) -> (u32, u32) {
        let whole = self.leases.get(lease as usize).and_then(|slot| slot.live.as_ref()).map_or(8, |lease| lease.bytes);
        match c % 8 {
            0 => (b % (whole + 2), c % (whole + 2)),
            1 => (whole, 1),
            2 => (u32::MAX, 2),
            3 => (whole / 2, whole - whole / 2),
            _ => (0, whole),
        }
    }

    fn expect_part(&mut self, lease: u32, generation: u32, at: u32, bytes: u32) -> Result<(), Fault> {
        let lease = self.lease(lease, generation)?;
        if !lease.held() {
            return Err(Fault::NotHeld);
        }
        if lease.receiving {
            return Err(Fault::Busy);
        }
        if bytes == 0 || at as u64 + bytes as u64 > lease.bytes as u64 {
            return Err(Fault::Range);
        }
        Ok(())
    }

    fn add_part(&mut self, slot: u32, lease: u32, at: u32, bytes: u32) {
        let record = self.leases[lease as usize].live.as_mut().expect("a lease");
        let consumed = record.implicit;
        record.implicit = false;
        let at = record.offset + at;
        let send = self.sends[slot as usize].live.as_mut().expect("a send");
        send.bytes += bytes;
        send.parts.push(Part { lease, consumed, at, bytes });
        self.begin_loan(lease);
    }

    pub(super) fn send_queue_or_drop(&mut self, a: u32, b: u32) {
        let (slot, generation) = self.pick_send(a, b, State::Open);
        if a % 8 == 7 {
            return self.drop_send(slot, generation);
        }
        let found = self.send(slot, generation).map(|send| (send.state, send.socket, send.socket_generation));
        let expected = match found {
            Err(fault) => Err(fault),
            Ok((State::Open, socket, socket_generation)) => self.socket(socket, socket_generation).map(|_| ()),
            Ok(_) => Err(Fault::Busy),
        };
        assert_eq!(self.real.send_queue(slot, generation), expected, "queue");
        match (found, expected) {
            (Ok(_), Ok(())) => self.queued(slot),
            // Its socket is gone: such sends would fill the table.
            (Ok((State::Open, ..)), Err(_)) => self.drop_send(slot, generation),
            _ => {}
        }
    }

    fn queued(&mut self, slot: u32) {
        let send = self.sends[slot as usize].live.as_mut().expect("a send");
        send.state = State::Queued;
        let socket = self.sockets[send.socket as usize].live.as_mut().expect("a socket");
        socket.queue.push_back(slot);
        socket.counters.sends += 1;
        self.counters.sends += 1;
    }

    pub(super) fn drop_send(&mut self, slot: u32, generation: u32) {
        let expected = match self.send(slot, generation) {
            Err(fault) => Err(fault),
            Ok(send) if send.state == State::Open => Ok(()),
            Ok(_) => Err(Fault::Busy),
        };
        assert_eq!(self.real.send_drop(slot, generation), expected, "drop");
        if expected.is_ok() {
            self.undo(slot);
        }
    }

    fn undo(&mut self, slot: u32) {
        let send = self.sends[slot as usize].live.take().expect("a send");
        for part in send.parts.iter().rev() {
            if part.consumed {
                self.leases[part.lease as usize].live.as_mut().expect("a lease").implicit = true;
            }
            self.end_loan(part.lease);
        }
    }

    pub(super) fn send_one(&mut self, a: u32, b: u32, c: u32) {
        let (socket, generation) = self.pick_socket(a, b);
        let (lease, lease_generation) = self.pick_lease(c >> 3, b >> 8, |lease| lease.held() && !lease.receiving);
        let (at, bytes) = self.choose_part(lease, b, c);
        let (flags, name) = ((a >> 8) % 8 / 2 % 3, if a >> 16 & 15 == 0 { 33 } else { 28 });
        let flags = flags.min(if a >> 20 & 3 == 0 { 2 } else { 1 });
        let expected = self
            .expect_open(socket, generation, flags, name)
            .and_then(|()| self.expect_part(lease, lease_generation, at, bytes))
            .and_then(|()| self.room_for_send());
        let got = self.real.send_one(socket, generation, flags, name, lease, lease_generation, at, bytes);
        match expected {
            Err(fault) => assert_eq!(got, Err(fault), "send_one"),
            Ok(()) => {
                let slot = got.expect("a send");
                self.opened(slot, socket, generation, flags);
                self.add_part(slot, lease, at, bytes);
                self.queued(slot);
            }
        }
    }

    pub(super) fn send_cancel(&mut self, a: u32, b: u32) {
        let (slot, generation) = self.pick_send(a, b, State::Queued);
        self.cancel_send(slot, generation);
    }

    pub(super) fn cancel_send(&mut self, slot: u32, generation: u32) {
        let expected = match self.send(slot, generation) {
            Err(fault) => Err(fault),
            Ok(send) if send.state == State::Queued => Ok(()),
            Ok(_) => Err(Fault::Busy),
        };
        let expected = expected.map(|()| self.withdraw(slot));
        assert_eq!(self.real.send_cancel(slot, generation), expected, "cancel");
    }

    fn withdraw(&mut self, slot: u32) -> Withdrawn {
        let send = self.sends[slot as usize].live.as_mut().expect("a send");
        let socket = self.sockets[send.socket as usize].live.as_mut().expect("a socket");
        socket.queue.retain(|&queued| queued != slot);
        self.counters.failed += 1;
        let accepted = send.accepted;
        if accepted == 0 && send.refs == 0 {
            self.undo(slot);
            return Withdrawn { accepted, whole: true };
        }
        send.state = State::Accepted;
        if send.refs == 0 {
            self.released(slot);
        }
        Withdrawn { accepted, whole: false }
    }

    fn released(&mut self, slot: u32) {
        let send = self.sends[slot as usize].live.as_mut().expect("a send");
        send.state = State::Released;
        let event = Event { kind: RELEASED, send: slot, generation: send.generation, value: send.copied as u32 };
        let socket = self.sockets[send.socket as usize].live.as_mut().expect("a socket");
        socket.in_flight -= send.lent as u64;
        let parts = std::mem::take(&mut send.parts);
        for part in parts {
            self.end_loan(part.lease);
        }
        self.events.push_back(event);
    }

    // The kernel's answers

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
        let left = self
            .sends
            .get(slot as usize)
            .and_then(|slot| slot.live.as_ref())
            .map_or(1, |send| send.bytes - send.accepted);
        let bytes = match b % 8 {
            0 => left + 1,
            1 => 0,
            2 | 3 => c % (left + 1),
            _ => left,
        };
        let zero_copy = c & 7 != 7;
        let expected = self.expect_accept(slot, generation, bytes, zero_copy);
        assert_eq!(self.real.accept(slot, generation, bytes, zero_copy), expected, "accept");
    }

    fn expect_accept(&mut self, slot: u32, generation: u32, bytes: u32, zero_copy: bool) -> Result<(u32, u32), Fault> {
        let window = self.sizes.window as usize;
        let send = Self::find(&mut self.sends, slot, generation, |send| send.generation, &mut self.counters)?;
        if send.state != State::Queued {
            return Err(Fault::Busy);
        }
        let socket = self.sockets[send.socket as usize].live.as_mut().expect("a socket");
        if socket.queue.front() != Some(&slot) {
            return Err(Fault::Busy);
        }
        let left = send.bytes - send.accepted;
        if bytes > left || (bytes < left && (bytes == 0 || socket.datagram)) {
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
        send.accepted += bytes;
        socket.counters.bytes_accepted += bytes as u64;
        self.counters.bytes_accepted += bytes as u64;
        let left = send.bytes - send.accepted;
        if left == 0 {
            send.state = State::Accepted;
            socket.queue.pop_front();
            socket.counters.accepted += 1;
            self.counters.accepted += 1;
            self.events.push_back(Event { kind: ACCEPTED, send: slot, generation, value: send.bytes });
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
            let left = (send.bytes - send.accepted) as u64;
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
                if busy > 0 && socket.limit != u32::MAX && busy + left > socket.limit as u64 {
                    reason = Reason::Limit;
                    break;
                }
            }
            group = Some(send.zero_copy);
            messages += 1;
            bytes += left;
        }
        assert_eq!((filled.messages, filled.bytes), (messages, bytes), "batch");
        if messages > 0 {
            assert_eq!(Some(filled.zero_copy), group, "one flag for a batch");
        } else {
            assert_eq!(filled.reason, reason);
        }
        for (i, &queued) in socket.queue.iter().take(messages as usize).enumerate() {
            self.check_message(i as u32, queued);
        }

        // The kernel takes some of them, and stops at the first that it takes in part.
        let mut count = 0;
        let mut accepted = 0;
        for i in 0..messages.min(b >> 8 & 63) {
            let head = socket.queue[i as usize];
            let send = self.sends[head as usize].live.as_ref().expect("a send");
            let left = send.bytes - send.accepted;
            let partial = !socket.datagram && left > 1 && (c >> 8).wrapping_add(i) % 4 == 0;
            let taken = if partial { c % (left - 1) + 1 } else { left };
            self.real.batch_message(i).len = taken;
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
    }

    fn check_message(&mut self, i: u32, slot: u32) {
        let header = self.real.batch_message(i).header;
        let record = self.real.send_record(slot);
        let send = self.sends[slot as usize].live.as_ref().expect("a send");
        let at = CORE_BASE + SENDS_AT as u64 + slot as u64 * size_of::<send::Send>() as u64;
        assert_eq!(header, record.message, "the record is kept ready");
        assert_eq!(header.control_len, 0);
        assert!(header.name == 0 && header.name_len == 0 || header.name == at + send::offsets::NAME as u64);
        let first = (header.iov - at - send::offsets::IOVECS as u64) / 16;
        let mut iovecs = record.iovecs[first as usize..][..header.iov_len as usize].iter();
        let mut skip = send.accepted;
        for part in &send.parts {
            if skip >= part.bytes {
                skip -= part.bytes;
                continue;
            }
            let iovec = iovecs.next().expect("an iovec for every part that is left");
            assert_eq!(iovec.base, ARENA_BASE + (part.at + skip) as u64, "where the bytes are");
            assert_eq!(iovec.len, (part.bytes - skip) as u64, "how many are left");
            skip = 0;
        }
        assert_eq!(iovecs.next(), None);
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
            (head, last, self.withdraw(head))
        });
        assert_eq!(self.real.batch_fail(slot, generation), expected, "fail");
    }

    pub(super) fn take_id(&mut self, a: u32, b: u32) {
        let (slot, generation) = self.pick_socket(a, b);
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

    fn expect_complete(&mut self, slot: u32, lo: u32, hi: u32, copied: bool) -> Resolution {
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

    // Events

    pub(super) fn take_events(&mut self, a: u32) {
        let waiting = self.events.len() as u32;
        if a % 16 == 0 {
            assert_eq!(self.real.events_take(waiting + 1), Err(Fault::Range));
        }
        self.take_n(if a % 4 == 0 { a % (waiting + 1) } else { waiting });
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
