//! Operations that the ring works on: one record each, found again by slot and generation.
//!
//! The kernel gives `user_data` back with every completion. A late or repeated one finds another generation in its
//! slot, and changes nothing but a counter.

use crate::table::Linked;

/// `kind`: in the free list.
pub const FREE: u32 = 0;
/// `kind`: sends bytes of one socket's queue.
pub const SEND: u32 = 1;
/// `kind`: sends bytes without a copy.
pub const SEND_ZC: u32 = 2;
/// `kind`: a zero-copy send whose result has come; its notification has not.
pub const NOTIFYING: u32 = 3;
/// `kind`: a zero-copy send that failed; what to make of it waits for the notification.
pub const FAILING: u32 = 4;
/// `kind`: whatever JavaScript has asked for.
pub const CALL: u32 = 5;

/// `kind`: JavaScript has not been told yet what came of it.
pub const DONE: u32 = 6;

/// Slot in the `user_data` of entries whose completions nobody waits for.
pub const NOBODY: u32 = u32::MAX;

/// One operation.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Operation {
    /// Which use of the slot this is.
    pub generation: u32,
    /// `FREE`, `SEND`, `SEND_ZC`, `NOTIFYING`, `FAILING`, `CALL`, `DONE`.
    pub kind: u32,
    /// The socket of a send.
    pub socket: u32,
    /// A datagram, or the first send of a stream that it is for; after the result, the first that it took bytes of.
    pub send: u32,
    /// After the result: how many sends it took bytes of, one after another in the queue. Of a datagram always 1.
    pub count: u32,
    /// Bytes that it was to send.
    pub bytes: u32,
    /// The result of one that failed, whatever the kernel says.
    pub result: i32,
    /// In a chain: the next operation, plus one. Free: the free list.
    pub link: u32,
}

impl Operation {
    /// What stands for the operation in entries and completions.
    #[inline]
    pub const fn user_data(slot: u32, generation: u32) -> u64 {
        (generation as u64) << 32 | slot as u64
    }
}

impl Linked for Operation {
    #[inline]
    fn link(&mut self) -> &mut u32 {
        &mut self.link
    }
}
