//! Sockets and sends: put together, queued, withdrawn, released.

use super::*;
use ringlet_core::events::{CUT, REFUSED, RELEASED};
use ringlet_core::queue::Withdrawn;
use ringlet_core::send;

impl World<'_> {
    pub(super) fn socket_new(&mut self, a: u32, b: u32, c: u32) {
        let limit = match b % 4 {
            0 => b % 1024,
            1 => b % self.sizes.arena,
            _ => u32::MAX,
        };
        let kind = a % 9 / 4;
        let segment = match c % 3 {
            0 => c >> 2 & 0x1ffff,
            _ => 0,
        };
        let got = self.real.socket_new(kind, limit, segment);
        if kind > 1 || segment > if kind == 1 { u16::MAX as u32 } else { 0 } {
            return assert_eq!(got, Err(Fault::Range));
        }
        if self.sockets.iter().all(|slot| slot.live.is_some()) {
            return assert_eq!(got, Err(Fault::NoSlot));
        }
        let (slot, generation) = got.expect("a socket");
        let socket = Socket {
            generation,
            datagram: kind == 1,
            unsegmented: false,
            segment,
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
            2 if b >> 8 & 1 == 0 => self.unsegment(slot, generation),
            _ => self.free_socket(slot, generation),
        }
    }

    /// Trains of a socket go segment by segment from now on.
    pub(super) fn unsegment(&mut self, slot: u32, generation: u32) {
        let expected = self.socket(slot, generation).map(|socket| socket.unsegmented = true);
        assert_eq!(self.real.socket_unsegmented(slot, generation), expected, "unsegmented");
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

    pub(super) fn send_new(&mut self, a: u32, b: u32, c: u32) {
        let (socket, generation) = self.pick_socket(a, b);
        let reaped = if b >> 20 & 3 == 0 { send::REAPED } else { 0 };
        let flags = (c % 33 / 16) | reaped;
        let segment = 1 + (c >> 12) % (32 << (c >> 8 & 7));
        let extra = self.choose_extra(socket, c % 34, segment, b >> 8);
        let expected = self.expect_open(socket, generation, flags, extra).and_then(|()| self.room_for_send(flags));
        let got = self.real.send_new(socket, generation, flags, extra.word());
        match expected {
            Err(fault) => assert_eq!(got, Err(fault)),
            Ok(()) => {
                self.opened(got.expect("a send"), socket, generation, flags, extra);
                let slot = got.expect("a send");
                for i in 0..a >> 4 & 3 {
                    self.send_lease(slot, 0, c.wrapping_add(i << 3));
                }
            }
        }
    }

    /// Datagrams may be trains, with other control messages or without; now and then what cannot be.
    pub(super) fn choose_extra(&self, socket: u32, name: u32, segment: u32, choice: u32) -> Extra {
        let live = self.sockets.get(socket as usize).and_then(|slot| slot.live.as_ref());
        let others = if choice & 6 == 0 { (choice >> 3) % 113 } else { 0 };
        let segment = segment.min(u16::MAX as u32);
        let by_itself = live.map_or(0, |socket| socket.segment);
        match live.is_some_and(|socket| socket.datagram) {
            false => Extra { name, ..Extra::default() },
            true if by_itself != 0 && choice >> 5 & 1 == 0 => Extra { name, control: others, segment: by_itself },
            true if choice & 1 == 0 => Extra { name, control: others, segment: 0 },
            true if choice >> 3 & 31 == 0 => Extra { name, control: others + choice % 25, segment },
            true => Extra { name, control: others + send::SEGMENT_CONTROL_BYTES as u32, segment },
        }
    }

    pub(super) fn expect_open(&mut self, socket: u32, generation: u32, flags: u32, extra: Extra) -> Result<(), Fault> {
        let by_itself = self.socket(socket, generation)?.segment;
        let Extra { name, control, segment } = extra;
        let unsaid = segment != 0 && segment != by_itself && control < send::SEGMENT_CONTROL_BYTES as u32;
        if flags & !send::ASKED != 0 || name > 32 || control > 136 || unsaid {
            return Err(Fault::Range);
        }
        Ok(())
    }

    pub(super) fn room_for_send(&self, flags: u32) -> Result<(), Fault> {
        let full = flags & send::REAPED != 0 && self.reaped.len() >= self.sends.len();
        if full || self.sends.iter().all(|slot| slot.live.is_some()) {
            Err(Fault::NoSlot)
        } else {
            Ok(())
        }
    }

    pub(super) fn opened(&mut self, slot: u32, socket: u32, socket_generation: u32, flags: u32, extra: Extra) {
        let generation = self.real.send_record(slot).generation;
        let send = Send {
            generation,
            state: State::Open,
            socket,
            socket_generation,
            zero_copy: flags & send::ZERO_COPY != 0,
            reaped: flags & send::REAPED != 0,
            copied: false,
            refs: 0,
            bytes: 0,
            accepted: 0,
            lent: 0,
            extra,
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

    pub(super) fn choose_part(&self, lease: u32, b: u32, c: u32) -> (u32, u32) {
        let whole = self.leases.get(lease as usize).and_then(|slot| slot.live.as_ref()).map_or(8, |lease| lease.bytes);
        match c % 8 {
            0 => (b % (whole + 2), c % (whole + 2)),
            1 => (whole, 1),
            2 => (u32::MAX, 2),
            3 => (whole / 2, whole - whole / 2),
            _ => (0, whole),
        }
    }

    pub(super) fn expect_part(&mut self, lease: u32, generation: u32, at: u32, bytes: u32) -> Result<(), Fault> {
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

    pub(super) fn add_part(&mut self, slot: u32, lease: u32, at: u32, bytes: u32) {
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

    pub(super) fn queued(&mut self, slot: u32) {
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

    pub(super) fn undo(&mut self, slot: u32) {
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
        let flags = flags | if b & 1 == 0 { send::REAPED } else { 0 } | if b & 2 == 0 { send::AT_ONCE } else { 0 };
        // Three segments or so; one, full or not; or a few bytes each.
        let segment = match a >> 24 & 7 {
            0 => bytes,
            1 => bytes.saturating_add(1),
            2 => bytes / 16,
            _ => bytes / 4 + c % (bytes / 3).max(1),
        };
        let extra = self.choose_extra(socket, name, segment.max(1), a >> 5 ^ b >> 3);
        let expected = self
            .expect_open(socket, generation, flags, extra)
            .and_then(|()| self.expect_part(lease, lease_generation, at, bytes))
            .and_then(|()| self.room_for_send(flags));
        let got = self.real.send_one(socket, generation, flags, extra.word(), lease, lease_generation, at, bytes);
        match expected {
            Err(fault) => assert_eq!(got, Err(fault), "send_one"),
            Ok(()) => {
                let slot = got.expect("a send");
                self.opened(slot, socket, generation, flags, extra);
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
        let errno = slot % 5;
        let expected = expected.map(|()| self.withdraw(slot, errno));
        assert_eq!(self.real.send_cancel(slot, generation, errno), expected, "cancel");
    }

    pub(super) fn withdraw(&mut self, slot: u32, errno: u32) -> Withdrawn {
        let send = self.sends[slot as usize].live.as_mut().expect("a send");
        let socket = self.sockets[send.socket as usize].live.as_mut().expect("a socket");
        socket.queue.retain(|&queued| queued != slot);
        self.counters.failed += 1;
        let (accepted, refs, reaped, generation) = (send.accepted, send.refs, send.reaped, send.generation);
        self.seen.cut += send.begun() as u64;
        let whole = accepted == 0 && refs == 0;
        if reaped {
            let kind = if whole { REFUSED } else { CUT };
            self.reaped.push_back(Event { kind, send: slot, generation, value: errno });
        }
        if whole {
            self.undo(slot);
            return Withdrawn { accepted, whole: true };
        }
        let send = self.sends[slot as usize].live.as_mut().expect("a send");
        send.state = State::Accepted;
        if refs == 0 {
            self.released(slot);
        }
        Withdrawn { accepted, whole: false }
    }

    pub(super) fn released(&mut self, slot: u32) {
        let send = self.sends[slot as usize].live.as_mut().expect("a send");
        send.state = State::Released;
        let event = Event { kind: RELEASED, send: slot, generation: send.generation, value: send.copied as u32 };
        let socket = self.sockets[send.socket as usize].live.as_mut().expect("a socket");
        socket.in_flight -= send.lent as u64;
        let reaped = send.reaped;
        let parts = std::mem::take(&mut send.parts);
        for part in parts {
            self.end_loan(part.lease);
        }
        if reaped {
            self.sends[slot as usize].live = None;
            self.reaped.push_back(event);
        } else {
            self.events.push_back(event);
        }
    }
}
