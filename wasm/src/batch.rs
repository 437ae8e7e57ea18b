//! Batches in the form of Linux `sendmmsg`: what the head of a queue looks like to the kernel.

use crate::ledger::Ledger;
use crate::queue::Withdrawn;
use crate::send::{self, Iovec, Mmsghdr, Msghdr};
use crate::seq::{self, Counting};
use crate::socket::{self, Socket};
use crate::Fault;

/// Messages in one batch.
pub const MESSAGES: u32 = 1024;

/// Why a batch is empty, or the ring is given no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// Nothing is queued.
    Empty = 0,
    /// Every id of the window is outstanding.
    Window = 1,
    /// The socket has as many bytes in flight as it may.
    Limit = 2,
    /// A chain of the stream is in flight.
    Chain = 3,
    /// The ring, its operations or their staging are used up.
    Full = 4,
}

/// A filled batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// How many messages.
    pub messages: u32,
    /// Whether they ask for zero-copy: one flag for the whole call.
    pub zero_copy: bool,
    /// Their bytes.
    pub bytes: u64,
    /// Why there are none; meaningless otherwise.
    pub reason: Reason,
}

impl<C: Counting> Ledger<'_, C> {
    /// Lays out up to `max` messages from the head of a socket's queue. Nothing is taken from it yet.
    pub fn batch_fill(&mut self, slot: u32, generation: u32, max: u32) -> Result<Filled, Fault> {
        let socket = self.socket(slot, generation)?;
        let in_flight = socket.in_flight();
        let &mut Socket { oldest, next, head, flags, limit, .. } = socket;
        if max == 0 {
            return Err(Fault::Range);
        }
        let max = max.min(self.batch.len());
        let mut filled = Filled { messages: 0, zero_copy: false, bytes: 0, reason: Reason::Empty };
        let mut ids = self.window - seq::distance(oldest, next);
        let segmented = flags & socket::UNSEGMENTED == 0;
        self.staged_iovecs = 0;
        let mut at = head;
        while at != 0 && filled.messages < max {
            let record = &self.sends[at - 1];
            let zero_copy = record.flags & send::ZERO_COPY != 0;
            if filled.messages != 0 && zero_copy != filled.zero_copy {
                break;
            }
            filled.zero_copy = zero_copy;
            let left = record.next_bytes(segmented) as u64;
            if zero_copy {
                if left != 0 || flags & socket::DATAGRAM != 0 {
                    if ids == 0 {
                        filled.reason = Reason::Window;
                        break;
                    }
                    ids -= 1;
                }
                let busy = in_flight + filled.bytes;
                // With nothing in flight a send larger than the limit still goes, or it never would. One that has begun goes
                // on: what it has in flight comes back only when all of it has.
                if busy != 0 && record.left == record.bytes && limit != u32::MAX && busy + left > limit as u64 {
                    filled.reason = Reason::Limit;
                    break;
                }
            }
            let next = record.link;
            let one_segment = record.segment != 0 && !segmented;
            let header = if one_segment { self.stage_segment(at - 1, left as u32) } else { record.message };
            // The other words are zero in every record, and so here.
            let Msghdr { name, name_len, iov, iov_len, control, control_len, .. } = header;
            let message = &mut self.batch[filled.messages];
            message.header.name = name;
            message.header.name_len = name_len;
            message.header.iov = iov;
            message.header.iov_len = iov_len;
            message.header.control = control;
            message.header.control_len = control_len;
            message.len = 0;
            filled.messages += 1;
            filled.bytes += left;
            at = next;
            if one_segment {
                break; // the next one follows when this one is out
            }
        }
        self.filled = filled.messages;
        self.filled_socket = slot;
        Ok(filled)
    }

    /// The kernel took the first `count` messages of the batch, as far as their `len` says. Returns the sends left
    /// in the queue and the bytes accepted.
    pub fn batch_done(&mut self, slot: u32, generation: u32, count: u32) -> Result<(u32, u64), Fault> {
        self.socket(slot, generation)?;
        if count > self.filled || slot != self.filled_socket {
            return Err(Fault::Range);
        }
        self.filled = 0;
        let mut accepted = 0;
        for i in 0..count {
            let (bytes, head) = (self.batch[i].len, self.sockets[slot].head);
            if head == 0 {
                return Err(Fault::Range);
            }
            let zero_copy = self.sends[head - 1].flags & send::ZERO_COPY != 0;
            let (_, left) = self.accept_head(slot, head - 1, bytes, zero_copy)?;
            // The kernel stops a batch at the first message it took only in part.
            if left != 0 && i + 1 != count {
                return Err(Fault::Range);
            }
            accepted += bytes as u64;
        }
        Ok((self.sockets[slot].queued(), accepted))
    }

    /// The send at the head of the queue goes as a copy from here on.
    pub fn batch_copy(&mut self, slot: u32, generation: u32) -> Result<(), Fault> {
        let head = self.head(slot, generation)?;
        self.sends[head].flags &= !send::ZERO_COPY;
        Ok(())
    }

    /// The send at the head of the queue failed with `errno`: it leaves the queue. Returns its slot.
    pub fn batch_fail(&mut self, slot: u32, generation: u32, errno: u32) -> Result<(u32, u32, Withdrawn), Fault> {
        let head = self.head(slot, generation)?;
        let send_generation = self.sends[head].generation;
        Ok((head, send_generation, self.withdraw(head, errno)))
    }

    /// Message `i`, for whoever plays the kernel.
    pub fn batch_message(&mut self, i: u32) -> &mut Mmsghdr {
        &mut self.batch[i]
    }

    /// Iovec `i` of those that segments in the batch point to, for whoever plays the kernel.
    pub fn staged(&self, i: u32) -> Iovec {
        self.staging[i]
    }

    fn head(&mut self, slot: u32, generation: u32) -> Result<u32, Fault> {
        let head = self.socket(slot, generation)?.head;
        if head == 0 || self.sends[head - 1].state != send::QUEUED {
            return Err(Fault::Busy);
        }
        self.filled = 0;
        Ok(head - 1)
    }
}
