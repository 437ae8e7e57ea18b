//! The kernel's side of the rings: takes entries, posts completions, and keeps back those that find no room.

use ringlet_core::layout::Sizes;
use ringlet_core::ring::{Completion, Entry, Offsets, Params};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

/// Submission flags: completions wait in the backlog (IORING_SQ_CQ_OVERFLOW).
pub const OVERFLOW: u32 = 1 << 1;

pub struct Rings {
    at: *mut u8,
    entries: *const Entry,
    params: Params,
    /// The kernel believes its own counts only.
    head: u32,
    tail: u32,
    backlog: VecDeque<Completion>,
}

impl Rings {
    /// Rings whose counts start at `first`; each count has `spread` bytes to itself (a word, or a cache line).
    pub fn new(at: *mut u8, entries: *const Entry, sizes: &Sizes, first: (u32, u32), spread: u32) -> Self {
        let (sq_entries, cq_entries) = (sizes.ring, sizes.completions());
        let words = 4 * spread;
        let completions = (words + 32).next_multiple_of(64);
        let sq = Offsets {
            head: 0,
            tail: spread,
            mask: words,
            entries: words + 8,
            fifth: words + 20,
            sixth: words + 16,
            seventh: completions + cq_entries * size_of::<Completion>() as u32,
            ..Offsets::default()
        };
        let cq = Offsets {
            head: 2 * spread,
            tail: 3 * spread,
            mask: words + 4,
            entries: words + 12,
            fifth: words + 28,
            sixth: completions,
            seventh: words + 24,
            ..Offsets::default()
        };
        let params = Params { sq_entries, cq_entries, sq, cq, ..Params::default() };
        let rings = Rings { at, entries, params, head: first.0, tail: first.1, backlog: VecDeque::new() };
        for (word, value) in [
            (sq.head, first.0),
            (sq.tail, first.0),
            (sq.mask, sq_entries - 1),
            (sq.entries, sq_entries),
            (cq.head, first.1),
            (cq.tail, first.1),
            (cq.mask, cq_entries - 1),
            (cq.entries, cq_entries),
        ] {
            rings.word(word).store(value, Ordering::Relaxed);
        }
        rings
    }

    pub fn params(&self) -> &Params {
        &self.params
    }

    fn word(&self, at: u32) -> &AtomicU32 {
        // SAFETY: the offsets are inside the rings and multiples of 4.
        unsafe { AtomicU32::from_ptr(self.at.add(at as usize).cast()) }
    }

    /// The next entry that was published, which is taken.
    pub fn next(&mut self) -> Option<Entry> {
        let entry = self.peek(0)?;
        self.advance(1);
        Some(entry)
    }

    /// Entry `i` of those that were published and not taken.
    pub fn peek(&self, i: u32) -> Option<Entry> {
        let Params { sq, sq_entries, .. } = self.params;
        let tail = self.word(sq.tail).load(Ordering::Acquire);
        let waiting = tail.wrapping_sub(self.head);
        assert!(waiting <= sq_entries, "more entries published than there are");
        if i >= waiting {
            return None;
        }
        let at = self.head.wrapping_add(i) & (sq_entries - 1);
        let place = self.word(sq.seventh + 4 * at).load(Ordering::Relaxed);
        assert!(place < sq_entries, "no such entry");
        // SAFETY: one of the entries; the core has written it before it published.
        Some(unsafe { self.entries.add(place as usize).read_volatile() })
    }

    /// Takes the next `n` entries.
    pub fn advance(&mut self, n: u32) {
        self.head = self.head.wrapping_add(n);
        self.word(self.params.sq.head).store(self.head, Ordering::Release);
    }

    /// Completions that the core has not given back, and the room for more.
    fn unseen(&self) -> (u32, u32) {
        let Params { cq, cq_entries, .. } = self.params;
        let unseen = self.tail.wrapping_sub(self.word(cq.head).load(Ordering::Acquire));
        assert!(unseen <= cq_entries, "completions given back that were never posted");
        (unseen, cq_entries - unseen)
    }

    /// Whether every completion was taken.
    pub fn idle(&self) -> bool {
        self.unseen().0 == 0 && self.backlog.is_empty()
    }

    /// Whether the ring of completions has something, as a poll of it would say.
    pub fn readable(&self) -> bool {
        self.unseen().0 != 0
    }

    /// Posts a completion, behind those that had no room.
    pub fn post(&mut self, completion: Completion) {
        if !self.backlog.is_empty() || self.unseen().1 == 0 {
            self.backlog.push_back(completion);
            self.word(self.params.sq.fifth).store(OVERFLOW, Ordering::Release);
            return;
        }
        self.place(completion);
    }

    /// What every entry into the kernel does: posts what waits, as far as there is room.
    pub fn flush(&mut self) {
        while self.unseen().1 != 0 {
            let Some(completion) = self.backlog.pop_front() else { break };
            self.place(completion);
        }
        if self.backlog.is_empty() {
            self.word(self.params.sq.fifth).store(0, Ordering::Release);
        }
    }

    fn place(&mut self, completion: Completion) {
        let Params { cq, cq_entries, .. } = self.params;
        let at = cq.sixth + (self.tail & (cq_entries - 1)) * size_of::<Completion>() as u32;
        // SAFETY: inside the ring, whose place the core does not read before the tail says so.
        unsafe { self.at.add(at as usize).cast::<Completion>().write_volatile(completion) };
        self.tail = self.tail.wrapping_add(1);
        self.word(cq.tail).store(self.tail, Ordering::Release);
    }
}
