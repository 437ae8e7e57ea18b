//! What the program owns: sockets, and leases of the arena.

use super::records::{Lease, Socket};
use super::{World, ARENA_BASE};
use ringlet_core::Fault;

impl World {
    // Sockets

    /// A socket whose sends the kernel cuts into segments by itself, unless those are 0 bytes long.
    pub fn new_socket(&mut self, datagram: bool, limit: u32, segment: u32) -> u32 {
        let (slot, generation) = self.core.socket_new(datagram as u32, limit, segment).expect("a free socket");
        let registered = self.dice.one_in(2);
        if registered {
            self.kernel.files.insert(slot as i32, self.next_fd);
        }
        self.core.ring_attach(slot, generation, self.next_fd, registered).expect("a socket");
        let place = &mut self.model.sockets[slot as usize];
        assert!(place.is_none(), "a socket was handed out twice");
        *place = Some(Socket::new(generation, self.next_fd, datagram, limit, segment));
        if datagram {
            self.kernel.datagrams.insert(self.next_fd);
        }
        if segment != 0 {
            self.kernel.cuts.insert(self.next_fd, segment);
        }
        self.next_fd += 1;
        slot
    }

    pub(super) fn change_socket(&mut self) {
        let slot = self.dice.below(self.start.sizes.sockets as usize) as u32;
        let Some(socket) = &mut self.model.sockets[slot as usize] else { return self.open_some() };
        match self.dice.below(4) {
            0 | 1 => return self.free_socket(slot),
            2 if socket.datagram => return self.change_trains(slot),
            _ => {}
        }
        socket.limit = if self.dice.one_in(2) { u32::MAX } else { self.dice.below(4096) as u32 };
        let (generation, limit) = (socket.generation, socket.limit);
        self.core.socket_limit(slot, generation, limit).expect("a socket");
    }

    /// From now on the kernel takes no trains of a socket, or the program has it so.
    fn change_trains(&mut self, slot: u32) {
        if self.dice.one_in(2) {
            self.unsegment(slot);
        } else {
            self.kernel.unsegmented.insert(self.model.socket(slot).fd);
        }
    }

    /// Trains of a socket go segment by segment.
    pub fn unsegment(&mut self, slot: u32) {
        let socket = self.model.socket(slot);
        socket.unsegmented = true;
        let generation = socket.generation;
        self.core.socket_unsegmented(slot, generation).expect("a socket");
    }

    /// A socket for whatever comes next.
    fn open_some(&mut self) {
        let datagram = self.dice.one_in(3);
        let limit = if self.dice.one_in(3) { self.dice.below(4096) as u32 } else { u32::MAX };
        let segment = if datagram && self.dice.one_in(2) { 1 + self.dice.below(3000) as u32 } else { 0 };
        self.new_socket(datagram, limit, segment);
    }

    /// Frees a socket, if nothing of it is queued or out.
    pub(super) fn free_socket(&mut self, slot: u32) {
        let Some(socket) = &self.model.sockets[slot as usize] else { return };
        let idle = socket.queue.is_empty() && socket.chain == 0 && socket.outstanding == 0;
        let fd = socket.fd;
        let expected = if idle { Ok(()) } else { Err(Fault::Busy) };
        assert_eq!(self.core.socket_free(slot, socket.generation), expected, "free {socket:?}");
        if idle {
            self.model.sockets[slot as usize] = None;
            self.kernel.datagrams.remove(&fd);
            self.kernel.unsegmented.remove(&fd);
            self.kernel.cuts.remove(&fd);
            self.wants.remove(&slot);
        }
    }

    pub(super) fn some_socket(&mut self) -> Option<u32> {
        let slot = self.dice.below(self.start.sizes.sockets as usize) as u32;
        if self.model.sockets[slot as usize].is_none() {
            self.open_some();
        }
        (0..self.start.sizes.sockets)
            .cycle()
            .skip(slot as usize)
            .find(|&slot| self.model.sockets[slot as usize].is_some())
    }

    // Leases

    /// A new lease, which nobody else may have any more.
    pub fn take_lease(&mut self, bytes: u32) -> Option<u32> {
        let slot = self.core.leases.take(bytes, 64).ok()?;
        let record = *self.core.leases.record(slot);
        let start = ARENA_BASE + record.offset as u64;
        assert!(!self.kernel.holds(start, start + bytes as u64), "memory handed out that the kernel holds");
        let place = &mut self.model.leases[slot as usize];
        assert!(place.is_none(), "a lease was handed out twice");
        let (generation, offset) = (record.generation, record.offset);
        *place = Some(Lease { generation, offset, bytes, implicit: true, holds: 0, sends: 0 });
        Some(slot)
    }

    pub(super) fn release_a_lease(&mut self) {
        let held = |slot: &u32| {
            self.model.leases[*slot as usize].as_ref().is_some_and(|lease| lease.implicit || lease.holds != 0)
        };
        let all: Vec<_> = (0..self.start.sizes.leases).filter(held).collect();
        if !all.is_empty() {
            let slot = self.dice.of(&all);
            self.release_lease(slot);
        }
    }

    pub(super) fn release_lease(&mut self, slot: u32) {
        let lease = self.model.lease(slot);
        let generation = lease.generation;
        if lease.holds != 0 {
            lease.holds -= 1;
        } else {
            lease.implicit = false;
        }
        self.model.settle(slot);
        let back = self.model.leases[slot as usize].is_none();
        assert_eq!(self.core.leases.release(slot, generation), Ok(back), "release");
    }

    pub fn retain_lease(&mut self, slot: u32) {
        let lease = self.model.lease(slot);
        lease.holds += 1;
        let generation = lease.generation;
        self.core.leases.retain(slot, generation).expect("a lease that the program holds");
    }

    /// A lease that the program may send: one that it has, or a new one.
    pub(super) fn some_lease(&mut self) -> Option<u32> {
        let n = self.start.sizes.leases;
        let slot = self.dice.below(n as usize) as u32;
        let held = |slot: &u32| {
            self.model.leases[*slot as usize].as_ref().is_some_and(|lease| lease.implicit || lease.holds != 0)
        };
        if self.dice.one_in(2) {
            if let Some(found) = (0..n).cycle().skip(slot as usize).take(n as usize).find(held) {
                return Some(found);
            }
        }
        let largest = self.start.sizes.arena as usize;
        let most = self.dice.of(&[64, 64, 500, 500, 5_000, 70_000, largest / 2]).min(largest);
        let bytes = 1 + self.dice.below(most) as u32;
        let found = self.take_lease(bytes)?;
        if self.dice.one_in(4) {
            self.retain_lease(found);
        }
        Some(found)
    }
}
