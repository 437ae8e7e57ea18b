//! What the kernel reads through the addresses in an entry, and what it insists on.

use super::memory::Memory;
use ringlet_core::ring::{self, opcode, Entry};
use ringlet_core::send::{Iovec, Msghdr};
use ringlet_core::submit::Registered;
use std::rc::Rc;

pub const MSG_WAITALL: u32 = 0x100;
pub const MSG_NOSIGNAL: u32 = 0x4000;
/// Level and type of a control message that asks for a type of service, and of the one that has a train segmented.
pub const IP_TOS: u64 = 1 << 32;
pub const UDP_SEGMENT: u64 = 103 << 32 | 17;
/// Bytes of either, with its header and padding.
const CONTROL_MESSAGE: u64 = 24;
/// Iovecs of one message.
const UIO_MAXIOV: u64 = 1024;

/// The program's memory, as far as the kernel knows it.
pub struct View {
    pub memory: Rc<Memory>,
    pub arena_base: u64,
    pub arena_bytes: u64,
    pub registered: Registered,
}

impl View {
    /// Copies what an entry points to, as the kernel does when it takes the entry.
    pub fn read(&self, entry: &Entry) -> (Vec<Iovec>, Option<Msghdr>) {
        let known = ring::IO_LINK | ring::IO_HARDLINK | ring::CQE_SKIP_SUCCESS;
        assert_eq!(entry.flags & !known, 0, "unknown flags");
        let (parts, message) = match entry.opcode {
            opcode::SEND | opcode::SEND_ZC => (vec![Iovec { base: entry.addr, len: entry.len as u64 }], None),
            opcode::SENDMSG | opcode::SENDMSG_ZC => {
                assert_eq!(entry.len, 1, "one message");
                let message: Msghdr = self.memory.read(entry.addr);
                assert!(message.iov_len <= UIO_MAXIOV, "too many iovecs");
                let iovec = |i| self.memory.read(message.iov + i * size_of::<Iovec>() as u64);
                ((0..message.iov_len).map(iovec).collect(), Some(message))
            }
            _ => return (Vec::new(), None),
        };
        let arena = self.arena_base..=self.arena_base + self.arena_bytes;
        for part in &parts {
            assert!(part.len > 0 && arena.contains(&part.base) && arena.contains(&(part.base + part.len)), "{part:?}");
        }
        self.check_buffer(entry, &parts);
        (parts, message)
    }

    /// Bytes of the segments that a message is to be cut into, 0 for one that is not; `None` when it does not say so.
    pub fn segment(&self, message: &Msghdr) -> Option<u32> {
        assert_eq!(message.control == 0, message.control_len == 0, "{message:?}");
        assert_eq!(message.control_len % CONTROL_MESSAGE, 0, "{message:?}");
        let segments = |at: &u64| self.memory.read::<u64>(message.control + at + 8) == UDP_SEGMENT;
        let at = (0..message.control_len).step_by(CONTROL_MESSAGE as usize).find(segments);
        let at = at?;
        assert_eq!(at + CONTROL_MESSAGE, message.control_len, "what segments a train comes last");
        Some(self.memory.read::<u64>(message.control + at + 16) as u32)
    }

    /// A registered buffer is named where there is one, and then it holds every part.
    fn check_buffer(&self, entry: &Entry, parts: &[Iovec]) {
        let zero_copy = matches!(entry.opcode, opcode::SEND_ZC | opcode::SENDMSG_ZC);
        let mut expected = if zero_copy { ring::REPORT_USAGE } else { 0 };
        let buffers: Vec<_> = parts.iter().map(|part| self.buffer(part)).collect();
        let same = buffers.iter().all(|buffer| *buffer == buffers[0]);
        let message = entry.opcode == opcode::SENDMSG_ZC;
        if zero_copy && same && (!message || self.registered.gathers) {
            if let Some(&Some(buffer)) = buffers.first() {
                expected |= ring::FIXED_BUF;
                assert_eq!(entry.buf_index, buffer, "the buffer that holds {parts:?}");
            }
        }
        assert_eq!(entry.ioprio, expected, "flags of {entry:?}, {parts:?} with {:?}", self.registered);
    }

    /// The buffers as `io_uring_register` was told of them.
    fn buffer(&self, part: &Iovec) -> Option<u16> {
        let all = self.registered.bytes as u64;
        let piece = if self.registered.piece == 0 { all.max(1) } else { self.registered.piece as u64 };
        let start = part.base - self.arena_base;
        (0..all.div_ceil(piece))
            .find(|i| start >= i * piece && start + part.len <= all.min((i + 1) * piece))
            .map(|i| i as u16)
    }

    /// A doorbell: a poll of the ring itself, then a byte for a pipe.
    pub fn check_bell(&self, entries: &[Entry]) {
        let [poll, write] = entries else { panic!("a doorbell has two entries: {entries:?}") };
        assert_eq!((poll.flags, write.flags), (ring::IO_HARDLINK | ring::CQE_SKIP_SUCCESS, ring::CQE_SKIP_SUCCESS));
        assert_eq!((poll.opcode, poll.op_flags, poll.fd), (opcode::POLL_ADD, 1, super::RING_FD));
        assert_eq!((write.opcode, write.len, write.fd, write.off), (opcode::WRITE, 1, super::PIPE_FD, u64::MAX));
        self.memory.read::<u8>(write.addr);
    }
}
