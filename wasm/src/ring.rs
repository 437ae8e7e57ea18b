//! The two rings of io_uring, as the kernel and the core share them: entries, completions, and index arithmetic.
//!
//! Both sides count without end and wrap at 2^32; an index is a count modulo the ring's size, a power of two.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering};

/// Operations that the core prepares by itself; the numbers are the kernel's.
pub mod opcode {
    /// Does nothing.
    pub const NOP: u8 = 0;
    /// Waits for a descriptor to have news.
    pub const POLL_ADD: u8 = 6;
    /// Sends a message.
    pub const SENDMSG: u8 = 9;
    /// Cancels another operation.
    pub const ASYNC_CANCEL: u8 = 14;
    /// Writes to a descriptor.
    pub const WRITE: u8 = 23;
    /// Sends bytes.
    pub const SEND: u8 = 26;
    /// Sends bytes without a copy.
    pub const SEND_ZC: u8 = 47;
    /// Sends a message without a copy.
    pub const SENDMSG_ZC: u8 = 48;
}

/// `Entry::flags`: the next entry waits for this one, and is cancelled if it fails or is short.
pub const IO_LINK: u8 = 1 << 2;
/// `Entry::flags`: `fd` is the place of a registered file.
pub const FIXED_FILE: u8 = 1 << 0;
/// `Entry::flags`: the next entry waits for this one, whatever comes of it.
pub const IO_HARDLINK: u8 = 1 << 3;
/// `Entry::flags`: success posts no completion.
pub const CQE_SKIP_SUCCESS: u8 = 1 << 6;
/// `Entry::ioprio` of sends: the bytes are in the registered buffer `buf_index`.
pub const FIXED_BUF: u16 = 1 << 2;
/// `Entry::ioprio` of zero-copy sends: the notification says whether the kernel copied.
pub const REPORT_USAGE: u16 = 1 << 3;
/// `Completion::flags`: another completion of the same operation follows.
pub const F_MORE: u32 = 1 << 1;
/// `Completion::flags`: the notification of a zero-copy send.
pub const F_NOTIF: u32 = 1 << 3;
/// `Completion::result` of a notification, as bits: the kernel copied.
pub const COPIED: u32 = 1 << 31;

/// Linux `struct io_uring_sqe`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Entry {
    /// What to do.
    pub opcode: u8,
    /// `IO_LINK` and the like.
    pub flags: u8,
    /// Flags of sends and accepts.
    pub ioprio: u16,
    /// The descriptor.
    pub fd: i32,
    /// Offset, or the address of a second argument.
    pub off: u64,
    /// Machine address of the first argument.
    pub addr: u64,
    /// Its length.
    pub len: u32,
    /// Flags of the operation: `msg_flags`, poll events, ….
    pub op_flags: u32,
    /// Given back with every completion.
    pub user_data: u64,
    /// Which registered buffer.
    pub buf_index: u16,
    /// Credentials; not used.
    pub personality: u16,
    /// Length of a socket address.
    pub addr_len: u16,
    /// Padding.
    pub pad: u16,
    /// Not used. In single fields, since an array would be copied through memory.
    pub addr3: u64,
    /// Not used.
    pub pad2: u64,
}

/// Linux `struct io_uring_cqe`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Completion {
    /// That of the entry.
    pub user_data: u64,
    /// What the system call would have returned, or a negative errno.
    pub result: i32,
    /// `F_MORE` and the like.
    pub flags: u32,
}

/// Linux `struct io_uring_params`: what the kernel answers about the rings it has set up.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Params {
    /// Submission entries.
    pub sq_entries: u32,
    /// Completion entries.
    pub cq_entries: u32,
    /// Setup flags, features and what else this side does not read.
    pub unread: [u32; 8],
    /// Where things of the submission ring are.
    pub sq: Offsets,
    /// Where things of the completion ring are.
    pub cq: Offsets,
}

/// Linux `struct io_sqring_offsets` and `io_cqring_offsets`: bytes from the start of the rings.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Offsets {
    /// The consumer's count.
    pub head: u32,
    /// The producer's count.
    pub tail: u32,
    /// Size minus one.
    pub mask: u32,
    /// Size.
    pub entries: u32,
    /// Submission: flags. Completion: how many were lost.
    pub fifth: u32,
    /// Submission: entries refused. Completion: the completions.
    pub sixth: u32,
    /// Submission: the array of entry numbers. Completion: flags.
    pub seventh: u32,
    /// Padding.
    pub pad: u32,
    /// Machine address that the program chose.
    pub user_addr: u64,
}

/// Bytes that rings of such sizes take at most: the kernel's header, the completions and the array.
pub const fn ring_bytes(sq_entries: u32, cq_entries: u32) -> u64 {
    4096 + cq_entries as u64 * size_of::<Completion>() as u64 + sq_entries as u64 * 4
}

/// The rings, seen from the program's side.
#[derive(Debug)]
pub struct Ring<'a> {
    sq_head: &'a AtomicU32,
    sq_tail: &'a AtomicU32,
    sq_flags: &'a AtomicU32,
    entries: &'a mut [Entry],
    sq_mask: u32,
    cq_head: &'a AtomicU32,
    cq_tail: &'a AtomicU32,
    cq_lost: &'a AtomicU32,
    completions: *const Completion,
    cq_mask: u32,
    /// Entries prepared; the kernel sees them once published.
    prepared: u32,
    /// Completions taken.
    taken: u32,
    lifetime: PhantomData<&'a [Completion]>,
}

impl<'a> Ring<'a> {
    /// Takes over rings that the kernel has set up; `None` if what it says about them does not fit.
    ///
    /// # Safety
    ///
    /// `rings` points to `bytes` bytes, aligned to a page, that live for `'a` and that only the kernel and this object
    /// use. `entries` are those that the kernel reads.
    pub unsafe fn new(rings: *mut u8, bytes: u64, entries: &'a mut [Entry], params: &Params) -> Option<Self> {
        let Params { sq_entries, cq_entries, sq, cq, .. } = *params;
        let fits = |at: u32, size: u64| at % 4 == 0 && at as u64 + size <= bytes;
        let words = [sq.head, sq.tail, sq.fifth, cq.head, cq.tail, cq.fifth];
        let good = sq_entries.is_power_of_two()
            && cq_entries.is_power_of_two()
            && sq_entries as usize <= entries.len()
            && words.iter().all(|&at| fits(at, 4))
            && fits(sq.seventh, sq_entries as u64 * 4)
            && cq.sixth % 8 == 0
            && fits(cq.sixth, cq_entries as u64 * size_of::<Completion>() as u64);
        if !good {
            return None;
        }
        // SAFETY: aligned and inside, as was just checked; the caller vouches for the rest.
        let word = |at: u32| unsafe { AtomicU32::from_ptr(rings.add(at as usize).cast()) };
        for i in 0..sq_entries {
            // Entries go in the order of their places.
            word(sq.seventh + 4 * i).store(i, Ordering::Relaxed);
        }
        let (sq_tail, cq_head) = (word(sq.tail), word(cq.head));
        Some(Ring {
            sq_head: word(sq.head),
            sq_tail,
            sq_flags: word(sq.fifth),
            entries,
            sq_mask: sq_entries - 1,
            cq_head,
            cq_tail: word(cq.tail),
            cq_lost: word(cq.fifth),
            // SAFETY: as above.
            completions: unsafe { rings.add(cq.sixth as usize) }.cast(),
            cq_mask: cq_entries - 1,
            prepared: sq_tail.load(Ordering::Relaxed),
            taken: cq_head.load(Ordering::Relaxed),
            lifetime: PhantomData,
        })
    }

    /// Entries that the kernel has not taken yet, published or not.
    #[inline]
    pub fn pending(&self) -> u32 {
        self.prepared.wrapping_sub(self.sq_head.load(Ordering::Acquire))
    }

    /// Entries that can be prepared before the kernel takes some.
    #[inline]
    pub fn room(&self) -> u32 {
        self.sq_mask + 1 - self.pending()
    }

    /// Prepares an entry. Without room it traps: callers look first.
    #[inline]
    pub fn push(&mut self, entry: Entry) {
        match self.entries.get_mut((self.prepared & self.sq_mask) as usize) {
            Some(place) => *place = entry,
            None => crate::table::trap(),
        }
        self.prepared = self.prepared.wrapping_add(1);
    }

    /// The entry prepared last.
    #[inline]
    pub fn last(&mut self) -> Option<&mut Entry> {
        self.entries.get_mut((self.prepared.wrapping_sub(1) & self.sq_mask) as usize)
    }

    /// Entry `i` of those that the kernel has not taken; counted from below 0, of those that it took last.
    #[inline]
    fn waiting(&mut self, i: u32) -> &mut Entry {
        let place = self.sq_head.load(Ordering::Acquire).wrapping_add(i) & self.sq_mask;
        match self.entries.get_mut(place as usize) {
            Some(entry) => entry,
            None => crate::table::trap(),
        }
    }

    /// The entries of a chain whose beginning alone the kernel took: it would run the rest beside it. They do nothing now.
    /// Calls `cut` with the `user_data` of each. Returns that of the last one that the kernel took.
    pub fn cut_chain(&mut self, mut cut: impl FnMut(u64)) -> u64 {
        let &mut Entry { flags, user_data: last, .. } = self.waiting(u32::MAX);
        let mut linked = flags & IO_LINK != 0;
        let mut i = 0;
        while linked && i < self.pending() {
            let entry = self.waiting(i);
            linked = entry.flags & IO_LINK != 0;
            *entry = Entry { opcode: opcode::NOP, fd: -1, user_data: entry.user_data, ..Entry::default() };
            cut(entry.user_data);
            i += 1;
        }
        last
    }

    /// Lets the kernel see what was prepared. Returns how many entries it has to take.
    #[inline]
    pub fn publish(&mut self) -> u32 {
        self.sq_tail.store(self.prepared, Ordering::Release);
        self.pending()
    }

    /// Completions that were not taken.
    #[inline]
    pub fn ready(&self) -> u32 {
        self.cq_tail.load(Ordering::Acquire).wrapping_sub(self.taken)
    }

    /// Takes the oldest completion; [`Ring::ready`] has said that there is one. The kernel may use its place once
    /// [`Ring::release`] was called.
    #[inline]
    pub fn take(&mut self) -> Completion {
        // SAFETY: inside the ring; the kernel has written it, and does not again until it is taken.
        let completion = unsafe { self.completions.add((self.taken & self.cq_mask) as usize).read_volatile() };
        self.taken = self.taken.wrapping_add(1);
        completion
    }

    /// Lets the kernel use the places of the completions that were taken.
    #[inline]
    pub fn release(&mut self) {
        self.cq_head.store(self.taken, Ordering::Release);
    }

    /// What the kernel says about the submission ring: completions wait in its backlog, or work waits for an enter.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.sq_flags.load(Ordering::Acquire)
    }

    /// Completions that the kernel could not keep. Never any where it has IORING_FEAT_NODROP.
    pub fn lost(&self) -> u32 {
        self.cq_lost.load(Ordering::Relaxed)
    }
}

const _: () = {
    assert!(size_of::<Entry>() == 64);
    assert!(size_of::<Completion>() == 16);
    assert!(size_of::<Params>() == 120);
    assert!(core::mem::offset_of!(Entry, user_data) == 32);
    assert!(core::mem::offset_of!(Entry, buf_index) == 40);
    assert!(core::mem::offset_of!(Entry, addr_len) == 44);
};
