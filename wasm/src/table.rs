//! Fixed tables of records, and the free list that hands their slots out.

use core::ops::{Index, IndexMut};

/// Stops at once. On WebAssembly this is one instruction: the formatting of panic messages would be most of the
/// module.
#[cold]
#[inline(never)]
pub fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("slot out of the table");
}

/// A slice of records, numbered by `u32` slots.
///
/// A slot that a caller gave goes through [`Table::find`]. Indexing is for slots that the core's own records name:
/// on the host, where the tests and the soak run, a wrong one ends the program; WebAssembly, which cannot leave its
/// memory and pays for every look at a length, does not look again.
#[derive(Debug)]
pub struct Table<'a, T>(pub &'a mut [T]);

impl<T> Table<'_, T> {
    /// How many records there are.
    #[inline]
    pub fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// The record of a slot that may be anything.
    #[inline]
    pub fn find(&mut self, slot: u32) -> Option<&mut T> {
        self.0.get_mut(slot as usize)
    }
}

impl<T> Index<u32> for Table<'_, T> {
    type Output = T;

    #[inline]
    fn index(&self, slot: u32) -> &T {
        if cfg!(target_arch = "wasm32") {
            // SAFETY: a record of the core names the slot, and it names none that the tables do not have.
            unsafe { self.0.get_unchecked(slot as usize) }
        } else {
            &self.0[slot as usize]
        }
    }
}

impl<T> IndexMut<u32> for Table<'_, T> {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut T {
        if cfg!(target_arch = "wasm32") {
            // SAFETY: as above.
            unsafe { self.0.get_unchecked_mut(slot as usize) }
        } else {
            &mut self.0[slot as usize]
        }
    }
}

/// A record with a word for the free list to use while the record is free.
pub trait Linked {
    /// That word.
    fn link(&mut self) -> &mut u32;
}

/// Which slots of a table are free: those above the high-water mark, which nobody has touched yet, and a list.
///
/// Threading all slots at start would touch every page of every table.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// Slots at or above this one were never used.
    pub high: u32,
    /// The slot freed last, plus one; 0 when there is none.
    free: u32,
}

impl Pool {
    /// A pool whose slots below `first` are never handed out.
    pub const fn starting_at(first: u32) -> Self {
        Pool { high: first, free: 0 }
    }

    /// Whether [`Pool::take`] would find a slot.
    #[inline]
    pub fn has_room<T>(&self, table: &Table<T>) -> bool {
        self.free != 0 || self.high < table.len()
    }

    /// A free slot, the one freed last first: its record is likely to be in the cache. Its link is the caller's to
    /// set.
    #[inline]
    pub fn take<T: Linked>(&mut self, table: &mut Table<T>) -> Option<u32> {
        if self.free != 0 {
            let slot = self.free - 1;
            self.free = *table[slot].link();
            return Some(slot);
        }
        if self.high < table.len() {
            self.high += 1;
            return Some(self.high - 1);
        }
        None
    }

    /// Takes a slot back.
    #[inline]
    pub fn give<T: Linked>(&mut self, table: &mut Table<T>, slot: u32) {
        *table[slot].link() = self.free;
        self.free = slot + 1;
    }
}

/// The generation after `generation`. Zero is never one, so a record that was never used matches no handle.
#[inline]
pub const fn next_generation(generation: u32) -> u32 {
    let next = generation.wrapping_add(1);
    if next == 0 {
        1
    } else {
        next
    }
}
