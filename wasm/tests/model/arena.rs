//! The arena as a sorted map of what is carved.

use ringlet_core::carve::{GRANULE, WALK};
use std::collections::BTreeMap;

pub struct Arena {
    bytes: u32,
    piece: u32,
    free: u32,
    /// Start of a block: its end, and how many leases were cut from it.
    used: BTreeMap<u32, (u32, u32)>,
}

fn granules(bytes: u32) -> u32 {
    bytes.div_ceil(GRANULE) * GRANULE
}

impl Arena {
    pub fn new(bytes: u32, piece: u32) -> Self {
        Arena { bytes, piece, free: bytes, used: BTreeMap::new() }
    }

    pub fn free_bytes(&self) -> u32 {
        self.free
    }

    pub fn blocks(&self) -> u32 {
        self.used.len() as u32
    }

    /// Calls `visit(start, end)` for each longest free stretch that crosses no piece.
    fn gaps(&self, mut visit: impl FnMut(u32, u32)) {
        let mut pieces = |mut start: u32, end: u32| {
            while start < end {
                let stop = end.min((start / self.piece + 1).saturating_mul(self.piece));
                visit(start, stop);
                start = stop;
            }
        };
        let mut at = 0;
        for (&start, &(end, _)) in &self.used {
            pieces(at, start);
            at = end;
        }
        pieces(at, self.bytes);
    }

    pub fn largest_gap(&self) -> u32 {
        let mut largest = 0;
        self.gaps(|start, end| largest = largest.max(end - start));
        largest
    }

    /// Whether the allocator promised to find room for this. See the documentation of `carve`.
    pub fn must_fit(&self, bytes: u32, align: u32) -> bool {
        let bytes = granules(bytes) as u64;
        let align = align.max(GRANULE) as u64;
        let enough = bytes + align - GRANULE as u64;
        let enough = enough + enough.div_ceil(32) + GRANULE as u64;
        let (mut large, mut fits, mut count) = (false, false, 0);
        self.gaps(|start, end| {
            let length = (end - start) as u64;
            large |= length >= enough;
            fits |= (start as u64).div_ceil(align) * align + bytes <= end as u64;
            // Smaller ones may share the request's class; counting some too many only promises less.
            count += (length + length / 16 >= bytes) as u32;
        });
        large || (fits && count <= WALK)
    }

    /// Room was given out: it must be what was asked for, and nobody else's.
    pub fn take(&mut self, offset: u32, bytes: u32, align: u32) {
        let end = offset + granules(bytes);
        assert_eq!(offset % align.max(GRANULE), 0, "alignment");
        assert!(end <= self.bytes, "outside the arena");
        assert_eq!(offset / self.piece, (end - 1) / self.piece, "crosses a piece");
        if let Some((_, &(before, _))) = self.used.range(..=offset).next_back() {
            assert!(before <= offset, "overlaps the block before");
        }
        if let Some((&after, _)) = self.used.range(offset..).next() {
            assert!(end <= after, "overlaps the block after");
        }
        self.used.insert(offset, (end, 1));
        self.free -= end - offset;
    }

    pub fn share(&mut self, block: u32) {
        self.used.get_mut(&block).expect("a block").1 += 1;
    }

    pub fn give(&mut self, block: u32) {
        let entry = self.used.get_mut(&block).expect("a block");
        entry.1 -= 1;
        if entry.1 == 0 {
            self.free += entry.0 - block;
            self.used.remove(&block);
        }
    }
}
