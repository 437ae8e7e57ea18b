//! The record of one send: all that the kernel reads while it works on it, so nothing of it can die too early.

use crate::table::Linked;

/// Leases a send can gather, and iovecs it has.
pub const LEASES: usize = 16;
/// Bytes for an address: a `sockaddr_in6` and a little.
pub const NAME_BYTES: usize = 32;
/// Bytes for control messages: all that a datagram can have.
pub const CONTROL_BYTES: usize = 136;
/// Bytes of the control message that has a train segmented, the last one of a train.
pub const SEGMENT_CONTROL_BYTES: u64 = 24;

/// `state`: in the free list.
pub const FREE: u32 = 0;
/// `state`: being put together.
pub const OPEN: u32 = 1;
/// `state`: in its socket's queue.
pub const QUEUED: u32 = 2;
/// `state`: out of the queue, ids outstanding.
pub const ACCEPTED: u32 = 3;
/// `state`: released; the event is not taken yet.
pub const RELEASED: u32 = 4;

/// `state`: the ring has it; no longer in the queue if it is a datagram.
pub const SUBMITTED: u32 = 5;

/// `flags`: asks for zero-copy.
pub const ZERO_COPY: u32 = 1;
/// `flags`: some part was copied.
pub const COPIED: u32 = 2;
/// `flags`: nobody is told what becomes of it, whoever wants to know looks: its events wait apart from the others.
pub const REAPED: u32 = 4;
/// `flags`: failed or cancelled after a part was accepted.
pub const FAILED: u32 = 8;
/// `flags`: the program gave it up while the ring had it.
pub const GIVEN_UP: u32 = 16;
/// `flags`: need not wait in the queue, where the program could give it up, when it can be an entry of the ring now.
pub const AT_ONCE: u32 = 32;
/// `flags`: the ring was given all that is left as one train, not a segment of it.
pub const AS_TRAIN: u32 = 64;
/// `flags` that a program asks for.
pub const ASKED: u32 = ZERO_COPY | REAPED | AT_ONCE;

/// Linux `struct iovec`, LP64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Iovec {
    /// Machine address.
    pub base: u64,
    /// Bytes.
    pub len: u64,
}

/// Linux `struct msghdr`, LP64: x86-64 and aarch64 alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Msghdr {
    /// Machine address of the socket address, or 0.
    pub name: u64,
    /// Bytes of it.
    pub name_len: u32,
    /// Padding.
    pub pad: u32,
    /// Machine address of the iovecs.
    pub iov: u64,
    /// How many there are.
    pub iov_len: u64,
    /// Machine address of control messages, or 0.
    pub control: u64,
    /// Bytes of them.
    pub control_len: u64,
    /// Flags; read by nobody when sending.
    pub flags: u32,
    /// Padding.
    pub pad2: u32,
}

/// Linux `struct mmsghdr`, LP64.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Mmsghdr {
    /// The message.
    pub header: Msghdr,
    /// Bytes that the kernel took of it.
    pub len: u32,
    /// Padding.
    pub pad: u32,
}

/// One send.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Send {
    /// Which use of the slot this is.
    pub generation: u32,
    /// `FREE`, `OPEN`, `QUEUED`, `SUBMITTED`, `ACCEPTED`, `RELEASED`.
    pub state: u32,
    /// Its socket.
    pub socket: u32,
    /// The socket's generation.
    pub socket_generation: u32,
    /// Ids or notifications outstanding.
    pub refs: u32,
    /// `ZERO_COPY`, `COPIED`, `REAPED`, `FAILED`, `GIVEN_UP`, `AT_ONCE`, `AS_TRAIN`.
    pub flags: u32,
    /// Bytes in all.
    pub bytes: u32,
    /// Bytes not accepted yet.
    pub left: u32,
    /// Bytes accepted as copies.
    pub copied: u32,
    /// How many leases it gathers.
    pub lease_count: u32,
    /// Bit i: the implicit hold of lease i was consumed.
    pub consumed: u32,
    /// First iovec that is not wholly accepted.
    pub position: u32,
    /// The next send in the queue, plus one; free: the free list.
    pub link: u32,
    /// The send before it in the queue, plus one. A datagram that the ring has: its operation.
    pub back: u32,
    /// Their slots.
    pub leases: [u32; LEASES],
    /// The message, kept ready: what is left to send.
    pub message: Msghdr,
    /// One per lease.
    pub iovecs: [Iovec; LEASES],
    /// The socket address.
    pub name: [u64; NAME_BYTES / 8],
    /// Control messages.
    pub control: [u64; CONTROL_BYTES / 8],
    /// A train of datagrams: bytes of each but the last. Otherwise 0.
    pub segment: u32,
}

impl Linked for Send {
    #[inline]
    fn link(&mut self) -> &mut u32 {
        &mut self.link
    }
}

impl Send {
    /// Bytes accepted.
    #[inline]
    pub fn accepted(&self) -> u32 {
        self.bytes - self.left
    }

    /// Bytes accepted as loans, which count against the socket's limit until release.
    #[inline]
    pub fn lent(&self) -> u32 {
        self.accepted() - self.copied
    }

    /// Appends an iovec.
    #[inline]
    pub fn push(&mut self, lease: u32, consumed: bool, base: u64, bytes: u32) {
        let i = self.lease_count as usize;
        if let (Some(slot), Some(iovec)) = (self.leases.get_mut(i), self.iovecs.get_mut(i)) {
            *slot = lease;
            *iovec = Iovec { base, len: bytes as u64 };
            self.consumed |= (consumed as u32) << i;
            self.lease_count += 1;
            self.message.iov_len += 1;
            self.bytes += bytes;
            self.left += bytes;
        }
    }

    /// Bytes of the next message: all that is left, or a segment where the kernel takes no trains.
    #[inline]
    pub fn next_bytes(&self, segmented: bool) -> u32 {
        if segmented || self.segment == 0 {
            self.left
        } else {
            self.left.min(self.segment)
        }
    }

    /// The slot of lease `i` and whether its implicit hold was consumed.
    #[inline]
    pub fn lease(&self, i: u32) -> (u32, bool) {
        match self.leases.get(i as usize) {
            Some(&slot) => (slot, self.consumed >> i & 1 != 0),
            None => crate::table::trap(),
        }
    }

    /// Moves the iovecs past `bytes`, which are fewer than they have.
    #[inline]
    pub fn advance(&mut self, bytes: u32) {
        let mut left = bytes as u64;
        let first = self.position;
        let mut position = first;
        while let Some(iovec) = self.iovecs.get_mut(position as usize) {
            if left < iovec.len {
                iovec.base += left;
                iovec.len -= left;
                break;
            }
            left -= iovec.len;
            position += 1;
        }
        if position != first {
            let moved = (position - first) as u64;
            self.position = position;
            self.message.iov += moved * size_of::<Iovec>() as u64;
            self.message.iov_len -= moved;
        }
    }
}

/// Byte offsets inside a [`Send`] that JavaScript and the kernel rely on.
pub mod offsets {
    use super::Send;
    use core::mem::offset_of;

    /// Offset of the message.
    pub const MESSAGE: u32 = offset_of!(Send, message) as u32;
    /// Offset of the iovecs.
    pub const IOVECS: u32 = offset_of!(Send, iovecs) as u32;
    /// Offset of the socket address.
    pub const NAME: u32 = offset_of!(Send, name) as u32;
    /// Offset of the control messages.
    pub const CONTROL: u32 = offset_of!(Send, control) as u32;
}

const _: () = {
    assert!(size_of::<Send>() == 640);
    assert!(size_of::<Msghdr>() == 56);
    assert!(size_of::<Mmsghdr>() == 64);
    assert!(size_of::<Iovec>() == 16);
    assert!(offsets::MESSAGE == 120);
    assert!(offsets::IOVECS == 176);
    assert!(offsets::NAME == 432);
    assert!(offsets::CONTROL == 464);
};
