//! What should become of every send, by rules simple enough to be believed: bytes leave a stream's queue in order and
//! once; what was taken is held until its notification; nothing is released before.

use super::records::{Lease, Place, Send, Socket};
use ringlet_core::counters::{Counters, SocketCounters};
use ringlet_core::events::{Event, ACCEPTED, CUT, REFUSED, RELEASED};
use ringlet_core::layout::Sizes;
use ringlet_core::send::Iovec;
use std::collections::{HashMap, VecDeque};

/// A send that the kernel has, or has cut off.
#[derive(Debug)]
pub(super) struct Entered {
    pub socket: u32,
    /// Of a datagram.
    pub send: Option<u32>,
    pub zero_copy: bool,
    pub parts: Vec<Iovec>,
    pub bytes: u64,
}

pub struct Model {
    pub(super) arena_base: u64,
    pub leases: Vec<Option<Lease>>,
    pub sends: Vec<Option<Send>>,
    pub sockets: Vec<Option<Socket>>,
    pub(super) entered: HashMap<u64, Entered>,
    /// Sockets of requests whose notification is still to come.
    pub(super) held: HashMap<u64, u32>,
    /// Events that must come, READY apart.
    pub expected: VecDeque<Event>,
    /// Those of reaped sends.
    pub expected_reaped: VecDeque<Event>,
    /// Operations that are not over.
    pub operations: u32,
    /// Calls that are over, whose result nobody has looked at: their slots are still theirs.
    pub done: u32,
    /// Totals of what no socket counts.
    pub(super) totals: Counters,
    /// Totals of all sockets.
    counted: SocketCounters,
    pub loans: u32,
    pub loan_bytes: u64,
    /// Ranges of leases that no send has any more, until somebody looks.
    pub ended: Vec<(u32, u32)>,
}

impl Model {
    pub fn new(sizes: &Sizes, arena_base: u64) -> Self {
        Model {
            arena_base,
            leases: vec![None; sizes.leases as usize],
            sends: vec![None; sizes.sends as usize],
            sockets: vec![None; sizes.sockets as usize],
            entered: HashMap::new(),
            held: HashMap::new(),
            expected: VecDeque::new(),
            expected_reaped: VecDeque::new(),
            operations: 0,
            done: 0,
            totals: Counters::default(),
            counted: SocketCounters::default(),
            loans: 0,
            loan_bytes: 0,
            ended: Vec::new(),
        }
    }

    pub fn lease(&mut self, slot: u32) -> &mut Lease {
        self.leases[slot as usize].as_mut().expect("a lease")
    }

    /// Whether a send that the ring has of this socket was given up.
    pub fn gives_up(&self, fd: i32) -> bool {
        let sends = self.sends.iter().flatten().filter(|send| send.given_up);
        sends.into_iter().any(|send| self.sockets[send.socket as usize].as_ref().is_some_and(|socket| socket.fd == fd))
    }

    pub fn send(&mut self, slot: u32) -> &mut Send {
        self.sends[slot as usize].as_mut().expect("a send")
    }

    pub fn socket(&mut self, slot: u32) -> &mut Socket {
        self.sockets[slot as usize].as_mut().expect("a socket")
    }

    pub(super) fn of(&self, slot: u32) -> &Send {
        self.sends[slot as usize].as_ref().expect("a send")
    }

    // Leases

    /// A send names a lease. Returns whether the hold it was taken with is consumed.
    pub fn claim(&mut self, slot: u32) -> bool {
        let lease = self.lease(slot);
        let consumed = std::mem::take(&mut lease.implicit);
        lease.sends += 1;
        if lease.sends == 1 {
            let bytes = lease.bytes as u64;
            self.loans += 1;
            self.loan_bytes += bytes;
            let totals = &mut self.totals;
            totals.lent += 1;
            totals.max_in_flight = totals.max_in_flight.max(self.loans as u64);
            totals.max_in_flight_bytes = totals.max_in_flight_bytes.max(self.loan_bytes);
        }
        consumed
    }

    fn end_loan(&mut self, slot: u32) {
        let lease = self.lease(slot);
        lease.sends -= 1;
        if lease.sends == 0 {
            let (offset, bytes) = (lease.offset, lease.bytes);
            self.loans -= 1;
            self.loan_bytes -= bytes as u64;
            self.totals.released += 1;
            self.ended.push((offset, bytes));
        }
        self.settle(slot);
    }

    /// The lease goes back when nobody has a claim.
    pub fn settle(&mut self, slot: u32) {
        let lease = self.lease(slot);
        if !lease.implicit && lease.holds == 0 && lease.sends == 0 {
            self.leases[slot as usize] = None;
        }
    }

    // Sends

    pub fn queued(&mut self, slot: u32) {
        let socket = self.send(slot).socket;
        self.socket(socket).queue.push_back(slot);
        self.count(socket, |counters| counters.sends += 1);
    }

    /// Counts for a socket and for all of them.
    pub(super) fn count(&mut self, socket: u32, count: impl Fn(&mut SocketCounters)) {
        count(&mut self.socket(socket).counters);
        count(&mut self.counted);
    }

    /// Totals over everything.
    pub fn totals(&self) -> Counters {
        let all = &self.counted;
        Counters {
            sends: all.sends,
            accepted: all.accepted,
            bytes_accepted: all.bytes_accepted,
            bytes_zero_copy: all.bytes_zero_copy,
            notifications: all.notifications,
            ids_copied: all.ids_copied,
            ids_not_copied: all.ids_not_copied,
            ..self.totals
        }
    }

    /// Empty sends at the head of a stream's queue are accepted as they are.
    pub fn accept_empty(&mut self, socket: u32) {
        while let Some(&head) = self.socket(socket).queue.front() {
            if self.send(head).bytes != 0 {
                return;
            }
            self.socket(socket).queue.pop_front();
            self.send(head).copied = true;
            self.accepted(head);
        }
    }

    pub(super) fn accepted(&mut self, slot: u32) {
        let send = self.send(slot);
        let (socket, bytes) = (send.socket, send.bytes);
        self.expect(ACCEPTED, slot, bytes);
        self.count(socket, |counters| counters.accepted += 1);
        self.over(slot);
    }

    pub(super) fn over(&mut self, slot: u32) {
        let send = self.send(slot);
        send.place = Place::Over;
        if send.holders.is_empty() {
            self.released(slot);
        }
    }

    /// An event of a send, where it is told.
    fn expect(&mut self, kind: u32, slot: u32, value: u32) {
        let &mut Send { generation, reaped, .. } = self.send(slot);
        let told = if reaped { &mut self.expected_reaped } else { &mut self.expected };
        told.push_back(Event { kind, send: slot, generation, value });
    }

    pub(super) fn released(&mut self, slot: u32) {
        let send = self.send(slot);
        send.place = Place::Released;
        let (socket, lent, parts) = (send.socket, send.lent, send.parts.clone());
        let (copied, reaped) = (send.copied, send.reaped);
        self.expect(RELEASED, slot, copied as u32);
        if reaped {
            self.sends[slot as usize] = None;
        }
        self.socket(socket).in_flight -= lent as u64;
        for part in parts {
            self.end_loan(part.lease);
        }
    }

    /// The program takes a send out of its queue, for the reason `errno`. Returns what was accepted, and whether nothing
    /// happened at all.
    pub fn withdraw(&mut self, slot: u32, errno: u32) -> (u32, bool) {
        let Send { socket, taken, holders, parts, reaped, .. } = self.send(slot).clone();
        self.socket(socket).queue.retain(|&queued| queued != slot);
        self.totals.failed += 1;
        let whole = taken == 0 && holders.is_empty();
        if reaped {
            self.expect(if whole { REFUSED } else { CUT }, slot, errno);
        }
        if !whole {
            self.over(slot);
            return (taken, false);
        }
        for part in parts {
            self.lease(part.lease).implicit |= part.consumed;
            self.end_loan(part.lease);
        }
        self.sends[slot as usize] = None;
        (taken, true)
    }
}
