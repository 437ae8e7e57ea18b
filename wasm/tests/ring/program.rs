//! What the program does besides sending: enters the kernel, takes completions and events, calls, cancels, wakes up.

use super::records::{Place, Send, Socket};
use super::request::{Effect, Mistake, ACCEPT, CANCEL_ALL_FD, EINVAL, EIO, MULTISHOT};
use super::rings::OVERFLOW;
use super::{World, PIPE_FD, RING_FD};
use ringlet_core::events::{Event, CALLED, FAILED, READY, RELEASED};
use ringlet_core::operation::{Operation, NOBODY};
use ringlet_core::ring::{opcode, Entry};
use ringlet_core::Fault;

const EVERYTHING: usize = usize::MAX;

/// What the program does when the kernel refuses a send.
#[derive(Clone, Copy, Debug)]
pub enum Reaction {
    Again,
    Copy,
    Cancel,
    /// This one and all behind it.
    CancelAll,
    /// Until the kernel has let go of something; a copy if it holds nothing.
    Wait,
}

impl Reaction {
    const ALL: [Reaction; 5] = [Reaction::Again, Reaction::Copy, Reaction::Cancel, Reaction::CancelAll, Reaction::Wait];
}

impl World {
    fn ring_room(&self) -> u32 {
        self.core.ring.as_ref().map_or(0, |ring| ring.room())
    }

    fn ring_pending(&self) -> u32 {
        self.core.ring.as_ref().map_or(0, |ring| ring.pending())
    }

    // The kernel

    /// Publishes what was prepared; the kernel takes all of it, or now and then only some, links or no links.
    pub(super) fn enter(&mut self) {
        let waiting = self.ring_pending() as usize;
        let max = if self.dice.one_in(4) { self.dice.below(waiting) } else { EVERYTHING };
        self.enter_some(max);
    }

    pub fn enter_all(&mut self) {
        self.enter_some(EVERYTHING);
    }

    pub fn enter_some(&mut self, max: usize) {
        self.core.ring.as_mut().expect("a ring").publish();
        for (chain, taken) in self.kernel.enter(max) {
            self.seen.chains += 1;
            self.seen.cut += (chain.len() - taken) as u64;
            self.seen.links += chain.len() as u64 - 1;
            self.seen.gathered += chain.iter().filter(|request| request.parts.len() > 1).count() as u64;
            self.model.entered(&chain);
        }
        if self.ring_pending() != 0 && self.start.mistake != Mistake::NeverCuts {
            self.core.ring_cut();
        }
        while let Some((user_data, found)) = self.kernel.cancels.pop_front() {
            self.seen.cancelled += found.is_some() as u64;
            if self.cancels.front() == Some(&user_data) {
                self.cancels.pop_front();
            } else if let Some(fd) = found {
                // By itself the core goes on cancelling the links of a chain with a send that was given up.
                assert!(self.model.gives_up(fd), "somebody else's operation was cancelled");
            }
        }
    }

    /// Takes completions, and tells the model what they meant.
    pub fn reap(&mut self) {
        let mistaken = self.start.mistake == Mistake::AdvancesByTrains;
        if mistaken {
            self.change_left(|send| send.next(true));
        }
        let count = self.core.ring_reap().expect("a ring");
        if mistaken {
            self.change_left(|send| send.bytes - send.taken);
        }
        for _ in 0..count {
            let effect = self.kernel.effects.pop_front().expect("a completion");
            self.seen.late += matches!(effect, Effect::Late) as u64;
            if let Effect::Called { user_data, more: false, .. } = effect {
                self.calls.retain(|call| *call != user_data);
            }
            self.model.apply(effect);
        }
        if self.kernel.rings.readable() {
            // It stops only for want of room to tell.
            self.seen.stopped += 1;
            let room = self.start.sizes.events() - self.core.events.count() as u64;
            assert!(room <= self.most_events(), "stopped with room for {room} events");
        }
        self.check_ended();
        let flags = self.core.ring.as_ref().map_or(0, |ring| ring.flags());
        if flags & OVERFLOW != 0 {
            self.seen.overflown += 1;
            if self.dice.one_in(2) {
                self.kernel.rings.flush();
            }
        }
    }

    /// Has the core take something else for the rest of every train that goes segment by segment.
    fn change_left(&mut self, left: impl Fn(&Send) -> u32) {
        let sends = self.model.sends.iter().enumerate();
        for (slot, send) in sends.filter_map(|(slot, send)| Some((slot as u32, send.as_ref()?))) {
            let record = self.core.send(slot, send.generation).expect("a send");
            if send.place == Place::Submitted && send.extra.segment != 0 && !send.as_train && record.left != 0 {
                record.left = left(send);
            }
        }
    }

    /// What one completion can bring.
    fn most_events(&self) -> u64 {
        2 * self.start.sizes.sends as u64 + 2
    }

    /// Memory that no send has any more must be nobody's.
    pub(super) fn check_ended(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.model.ended) {
            let start = super::ARENA_BASE + offset as u64;
            assert!(!self.kernel.holds(start, start + bytes as u64), "released while the kernel holds it");
        }
    }

    // Events

    /// Looks at all events, or now and then only at some.
    pub fn dispatch(&mut self) {
        let (ready, _) = self.core.events.ready();
        let n = if self.dice.one_in(4) { self.dice.below(ready as usize + 1) as u32 } else { ready };
        self.look(n, true);
    }

    /// Looks at all events.
    pub fn dispatch_all(&mut self) {
        while self.core.events.count() != 0 {
            let (ready, _) = self.core.events.ready();
            self.look(ready, false);
        }
    }

    /// Looks at `n` events, one after another, and takes them when it has seen them all.
    fn look(&mut self, n: u32, interrupted: bool) {
        let mut called = 0;
        for i in 0..n {
            let event = self.core.events.peek(i);
            called += (event.kind == CALLED) as u32;
            self.handle(event);
            // A handler may do whatever a program does.
            if interrupted && self.dice.one_in(32) {
                self.fill_wanted();
                self.enter();
                self.reap();
            }
        }
        self.core.events_take(n).expect("events that were seen");
        self.model.done -= called;
    }

    /// Looks at what became of reaped sends: at all of it, or now and then only at some.
    pub fn reap_sends(&mut self) {
        let (ready, first) = self.core.reaped.ready();
        let n = if self.dice.one_in(4) { self.dice.below(ready as usize + 1) as u32 } else { ready };
        for i in 0..n {
            let event = self.core.reaped.peek(i);
            let same = |expected: &Event| (expected.send, expected.generation) == (event.send, event.generation);
            let at = self.model.expected_reaped.iter().position(same);
            let expected = at.and_then(|at| self.model.expected_reaped.remove(at));
            assert_eq!(expected, Some(event), "an event of a reaped send, from {first} on");
            self.seen.reaped += 1;
        }
        self.core.reaped.skip(n).expect("events that were seen");
    }

    fn handle(&mut self, event: Event) {
        if event.kind == READY {
            self.seen.ready += 1;
            let socket = self.model.sockets[event.send as usize].as_ref();
            if socket.is_some_and(|socket| socket.generation == event.generation) {
                self.wants.insert(event.send);
            }
            return;
        }
        if event.kind == RELEASED {
            let send = self.model.sends[event.send as usize].as_ref().expect("a send");
            let held = send.ever.iter().any(|&serial| self.kernel.holds_request(serial));
            assert!(!held, "released early");
        }
        let called = event.kind > READY;
        let same = |expected: &Event| {
            (expected.kind > READY, expected.send, expected.generation) == (called, event.send, event.generation)
        };
        let at = self.model.expected.iter().position(same);
        let expected = at.and_then(|at| self.model.expected.remove(at));
        assert_eq!(expected, Some(event), "an event that nobody expects");
        match event.kind {
            FAILED => self.react(event),
            RELEASED => self.released(event.send),
            _ => {}
        }
    }

    fn released(&mut self, slot: u32) {
        self.seen.released += 1;
        self.model.sends[slot as usize].take().expect("a send");
    }

    /// The kernel refused a send.
    fn react(&mut self, event: Event) {
        self.seen.failed += 1;
        let send = self.model.sends[event.send as usize].as_ref();
        let Some(send) = send.filter(|send| send.generation == event.generation) else { return };
        let (socket, place) = (send.socket, send.place);
        if place != Place::Queued {
            return;
        }
        self.wants.insert(socket);
        let begun = send.begun();
        self.seen.segments_failed += begun as u64;
        if self.refuses_trains(event.send, event.value as i32) {
            return;
        }
        match self.reaction.unwrap_or_else(|| self.dice.of(&Reaction::ALL)) {
            Reaction::Again => {}
            Reaction::Copy => self.copy(event.send),
            Reaction::Cancel => self.cancel(event.send),
            Reaction::CancelAll => {
                for slot in self.model.socket(socket).queue.clone() {
                    if self.model.send(slot).place == Place::Queued {
                        self.cancel(slot);
                    }
                }
            }
            Reaction::Wait if self.block(socket) => {
                self.wants.remove(&socket);
            }
            Reaction::Wait => self.copy(event.send),
        }
    }

    /// Whether the kernel refused a send because it takes no trains: then it goes segment by segment.
    fn refuses_trains(&mut self, slot: u32, errno: i32) -> bool {
        let &mut Send { socket, as_train, .. } = self.model.send(slot);
        if !as_train || (errno != EIO && errno != EINVAL) {
            return false;
        }
        self.seen.trains_refused += 1;
        // Others were on their way when the first was refused.
        self.seen.trains_refused_later += self.model.socket(socket).unsegmented as u64;
        self.unsegment(socket);
        true
    }

    /// Lets a socket wait for the kernel, if that makes sense.
    fn block(&mut self, slot: u32) -> bool {
        let &mut Socket { generation, outstanding, chain, .. } = self.model.socket(slot);
        let waits = outstanding != 0 || chain != 0;
        assert_eq!(self.core.ring_block(slot, generation), Ok(waits));
        waits
    }

    // Calls

    pub(super) fn call(&mut self) {
        let fd = match self.model.sockets.iter().flatten().nth(self.dice.below(4)) {
            Some(socket) if self.dice.one_in(2) => socket.fd,
            _ => RING_FD + 2,
        };
        let entry = match self.dice.below(6) {
            0 => Entry { opcode: opcode::ASYNC_CANCEL, fd, op_flags: CANCEL_ALL_FD, ..Entry::default() },
            1 | 2 => Entry { opcode: ACCEPT, ioprio: MULTISHOT, fd, ..Entry::default() },
            _ => Entry { opcode: ACCEPT, fd, ..Entry::default() },
        };
        self.start_call(entry);
    }

    /// Starts an operation; answers its `user_data`.
    pub fn start_call(&mut self, entry: Entry) -> Option<u64> {
        let slots = self.start.sizes.operations() - self.model.operations - self.model.done;
        let room = self.ring_room() != 0 && slots != 0;
        let got = self.core.ring_call(entry);
        if !room {
            assert_eq!(got, Err(Fault::NoRoom));
            return None;
        }
        let (op, generation) = got.expect("a call");
        let user_data = Operation::user_data(op, generation);
        assert!(!self.calls.contains(&user_data));
        self.calls.push(user_data);
        self.model.operations += 1;
        Some(user_data)
    }

    pub(super) fn cancel_call(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let user_data = self.dice.of(&self.calls);
        if self.cancel_operation(user_data) {
            self.cancels.push_back(user_data);
        }
    }

    fn cancel_operation(&mut self, user_data: u64) -> bool {
        let room = self.ring_room() != 0;
        let expected = if room { Ok(()) } else { Err(Fault::NoRoom) };
        assert_eq!(self.core.ring_cancel(user_data as u32, (user_data >> 32) as u32), expected);
        room
    }

    /// Gives up some send that the ring has.
    pub(super) fn abandon_some(&mut self) {
        let submitted =
            |slot: &u32| self.model.sends[*slot as usize].as_ref().is_some_and(|send| send.place == Place::Submitted);
        let all: Vec<_> = (0..self.start.sizes.sends).filter(submitted).collect();
        if !all.is_empty() {
            let slot = self.dice.of(&all);
            self.abandon(slot);
        }
    }

    pub fn abandon(&mut self, slot: u32) {
        let generation = self.model.send(slot).generation;
        let before = self.ring_room();
        let begun = self.model.send(slot).begun();
        match self.core.ring_abandon(slot, generation) {
            Ok(()) => {
                self.seen.abandoned += 1;
                self.seen.trains_abandoned += begun as u64;
                self.model.send(slot).given_up = true;
            }
            fault => assert_eq!((fault, before), (Err(Fault::NoRoom), 0)),
        }
    }

    // Waking up

    pub fn bell(&mut self) {
        if self.kernel.armed() {
            return self.end_bell();
        }
        let expected = if self.ring_room() < 2 { Err(Fault::NoRoom) } else { Ok(()) };
        assert_eq!(self.core.ring_bell(RING_FD, PIPE_FD), expected);
    }

    pub fn end_bell(&mut self) {
        let nobody = Operation::user_data(NOBODY, 0);
        if self.cancel_operation(nobody) {
            self.cancels.push_back(nobody);
        }
    }
}
