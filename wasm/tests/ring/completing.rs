//! The model of completions: what each of them means for the sends.

use super::entering::{cut, iovecs};
use super::model::{Entered, Model};
use super::records::Place;
use super::request::{Effect, ECANCELED};
use ringlet_core::events::{Event, CALLED, CALLED_MORE, FAILED};

impl Model {
    /// The core has taken a completion that means this.
    pub fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Took { serial, bytes, holds } => self.took(serial, bytes, holds),
            Effect::Failed { serial, errno } => self.failed(serial, errno),
            Effect::Failing | Effect::Nobody => {}
            Effect::Notified { serial, copied } => self.notified(serial, copied),
            Effect::Called { user_data, result, more } => {
                let kind = if more { CALLED_MORE } else { CALLED };
                let (send, generation) = (user_data as u32, (user_data >> 32) as u32);
                self.expected.push_back(Event { kind, send, generation, value: result as u32 });
                self.operations -= !more as u32;
                self.done += !more as u32;
            }
            Effect::Late => self.totals.late_completions += 1,
        }
    }

    fn final_result(&mut self, serial: u64) -> Entered {
        let entered = self.entered.remove(&serial).expect("a send that the kernel has");
        let socket = self.socket(entered.socket);
        socket.chain -= 1;
        if entered.zero_copy {
            socket.submitted -= entered.bytes;
        }
        entered
    }

    fn took(&mut self, serial: u64, bytes: u64, holds: bool) {
        let Entered { socket, send, zero_copy, parts, bytes: asked } = self.final_result(serial);
        if holds {
            self.socket(socket).outstanding += 1;
            self.held.insert(serial, socket);
        } else {
            self.operations -= 1;
        }
        match send {
            Some(send) => {
                let expected = self.next_of(send, asked as u32);
                assert_eq!(cut(iovecs(&parts), 0, bytes), expected, "each byte once and in order");
                self.take(send, asked as u32, zero_copy, holds.then_some(serial));
                if self.of(send).begun() {
                    self.goes_on(send);
                } else {
                    self.accepted(send);
                }
            }
            None => {
                let expected = self.head_of(socket, 0, bytes);
                assert_eq!(cut(iovecs(&parts), 0, bytes), expected, "each byte once and in order");
                self.divide(socket, bytes, zero_copy, holds.then_some(serial));
                self.accept_empty(socket);
            }
        }
        self.chain_ended(socket);
    }

    /// A segment of a train went: the next one is the first in the queue.
    fn goes_on(&mut self, slot: u32) {
        let given_up = self.first_again(slot);
        if given_up {
            self.expect_failure(slot, ECANCELED);
        }
    }

    /// A datagram is the first in its queue again, but for trains that have begun. Returns whether it was given up meanwhile.
    fn first_again(&mut self, slot: u32) -> bool {
        let send = self.send(slot);
        send.place = Place::Queued;
        let (socket, given_up, begun) = (send.socket, std::mem::take(&mut send.given_up), send.begun());
        let mut queue = std::mem::take(&mut self.socket(socket).queue);
        let before = queue.iter().take_while(|&&slot| !begun && self.of(slot).begun()).count();
        queue.insert(before, slot);
        self.socket(socket).queue = queue;
        given_up
    }

    fn divide(&mut self, socket: u32, mut bytes: u64, zero_copy: bool, holder: Option<u64>) {
        while bytes != 0 {
            let head = *self.socket(socket).queue.front().expect("a send that has the bytes");
            let send = self.send(head);
            let left = send.bytes - send.taken;
            let part = bytes.min(left as u64) as u32;
            bytes -= part as u64;
            self.take(head, part, zero_copy, holder);
            if part == left {
                self.socket(socket).queue.pop_front();
                self.accepted(head);
            }
        }
    }

    fn take(&mut self, slot: u32, bytes: u32, zero_copy: bool, holder: Option<u64>) {
        let send = self.send(slot);
        send.taken += bytes;
        send.holders.extend(holder);
        send.ever.extend(holder);
        send.copied |= !zero_copy;
        let lent = if zero_copy { bytes } else { 0 };
        send.lent += lent;
        let socket = send.socket;
        self.socket(socket).in_flight += lent as u64;
        self.count(socket, |counters| {
            counters.bytes_accepted += bytes as u64;
            counters.bytes_zero_copy += lent as u64;
        });
    }

    fn failed(&mut self, serial: u64, errno: i32) {
        let Entered { socket, send, .. } = self.final_result(serial);
        self.operations -= 1;
        match send {
            Some(slot) => {
                let given_up = self.first_again(slot);
                self.expect_failure(slot, if given_up { ECANCELED } else { errno });
            }
            None if errno != ECANCELED => self.socket(socket).error = errno,
            None => {}
        }
        self.chain_ended(socket);
    }

    /// What is left of a chain waits again. Whoever was given up is told so; else the head is told what went wrong.
    fn chain_ended(&mut self, slot: u32) {
        let socket = self.socket(slot);
        if socket.datagram || socket.chain != 0 {
            return;
        }
        let error = std::mem::take(&mut socket.error);
        let mut tell = error != 0;
        for (i, slot) in socket.queue.clone().into_iter().enumerate() {
            let send = self.send(slot);
            let given_up = std::mem::take(&mut send.given_up);
            send.place = Place::Queued;
            if given_up {
                self.expect_failure(slot, ECANCELED);
            } else if i == 0 && tell {
                self.expect_failure(slot, error);
            }
            tell = false;
        }
    }

    fn expect_failure(&mut self, slot: u32, errno: i32) {
        let generation = self.send(slot).generation;
        self.expected.push_back(Event { kind: FAILED, send: slot, generation, value: errno as u32 });
    }

    fn notified(&mut self, serial: u64, copied: bool) {
        self.operations -= 1;
        for slot in 0..self.sends.len() as u32 {
            let Some(send) = &mut self.sends[slot as usize] else { continue };
            if !send.holders.contains(&serial) {
                continue;
            }
            send.holders.retain(|holder| *holder != serial);
            send.copied |= copied;
            if send.place == Place::Over && send.holders.is_empty() {
                self.released(slot);
            }
        }
        let socket = self.held.remove(&serial).expect("a request that holds something");
        self.socket(socket).outstanding -= 1;
        self.count(socket, |counters| {
            counters.notifications += 1;
            counters.ids_copied += copied as u64;
            counters.ids_not_copied += !copied as u64;
        });
    }
}
