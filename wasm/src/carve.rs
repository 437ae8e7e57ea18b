//! Carving the arena: a two-level segregated fit whose block records live outside the arena.
//!
//! Sizes are counted in granules of 64 bytes (a cache line, and the finest alignment). Each power of two is cut
//! into 32 classes; two bitmaps find the first class with a free block in O(1). Neighbours that are both free are
//! merged at once, never across a piece, because a registered buffer of the kernel is at most 1 GiB and a lease
//! must lie inside one.
//!
//! # What is guaranteed
//!
//! [`Carve::take`] succeeds whenever a free block of at least `bytes + align - 64` bytes, plus one thirty-second
//! of that, exists (both rounded up to granules). It also succeeds whenever any free block fits and at most
//! [`WALK`] free blocks are as large as the request's class: so an exact fit, such as the whole arena, is found.
//! Beyond that it may answer [`Fault::NoRoom`] although a block would fit; that is the price of a bounded search.
//! At most 63 bytes of a lease are lost to rounding, and nothing is lost to headers.

use crate::table::{Linked, Pool, Table};
use crate::Fault;

/// The unit of carving, in bytes.
pub const GRANULE: u32 = 64;
/// How many free blocks the search looks at after its O(1) attempts failed.
pub const WALK: u32 = 32;
/// Pieces and arenas are multiples of this many bytes, a page of WebAssembly.
pub const PAGE: u32 = 65_536;

const STEP_LOG2: u32 = 5;
const STEPS: u32 = 1 << STEP_LOG2;
/// First-level classes: enough for 2^26 granules, 4 GiB.
const LEVELS: usize = 22;
const CLASSES: u32 = LEVELS as u32 * STEPS;

/// One stretch of the arena, free or used. Record 0 stands for "none".
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Block {
    /// Where it starts, in granules.
    offset: u32,
    /// How long it is, in granules.
    granules: u32,
    /// The block before it in the same piece.
    before: u32,
    /// The block after it in the same piece.
    after: u32,
    /// The next free block of its class; for a free record, the pool's link.
    link: u32,
    /// The free block of its class that points here.
    back: u32,
    /// Leases that were cut from it; 0 for a free block.
    leases: u32,
    reserved: u32,
}

impl Linked for Block {
    #[inline]
    fn link(&mut self) -> &mut u32 {
        &mut self.link
    }
}

/// Where the free blocks are, by class.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Index {
    levels: u32,
    steps: [u32; LEVELS],
    reserved: u32,
    heads: [u32; CLASSES as usize],
}

impl Index {
    /// An index without blocks: all zero, as fresh memory is.
    pub const EMPTY: Index = Index { levels: 0, steps: [0; LEVELS], reserved: 0, heads: [0; CLASSES as usize] };
}

/// Block records needed for `leases` leases in an arena of `arena` bytes.
///
/// Two free blocks never touch within a piece, so there is at most one more of them per piece than of used ones.
/// The size of a piece is not known when memory is sized; the smallest possible one is assumed.
pub const fn blocks_needed(arena: u32, leases: u32) -> u64 {
    2 * leases as u64 + (arena / PAGE) as u64 + 4
}

/// The allocator.
#[derive(Debug)]
pub struct Carve<'a> {
    blocks: Table<'a, Block>,
    index: &'a mut Index,
    pool: Pool,
    arena: u32,
    piece: u32,
    free: u32,
    used: u32,
}

#[inline]
const fn class_of(granules: u32) -> u32 {
    if granules < STEPS {
        return granules;
    }
    let log2 = 31 - granules.leading_zeros();
    (log2 - STEP_LOG2 + 1) * STEPS + (granules >> (log2 - STEP_LOG2)) - STEPS
}

/// The first class all of whose blocks hold `granules`.
#[inline]
const fn class_above(granules: u32) -> u32 {
    if granules < STEPS {
        return granules;
    }
    let log2 = 31 - granules.leading_zeros();
    class_of(granules + (1 << (log2 - STEP_LOG2)) - 1)
}

impl<'a> Carve<'a> {
    /// An allocator of `arena` bytes, no lease crossing a multiple of `piece` (0: no such bound). Both are
    /// multiples of [`PAGE`].
    pub fn new(blocks: &'a mut [Block], index: &'a mut Index, arena: u32, piece: u32) -> Self {
        let piece = if piece == 0 || piece > arena { arena } else { piece };
        let mut carve = Carve {
            blocks: Table(blocks),
            index,
            pool: Pool::starting_at(1),
            arena,
            piece,
            free: arena / GRANULE,
            used: 0,
        };
        // From the end, so that the lowest piece is the first of its class.
        let mut end = arena;
        while end > 0 {
            let start = match (end - 1).checked_rem(piece) {
                Some(beyond) => end - 1 - beyond,
                None => 0,
            };
            let block = carve.new_block(start / GRANULE, (end - start) / GRANULE);
            carve.insert(block);
            end = start;
        }
        carve
    }

    /// Carves `bytes` at a multiple of `align` and returns the block, which one lease then uses.
    pub fn take(&mut self, bytes: u32, align: u32) -> Result<u32, Fault> {
        let (granules, align) = self.check(bytes, align)?;
        match self.find(granules, align) {
            Some((block, start)) => Ok(self.carve(block, start, granules)),
            None => Err(Fault::NoRoom),
        }
    }

    /// Size and alignment in granules, or [`Fault::Range`] for what could never be carved.
    #[inline]
    pub fn check(&self, bytes: u32, align: u32) -> Result<(u32, u32), Fault> {
        if bytes == 0 || bytes > self.piece {
            return Err(Fault::Range);
        }
        if align > self.arena || (align & align.wrapping_sub(1)) != 0 {
            return Err(Fault::Range);
        }
        let align = if align > GRANULE { align / GRANULE } else { 1 };
        Ok(((bytes - 1) / GRANULE + 1, align))
    }

    /// One more lease uses the block.
    #[inline]
    pub fn share(&mut self, block: u32) {
        self.blocks[block].leases += 1;
    }

    /// One lease less uses the block; the last one gives it back.
    pub fn give(&mut self, block: u32) {
        let record = &mut self.blocks[block];
        record.leases -= 1;
        if record.leases != 0 {
            return;
        }
        let Block { granules, before, after, .. } = *record;
        self.used -= 1;
        self.free += granules;
        let mut block = block;
        if before != 0 && self.blocks[before].leases == 0 {
            self.remove(before);
            self.absorb(before, block);
            block = before;
        }
        if after != 0 && self.blocks[after].leases == 0 {
            self.remove(after);
            self.absorb(block, after);
        }
        self.insert(block);
    }

    /// Where a block starts, in bytes.
    #[inline]
    pub fn offset(&self, block: u32) -> u32 {
        self.blocks[block].offset * GRANULE
    }

    /// Bytes not carved.
    pub fn free_bytes(&self) -> u32 {
        self.free * GRANULE
    }

    /// Blocks in use.
    pub fn used_blocks(&self) -> u32 {
        self.used
    }

    /// The longest free block in bytes. Walks the blocks of one class: for reports, not for hot paths.
    pub fn largest_free(&self) -> u32 {
        let mut largest = 0;
        if self.index.levels != 0 {
            let level = 31 - self.index.levels.leading_zeros();
            let step = 31 - self.steps(level).leading_zeros();
            let mut block = self.head(level * STEPS + step);
            while block != 0 {
                largest = largest.max(self.blocks[block].granules);
                block = self.blocks[block].link;
            }
        }
        largest * GRANULE
    }

    fn find(&self, granules: u32, align: u32) -> Option<(u32, u32)> {
        let found = self.first_of(class_above(granules), granules, align);
        if found.is_some() {
            return found;
        }
        if align > 1 {
            let found = self.first_of(class_above(granules + align - 1), granules, align);
            if found.is_some() {
                return found;
            }
        }
        let mut class = self.next_class(class_of(granules))?;
        let mut left = WALK;
        loop {
            let mut block = self.head(class);
            while block != 0 {
                if let Some(start) = self.fit(block, granules, align) {
                    return Some((block, start));
                }
                left -= 1;
                if left == 0 {
                    return None;
                }
                block = self.blocks[block].link;
            }
            class = self.next_class(class + 1)?;
        }
    }

    #[inline]
    fn first_of(&self, class: u32, granules: u32, align: u32) -> Option<(u32, u32)> {
        let block = self.head(self.next_class(class)?);
        Some((block, self.fit(block, granules, align)?))
    }

    #[inline]
    fn fit(&self, block: u32, granules: u32, align: u32) -> Option<u32> {
        let block = &self.blocks[block];
        let start = (block.offset + align - 1) & !(align - 1);
        if start + granules <= block.offset + block.granules {
            Some(start)
        } else {
            None
        }
    }

    /// Cuts `[start, start + granules)` out of a free block; what is left on either side stays free.
    #[inline]
    fn carve(&mut self, block: u32, start: u32, granules: u32) -> u32 {
        self.remove(block);
        let Block { offset, granules: whole, before, after, .. } = self.blocks[block];
        let front = start - offset;
        if front != 0 {
            let rest = self.new_block(offset, front);
            self.link_pair(before, rest);
            self.link_pair(rest, block);
            self.insert(rest);
        }
        let back = whole - front - granules;
        if back != 0 {
            let rest = self.new_block(start + granules, back);
            self.link_pair(rest, after);
            self.link_pair(block, rest);
            self.insert(rest);
        }
        let record = &mut self.blocks[block];
        record.offset = start;
        record.granules = granules;
        record.leases = 1;
        self.used += 1;
        self.free -= granules;
        block
    }

    #[inline]
    fn link_pair(&mut self, before: u32, after: u32) {
        if before != 0 {
            self.blocks[before].after = after;
        }
        if after != 0 {
            self.blocks[after].before = before;
        }
    }

    /// `block` takes over its neighbour `after`, whose record is then free.
    #[inline]
    fn absorb(&mut self, block: u32, after: u32) {
        let Block { granules, after: beyond, .. } = self.blocks[after];
        self.blocks[block].granules += granules;
        self.blocks[block].after = beyond;
        if beyond != 0 {
            self.blocks[beyond].before = block;
        }
        self.pool.give(&mut self.blocks, after);
    }

    #[inline]
    fn new_block(&mut self, offset: u32, granules: u32) -> u32 {
        let Some(block) = self.pool.take(&mut self.blocks) else { crate::table::trap() };
        self.blocks[block] = Block { offset, granules, ..Block::default() };
        block
    }

    #[inline]
    fn insert(&mut self, block: u32) {
        let class = class_of(self.blocks[block].granules);
        let (level, step) = (class / STEPS, class % STEPS);
        let head = *self.head_mut(class);
        let record = &mut self.blocks[block];
        record.leases = 0;
        record.link = head;
        record.back = 0;
        if head != 0 {
            self.blocks[head].back = block;
        }
        *self.head_mut(class) = block;
        self.index.levels |= 1 << level;
        *self.steps_mut(level) |= 1 << step;
    }

    #[inline]
    fn remove(&mut self, block: u32) {
        let Block { granules, link, back, .. } = self.blocks[block];
        if link != 0 {
            self.blocks[link].back = back;
        }
        if back != 0 {
            self.blocks[back].link = link;
            return;
        }
        let class = class_of(granules);
        *self.head_mut(class) = link;
        if link == 0 {
            let (level, step) = (class / STEPS, class % STEPS);
            let steps = self.steps_mut(level);
            *steps &= !(1 << step);
            if *steps == 0 {
                self.index.levels &= !(1 << level);
            }
        }
    }

    /// The first class from `class` on that has a free block.
    #[inline]
    fn next_class(&self, class: u32) -> Option<u32> {
        if class >= CLASSES {
            return None;
        }
        let (level, step) = (class / STEPS, class % STEPS);
        let steps = self.steps(level) & (u32::MAX << step);
        if steps != 0 {
            return Some(level * STEPS + steps.trailing_zeros());
        }
        let levels = self.index.levels & (u32::MAX << (level + 1));
        if levels == 0 {
            return None;
        }
        let level = levels.trailing_zeros();
        Some(level * STEPS + self.steps(level).trailing_zeros())
    }

    #[inline]
    fn head(&self, class: u32) -> u32 {
        self.index.heads.get(class as usize).copied().unwrap_or(0)
    }

    #[inline]
    fn head_mut(&mut self, class: u32) -> &mut u32 {
        match self.index.heads.get_mut(class as usize) {
            Some(head) => head,
            None => crate::table::trap(),
        }
    }

    #[inline]
    fn steps(&self, level: u32) -> u32 {
        self.index.steps.get(level as usize).copied().unwrap_or(0)
    }

    #[inline]
    fn steps_mut(&mut self, level: u32) -> &mut u32 {
        match self.index.steps.get_mut(level as usize) {
            Some(steps) => steps,
            None => crate::table::trap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_monotonic_and_hold_what_they_promise() {
        let mut last = 0;
        for granules in (1..5_000).chain((1..64).map(|i| i * 1_048_575)) {
            let class = class_of(granules);
            assert!(class >= last && class < CLASSES);
            last = class;
            assert!(class_above(granules) >= class);
            assert!(class_above(granules) <= class + 1);
            if class_above(granules) == class && granules > 1 {
                assert!(class_of(granules - 1) < class, "{granules} is the first of its class");
            }
        }
        assert_eq!(class_of((u32::MAX - 65_535) / GRANULE), CLASSES - 1);
    }
}
