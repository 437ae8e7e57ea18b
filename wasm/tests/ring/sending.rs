//! How the program sends: what it queues, and what it takes back.

use super::records::{Extra, Lease, Part, Place, Send, Socket};
use super::view::{IP_TOS, UDP_SEGMENT};
use super::World;
use ringlet_core::queue::Withdrawn;
use ringlet_core::send::{self, AT_ONCE, REAPED, ZERO_COPY};
use ringlet_core::Fault;

/// Bytes of the destinations of datagrams.
const NAMES: [u32; 3] = [0, 16, 28];
/// Segments of a random train, at most, unless it is longer than any.
const SEGMENTS: usize = 40;

impl World {
    /// Queues a send of a random shape, on a random socket.
    pub(super) fn send_something(&mut self) {
        let Some(socket) = self.some_socket() else { return };
        let zero_copy = !self.dice.one_in(4);
        let many = if self.dice.one_in(4) { self.dice.below(send::LEASES + 1) } else { 1 };
        let parts: Vec<_> = (0..many).filter_map(|_| self.some_part()).collect();
        let extra = self.some_extra(socket, parts.iter().map(|part| part.2).sum());
        if self.dice.one_in(2) && parts.len() == 1 {
            let flags = self.dice.of(&[0, REAPED, AT_ONCE, REAPED | AT_ONCE]);
            self.send_with(socket, flags | if zero_copy { ZERO_COPY } else { 0 }, parts[0], extra);
        } else {
            self.send_many(socket, zero_copy, &parts, extra);
        }
    }

    /// What a datagram of so many bytes may have; a stream has nothing.
    fn some_extra(&mut self, socket: u32, bytes: u32) -> Extra {
        if !self.model.socket(socket).datagram {
            return Extra::default();
        }
        let name = self.dice.of(&NAMES);
        let control = if self.dice.one_in(8) { 1 + self.dice.below(4) as u32 } else { 0 };
        let segment = match self.dice.below(8) {
            0..=3 => 0,
            // One segment, full or not, which the kernel takes for a train all the same.
            4 => bytes + self.dice.below(2) as u32,
            most => {
                let least = bytes as usize / SEGMENTS;
                (least + self.dice.below(bytes as usize / (most - 4))) as u32
            }
        };
        let by_itself = self.model.socket(socket).segment;
        if by_itself == 0 {
            let segment = segment.min(u16::MAX as u32);
            return Extra { name, control, segment, said: segment != 0 };
        }
        // No longer than the socket's own: a segment by itself must not be cut once more.
        let segment = match self.dice.below(2) {
            _ if bytes as usize / SEGMENTS > by_itself as usize => 0,
            0 => by_itself,
            _ => segment.min(by_itself),
        };
        let said = match segment {
            0 => bytes > by_itself,
            segment => segment != by_itself,
        };
        Extra { name, control, segment, said }
    }

    /// Some bytes of a lease: its slot, where they begin, and how many there are.
    fn some_part(&mut self) -> Option<(u32, u32, u32)> {
        let lease = self.some_lease()?;
        let bytes = self.model.lease(lease).bytes;
        let at = if self.dice.one_in(2) { 0 } else { self.dice.below(bytes as usize) as u32 };
        let most = bytes - at;
        Some((lease, at, if self.dice.one_in(2) { most } else { 1 + self.dice.below(most as usize) as u32 }))
    }

    fn room_for_send(&self) -> bool {
        // Records whose release was seen are free once the events were taken.
        (0..self.start.sizes.sends).any(|slot| self.core.send_record(slot).state == send::FREE)
    }

    /// Queues a send of one part. Its slot; `None` without a record.
    pub fn send_one(&mut self, socket: u32, zero_copy: bool, part: (u32, u32, u32), name: u32) -> Option<u32> {
        self.send_with(socket, if zero_copy { ZERO_COPY } else { 0 }, part, Extra { name, ..Extra::default() })
    }

    /// The same with any flags.
    pub fn send_with(&mut self, socket: u32, flags: u32, part: (u32, u32, u32), extra: Extra) -> Option<u32> {
        let &mut Socket { generation, datagram, unsegmented, .. } = self.model.socket(socket);
        let (lease, at, bytes) = part;
        let &mut Lease { generation: lease_generation, implicit, holds, .. } = self.model.lease(lease);
        let full = flags & REAPED != 0 && self.core.reaped.count() >= self.start.sizes.sends;
        let room = self.room_for_send() && !full;
        let alone = self.model.socket(socket).queue.is_empty() && !(unsegmented && extra.segment != 0);
        let goes = flags & AT_ONCE != 0 && datagram && alone;
        let entry = self.room_for_entry();
        let busy = self.busy(socket);
        let got = self.core.send_one(socket, generation, flags, extra.word(), lease, lease_generation, at, bytes);
        if !implicit && holds == 0 {
            assert_eq!(got, Err(Fault::NotHeld));
            return None;
        }
        if !room {
            assert_eq!(got, Err(Fault::NoSlot));
            return None;
        }
        let slot = got.expect("a send");
        self.opened(slot, socket, flags & ZERO_COPY != 0, extra);
        self.model.send(slot).reaped = flags & REAPED != 0;
        self.add(slot, part);
        self.queued(slot);
        let went = goes && entry && !self.over_limit(slot, busy);
        assert_eq!(self.core.send_record(slot).state == send::SUBMITTED, went, "an entry at once");
        if went {
            self.seen.at_once += 1;
            self.model.socket(socket).chain += 1;
            self.model.operations += 1;
            self.datagrams_filled(socket, 1, busy);
        }
        Some(slot)
    }

    /// Whether the core can prepare one more entry.
    fn room_for_entry(&self) -> bool {
        let slots = self.start.sizes.operations() - self.model.operations - self.model.done;
        self.core.ring.as_ref().is_some_and(|ring| ring.room() != 0) && slots != 0
    }

    /// Queues a send of any parts, none included.
    pub fn send_many(&mut self, socket: u32, zero_copy: bool, parts: &[(u32, u32, u32)], extra: Extra) -> Option<u32> {
        let &mut Socket { generation, .. } = self.model.socket(socket);
        let room = self.room_for_send();
        let flags = if zero_copy { ZERO_COPY } else { 0 };
        let got = self.core.send_new(socket, generation, flags, extra.word());
        if !room {
            assert_eq!(got, Err(Fault::NoSlot));
            return None;
        }
        let slot = got.expect("a send");
        self.opened(slot, socket, zero_copy, extra);
        let generation = self.model.send(slot).generation;
        for &(lease, at, bytes) in parts {
            let &mut Lease { generation: lease_generation, implicit, holds, .. } = self.model.lease(lease);
            let got = self.core.send_lease(slot, generation, lease, lease_generation, at, bytes);
            if !implicit && holds == 0 {
                assert_eq!(got, Err(Fault::NotHeld));
            } else if self.model.send(slot).bytes.checked_add(bytes).is_none() {
                assert_eq!(got, Err(Fault::Range));
            } else {
                got.expect("a part");
                self.add(slot, (lease, at, bytes));
            }
        }
        self.core.send_queue(slot, generation).expect("an open send");
        self.queued(slot);
        Some(slot)
    }

    fn opened(&mut self, slot: u32, socket: u32, zero_copy: bool, extra: Extra) {
        let generation = self.core.send_record(slot).generation;
        let name_at = self.memory.base() + self.core.name_at(slot) as u64;
        let record = self.core.send(slot, generation).expect("a send");
        write_control(&mut record.control, &extra);
        let socket_generation = self.model.socket(socket).generation;
        let place = &mut self.model.sends[slot as usize];
        assert!(place.is_none(), "a send was handed out twice");
        *place = Some(Send {
            generation,
            socket,
            socket_generation,
            zero_copy,
            reaped: false,
            parts: Vec::new(),
            bytes: 0,
            taken: 0,
            lent: 0,
            copied: false,
            place: Place::Queued,
            given_up: false,
            extra,
            as_train: false,
            name_at,
            control_at: name_at + (send::offsets::CONTROL - send::offsets::NAME) as u64,
            holders: Vec::new(),
            ever: Vec::new(),
        });
    }

    fn add(&mut self, slot: u32, (lease, at, bytes): (u32, u32, u32)) {
        let consumed = self.model.claim(lease);
        let at = self.model.lease(lease).offset + at;
        let send = self.model.send(slot);
        send.parts.push(Part { lease, consumed, at, bytes });
        send.bytes += bytes;
    }

    fn queued(&mut self, slot: u32) {
        self.model.queued(slot);
        let socket = self.model.send(slot).socket;
        self.wants.insert(socket);
    }

    /// Somebody changes his mind about a send that is still queued.
    pub(super) fn change_queued(&mut self) {
        let queued =
            |slot: &u32| self.model.sends[*slot as usize].as_ref().is_some_and(|send| send.place == Place::Queued);
        let all: Vec<_> = (0..self.start.sizes.sends).filter(queued).collect();
        if all.is_empty() {
            return;
        }
        let slot = self.dice.of(&all);
        if self.dice.one_in(3) {
            self.copy(slot);
        } else {
            self.cancel(slot);
        }
    }

    pub fn copy(&mut self, slot: u32) {
        let send = self.model.send(slot);
        send.zero_copy = false;
        let generation = send.generation;
        self.core.send_copy(slot, generation).expect("a queued send");
    }

    pub fn cancel(&mut self, slot: u32) {
        let &mut Send { generation, socket, .. } = self.model.send(slot);
        self.seen.trains_cut += self.model.send(slot).begun() as u64;
        let errno = self.dice.below(200) as u32;
        let (accepted, whole) = self.model.withdraw(slot, errno);
        let got = self.core.send_cancel(slot, generation, errno);
        assert_eq!(got, Ok(Withdrawn { accepted, whole }), "cancel");
        // What was behind it may go now.
        self.wants.insert(socket);
        self.check_ended();
    }
}

/// Writes control messages as the kernel wants them: what has it segment comes last.
fn write_control(words: &mut [u64], extra: &Extra) {
    let others = (0..extra.control).map(|i| [20, IP_TOS, i as u64]);
    let segment = extra.said.then_some([18, UDP_SEGMENT, extra.segment as u64]);
    for (place, message) in words.chunks_mut(3).zip(others.chain(segment)) {
        place.copy_from_slice(&message);
    }
}
