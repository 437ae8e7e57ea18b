//! Leases: taken, cut, held, lent to a receive, and back.

use super::*;

impl World<'_> {
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
        let expected = self.lease(slot, generation).and_then(|lease| {
            if lease.holds == 0 {
                return lease.consume();
            }
            lease.holds -= 1;
            Ok(())
        });
        let expected = expected.map(|()| self.settle(slot));
        assert_eq!(self.real.leases.release(slot, generation), expected, "release");
    }

    pub(super) fn consume(&mut self, a: u32, b: u32) {
        let (slot, generation) = self.pick_lease(a, b, |lease| lease.implicit);
        let expected = self.lease(slot, generation).and_then(Lease::consume);
        let expected = expected.map(|()| self.settle(slot));
        assert_eq!(self.real.leases.consume(slot, generation), expected, "consume");
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

    pub(super) fn begin_loan(&mut self, slot: u32) {
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

    pub(super) fn end_loan(&mut self, slot: u32) -> bool {
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
    pub(super) fn settle(&mut self, slot: u32) -> bool {
        let lease = self.leases[slot as usize].live.as_ref().expect("a lease");
        if lease.held() || lease.sends > 0 {
            return false;
        }
        self.arena.give(lease.block);
        self.leases[slot as usize].live = None;
        true
    }
}
