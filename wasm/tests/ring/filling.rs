//! How the program offers its queues to the ring.

use super::records::{Place, Send, Socket};
use super::World;
use ringlet_core::batch::Reason;
use ringlet_core::send;

impl World {
    /// Offers the queues of all sockets that want it.
    pub fn fill_wanted(&mut self) {
        for socket in std::mem::take(&mut self.wants) {
            self.fill(socket);
        }
    }

    pub(super) fn fill_any(&mut self) {
        if let Some(socket) = self.some_socket() {
            self.fill(socket);
        }
    }

    /// Offers one queue. Returns how many entries were prepared, and why not more.
    pub fn fill(&mut self, slot: u32) -> (u32, Reason) {
        let &mut Socket { generation, datagram, chain, .. } = self.model.socket(slot);
        let busy = self.busy(slot);
        let (count, reason) = self.core.ring_fill(slot, generation).expect("a socket");
        if chain == 0 && !datagram {
            self.model.accept_empty(slot);
        }
        self.model.socket(slot).chain += count;
        self.model.operations += count;
        if datagram {
            self.datagrams_filled(slot, count, busy);
        } else if chain == 0 {
            self.stream_filled(slot, count, busy);
        } else {
            assert_eq!((count, reason), (0, Reason::Chain));
        }
        self.check_reason(slot, count, reason);
        (count, reason)
    }

    /// Bytes that count against a socket's limit.
    pub(super) fn busy(&mut self, slot: u32) -> u64 {
        let generation = self.model.socket(slot).generation;
        let socket = self.core.socket(slot, generation).expect("a socket");
        socket.in_flight() + socket.submitted
    }

    pub(super) fn over_limit(&mut self, slot: u32, busy: u64) -> bool {
        let &mut Send { socket, zero_copy, bytes, taken, .. } = self.model.send(slot);
        let limit = self.model.socket(socket).limit;
        zero_copy && taken == 0 && busy != 0 && limit != u32::MAX && busy + bytes as u64 > limit as u64
    }

    pub(super) fn datagrams_filled(&mut self, socket: u32, count: u32, mut busy: u64) {
        let unsegmented = self.model.socket(socket).unsegmented;
        for _ in 0..count {
            let slot = self.model.socket(socket).queue.pop_front().expect("a datagram");
            assert!(!self.over_limit(slot, busy), "over the limit");
            let send = self.model.send(slot);
            send.place = Place::Submitted;
            send.as_train = send.extra.segment != 0 && !unsegmented;
            busy += if send.zero_copy { send.next(unsegmented) as u64 } else { 0 };
            self.seen.trains += send.as_train as u64;
            self.seen.segments += (send.next(unsegmented) < send.bytes) as u64;
            self.model.socket(socket).prepared.push_back(slot);
        }
    }

    /// Which sends of a stream have an entry is the core's choice; from the head on, and within the limit.
    fn stream_filled(&mut self, socket: u32, count: u32, mut busy: u64) {
        let mut more = count != 0;
        for slot in self.model.socket(socket).queue.clone() {
            let submitted = self.core.send_record(slot).state == send::SUBMITTED;
            assert!(more || !submitted, "a send goes before another");
            more &= submitted;
            if submitted {
                assert!(!self.over_limit(slot, busy), "over the limit");
                let send = self.model.send(slot);
                send.place = Place::Submitted;
                busy += if send.zero_copy { (send.bytes - send.taken) as u64 } else { 0 };
            }
        }
    }

    fn check_reason(&mut self, slot: u32, count: u32, reason: Reason) {
        let queue = &self.model.socket(slot).queue;
        let next = queue.iter().copied().find(|&slot| self.core.send_record(slot).state == send::QUEUED);
        match reason {
            Reason::Empty => {
                // A chain may stop before the end of the queue: when it is over, the rest goes.
                assert!(next.is_none() || count != 0, "nothing goes, and nobody will say when it may");
            }
            Reason::Limit => {
                self.seen.limit += 1;
                let (next, busy) = (next.expect("a send that must wait"), self.busy(slot));
                assert!(self.over_limit(next, busy), "within the limit");
                let waits = self.model.socket(slot).queue.clone().iter().any(|&slot| self.model.of(slot).begun());
                assert!(!waits, "what would make room waits itself");
            }
            Reason::Full => {
                self.seen.full += 1;
                // Nobody says when there is room again.
                self.wants.insert(slot);
            }
            Reason::Chain => {}
            Reason::Window => panic!("the ring has no window of ids"),
        }
    }
}
