//! Sockets, as far as the ledger needs them: a queue of sends, and a window of ids that the kernel counts.

use crate::counters::Tally;
use crate::send;
use crate::seq;
use crate::table::Linked;

/// `flags`: the slot is in use.
pub const LIVE: u32 = 1;
/// `flags`: sends are datagrams, accepted whole or not at all.
pub const DATAGRAM: u32 = 2;
/// `flags`: a zero-copy call failed and may have taken an id.
pub const SUSPECT: u32 = 4;
/// `flags`: waits until less is in flight.
pub const BLOCKED: u32 = 8;
/// `flags`: a send in its chain was given up.
pub const ABANDONED: u32 = 16;
/// `flags`: the ring may be given its sends.
pub const ATTACHED: u32 = 32;

/// `flags`: the kernel takes no trains of it: they go segment by segment.
pub const UNSEGMENTED: u32 = 64;

/// A window entry of an id that a failed send took. Other entries: 0 resolved, else the owner's slot plus one.
pub const TAKEN: u32 = u32::MAX;

/// One socket.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Socket {
    /// Which use of the slot this is.
    pub generation: u32,
    /// `LIVE`, `DATAGRAM`, `SUSPECT`, `BLOCKED`, `ABANDONED`, `ATTACHED`, `UNSEGMENTED`.
    pub flags: u32,
    /// The id the kernel gives to the next zero-copy send.
    pub next: u32,
    /// The oldest id that is not resolved; equal to `next` when none is outstanding.
    pub oldest: u32,
    /// What `next` was when no id had been given: `next - first` ids were.
    pub first: u32,
    /// First send of the queue, plus one; free: the free list.
    pub head: u32,
    /// Last send of the queue, plus one.
    pub tail: u32,
    /// Bytes that zero-copy sends may have in flight; `u32::MAX` for no bound.
    pub limit: u32,
    /// Ring: operations without a result.
    pub chain: u32,
    /// Ring: the first of a stream's chain, plus one.
    pub first_op: u32,
    /// Ring: the last of it, plus one.
    pub last_op: u32,
    /// Ring: why the chain failed.
    pub error: u32,
    /// Ring: the first send of the operation that failed it. One that the kernel refuses as it takes it cancels those
    /// before it in the chain, so that is not always the head.
    pub error_send: u32,
    /// Sends that were queued and are not over.
    pub sends: u32,
    /// Ring: bytes of zero-copy operations without a result.
    pub submitted: u64,
    /// What it counts.
    pub tally: Tally,
    /// Ring: `fd` of its entries, its descriptor or the place of its file.
    pub fd: i32,
    /// Ring: `flags` of its entries.
    pub entry_flags: u32,
    /// Bytes of the segments into which the kernel cuts what no control message speaks of (UDP_SEGMENT as an option of the
    /// socket); 0 if it does not. What it was at first: trains keep the meaning that they were made with.
    pub segment: u32,
}

impl Socket {
    /// Ids outstanding: those given and not resolved. The ring gives one to every operation with a notification.
    #[inline]
    pub fn outstanding(&self) -> u32 {
        let resolved = (self.tally.ids_copied + self.tally.ids_not_copied) as u32;
        seq::distance(self.first, self.next).wrapping_sub(resolved)
    }

    /// Sends in the queue, and those that the ring has.
    #[inline]
    pub fn queued(&self) -> u32 {
        (self.tally.queued - self.tally.left) as u32
    }

    /// Bytes of the control message that has a train of such segments cut: what the socket does by itself takes none.
    #[inline]
    pub fn segment_control_bytes(&self, segment: u32) -> u64 {
        if segment == 0 || segment == self.segment {
            0
        } else {
            send::SEGMENT_CONTROL_BYTES
        }
    }

    /// Bytes that zero-copy sends have in flight.
    #[inline]
    pub fn in_flight(&self) -> u64 {
        self.tally.bytes_lent - self.tally.bytes_released
    }
}

impl Linked for Socket {
    /// A free socket has no queue.
    #[inline]
    fn link(&mut self) -> &mut u32 {
        &mut self.head
    }
}

/// What a completion did, id by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Ids that were outstanding, adopted ones included.
    pub resolved: u32,
    /// Ids that had been resolved before.
    pub duplicate: u32,
    /// Ids outside the window.
    pub unknown: u32,
    /// Ids found to have been taken by failed sends.
    pub adopted: u32,
}
