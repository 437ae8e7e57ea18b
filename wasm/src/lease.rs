//! Leases: named views of carved blocks, and who may still use them.
//!
//! A lease lives while anyone has a claim: the implicit hold it was taken with, explicit holds, or sends that are
//! not released. Handles carry a generation, which changes when the slot is freed.

use crate::carve::{Block, Carve, Index};
use crate::table::{next_generation, Linked, Pool, Table};
use crate::Fault;

/// One lease. The order of the words is part of the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Lease {
    /// Where it starts in the arena, in bytes.
    pub offset: u32,
    /// How many bytes it has.
    pub bytes: u32,
    /// Which use of the slot this is.
    pub generation: u32,
    /// Explicit holds.
    pub holds: u32,
    /// Sends (or one receive) that have not released it.
    pub sends: u32,
    /// The block it was cut from; 0 when the slot is free.
    pub block: u32,
    /// 1 while the hold it was taken with is neither released nor consumed by a send.
    pub implicit: u32,
    /// In use: 1 while a receive fills it. Free: the free list.
    pub link: u32,
}

impl Linked for Lease {
    #[inline]
    fn link(&mut self) -> &mut u32 {
        &mut self.link
    }
}

/// What is counted of loans: a loan is a lease that some send (or a receive) has not released.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loans {
    /// Begun.
    pub begun: u64,
    /// Ended.
    pub ended: u64,
    /// Most out at once.
    pub most: u64,
    /// Bytes out now.
    pub bytes: u64,
    /// Most bytes out at once.
    pub most_bytes: u64,
}

/// All leases of an arena.
#[derive(Debug)]
pub struct Leases<'a> {
    /// The arena they are carved from.
    pub carve: Carve<'a>,
    /// Loans so far.
    pub loans: Loans,
    /// Handles refused because their slot has moved on.
    pub stale_handles: u64,
    slots: Table<'a, Lease>,
    pool: Pool,
    out: u32,
}

impl<'a> Leases<'a> {
    /// Leases of an arena of `arena` bytes in pieces of `piece`.
    pub fn new(slots: &'a mut [Lease], blocks: &'a mut [Block], index: &'a mut Index, arena: u32, piece: u32) -> Self {
        Leases {
            carve: Carve::new(blocks, index, arena, piece),
            loans: Loans::default(),
            stale_handles: 0,
            slots: Table(slots),
            pool: Pool::starting_at(0),
            out: 0,
        }
    }

    /// The record of a live lease.
    #[inline]
    pub fn get(&mut self, slot: u32, generation: u32) -> Result<&mut Lease, Fault> {
        match self.slots.find(slot) {
            Some(lease) if lease.generation == generation && lease.block != 0 => Ok(lease),
            _ => {
                self.stale_handles += 1;
                Err(Fault::Stale)
            }
        }
    }

    /// The record of a slot that is known to be live.
    #[inline]
    pub fn record(&self, slot: u32) -> &Lease {
        &self.slots[slot]
    }

    /// Leases out now.
    pub fn out(&self) -> u32 {
        self.out
    }

    /// Carves a new lease.
    pub fn take(&mut self, bytes: u32, align: u32) -> Result<u32, Fault> {
        if !self.pool.has_room(&self.slots) {
            // A bad argument is a bad argument, full table or not.
            return Err(match self.carve.check(bytes, align) {
                Ok(_) => Fault::NoSlot,
                Err(fault) => fault,
            });
        }
        let block = self.carve.take(bytes, align)?;
        let offset = self.carve.offset(block);
        Ok(self.place(block, offset, bytes))
    }

    /// Cuts a lease in two at `at`: the old one keeps `[0, at)`, a new one gets the rest.
    pub fn cut(&mut self, slot: u32, generation: u32, at: u32) -> Result<u32, Fault> {
        let lease = *self.get(slot, generation)?;
        if lease.sends != 0 || lease.holds != 0 || lease.implicit == 0 {
            return Err(Fault::Busy);
        }
        if at == 0 || at >= lease.bytes {
            return Err(Fault::Range);
        }
        if !self.pool.has_room(&self.slots) {
            return Err(Fault::NoSlot);
        }
        self.slots[slot].bytes = at;
        self.carve.share(lease.block);
        Ok(self.place(lease.block, lease.offset + at, lease.bytes - at))
    }

    /// Adds an explicit hold.
    pub fn retain(&mut self, slot: u32, generation: u32) -> Result<(), Fault> {
        let lease = self.get(slot, generation)?;
        if lease.implicit == 0 && lease.holds == 0 {
            return Err(Fault::NotHeld);
        }
        if lease.holds == u32::MAX {
            return Err(Fault::Range);
        }
        lease.holds += 1;
        Ok(())
    }

    /// Ends one explicit hold, or else the implicit one. Tells whether the lease went back to the arena.
    pub fn release(&mut self, slot: u32, generation: u32) -> Result<bool, Fault> {
        let lease = self.get(slot, generation)?;
        if lease.holds == 0 {
            return self.consume(slot, generation);
        }
        lease.holds -= 1;
        Ok(self.settle(slot))
    }

    /// Ends the implicit hold and no other, as an accepted send does. Tells whether the lease went back to the arena.
    pub fn consume(&mut self, slot: u32, generation: u32) -> Result<bool, Fault> {
        let lease = self.get(slot, generation)?;
        if lease.implicit == 0 {
            return Err(Fault::NotHeld);
        }
        lease.implicit = 0;
        Ok(self.settle(slot))
    }

    /// Lends a lease to a receive. The program keeps its claim.
    pub fn lend(&mut self, slot: u32, generation: u32) -> Result<(), Fault> {
        let lease = self.get(slot, generation)?;
        if lease.implicit == 0 && lease.holds == 0 {
            return Err(Fault::NotHeld);
        }
        if lease.sends != 0 {
            return Err(Fault::Busy);
        }
        lease.link = 1;
        self.begin_loan(slot);
        Ok(())
    }

    /// Ends a receive. Tells whether the lease went back to the arena.
    pub fn unlend(&mut self, slot: u32, generation: u32) -> Result<bool, Fault> {
        let lease = self.get(slot, generation)?;
        if lease.link == 0 {
            return Err(Fault::Busy);
        }
        lease.link = 0;
        Ok(self.end_loan(slot))
    }

    /// Whether a send may use the lease now. A lease that a receive is filling may not be sent.
    #[inline]
    pub fn check_claim(&mut self, slot: u32, generation: u32) -> Result<&mut Lease, Fault> {
        let lease = self.get(slot, generation)?;
        if lease.implicit == 0 && lease.holds == 0 {
            return Err(Fault::NotHeld);
        }
        if lease.link != 0 {
            return Err(Fault::Busy);
        }
        Ok(lease)
    }

    /// Lends a lease that passed [`Leases::check_claim`] to a send. Tells whether the implicit hold was consumed.
    #[inline]
    pub fn claim(&mut self, slot: u32) -> bool {
        let lease = &mut self.slots[slot];
        let consumed = lease.implicit != 0;
        lease.implicit = 0;
        self.begin_loan(slot);
        consumed
    }

    /// Undoes [`Leases::claim`].
    pub fn unclaim(&mut self, slot: u32, consumed: bool) {
        if consumed {
            self.slots[slot].implicit = 1;
        }
        self.end_loan(slot);
    }

    /// One send less uses the lease. Tells whether it went back to the arena.
    #[inline]
    pub fn end_loan(&mut self, slot: u32) -> bool {
        let lease = &mut self.slots[slot];
        lease.sends -= 1;
        if lease.sends == 0 {
            self.loans.ended += 1;
            self.loans.bytes -= lease.bytes as u64;
        }
        self.settle(slot)
    }

    /// Loans and lent bytes, counted by walking the records.
    pub fn in_flight(&self) -> (u32, u64) {
        let used = self.slots.0.get(..self.pool.high as usize).unwrap_or(&[]);
        let lent = used.iter().filter(|lease| lease.block != 0 && lease.sends != 0);
        lent.fold((0, 0), |(loans, bytes), lease| (loans + 1, bytes + lease.bytes as u64))
    }

    #[inline]
    fn begin_loan(&mut self, slot: u32) {
        let lease = &mut self.slots[slot];
        lease.sends += 1;
        if lease.sends == 1 {
            let loans = &mut self.loans;
            loans.begun += 1;
            loans.most = loans.most.max(loans.begun - loans.ended);
            loans.bytes += lease.bytes as u64;
            loans.most_bytes = loans.most_bytes.max(loans.bytes);
        }
    }

    #[inline]
    fn settle(&mut self, slot: u32) -> bool {
        let lease = &mut self.slots[slot];
        if lease.implicit != 0 || lease.holds != 0 || lease.sends != 0 {
            return false;
        }
        let block = lease.block;
        lease.block = 0;
        lease.generation = next_generation(lease.generation);
        self.pool.give(&mut self.slots, slot);
        self.carve.give(block);
        self.out -= 1;
        true
    }

    #[inline]
    fn place(&mut self, block: u32, offset: u32, bytes: u32) -> u32 {
        let Some(slot) = self.pool.take(&mut self.slots) else { crate::table::trap() };
        let lease = &mut self.slots[slot];
        let generation = if lease.generation == 0 { 1 } else { lease.generation };
        *lease = Lease { offset, bytes, generation, block, implicit: 1, ..Lease::default() };
        self.out += 1;
        slot
    }
}
