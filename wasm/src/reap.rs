//! Completions of the ring: what became of sends, and when the kernel let go of them.
//!
//! Whether a notification follows is said by `F_MORE`, never by the result.

use crate::events::{self, Event};
use crate::ledger::Ledger;
use crate::operation::{self, Operation};
use crate::ring::{self, Completion};
use crate::send;
use crate::seq::Counting;
use crate::socket;
use crate::Fault;

const EIO: i32 = 5;
pub(crate) const ECANCELED: i32 = 125;

impl<C: Counting> Ledger<'_, C> {
    /// Takes the completions there are, as long as there is room to tell what they bring. Returns how many.
    pub fn ring_reap(&mut self) -> Result<u32, Fault> {
        // One can end every send, each with two events, and make its socket ready twice.
        let most = 2 * self.sends.len() + 2;
        let mut count = 0;
        let mut ready = 0;
        loop {
            let Some(ring) = &mut self.ring else { return Err(Fault::Busy) };
            if ready == 0 {
                ready = ring.ready();
            }
            if ready == 0 || !self.events.has_room_beyond(most) {
                ring.release();
                return Ok(count);
            }
            let completion = ring.take();
            self.completed(completion);
            ready -= 1;
            count += 1;
        }
    }

    #[inline]
    fn completed(&mut self, completion: Completion) {
        let Completion { user_data, result, flags } = completion;
        let op = user_data as u32;
        if op == operation::NOBODY {
            return;
        }
        let generation = (user_data >> 32) as u32;
        let kind = match self.operations.find(op) {
            Some(record) if record.generation == generation => record.kind,
            _ => operation::FREE,
        };
        let more = flags & ring::F_MORE != 0;
        let notification = flags & ring::F_NOTIF != 0;
        match kind {
            operation::SEND | operation::SEND_ZC if !notification => self.settle(op, result, more),
            operation::NOTIFYING if notification => self.notified(op, result as u32 & ring::COPIED != 0),
            operation::FAILING if notification => self.settle_failed(op),
            operation::CALL => self.called(op, generation, result, more),
            // Late, after a cancelled link, or repeated.
            _ => self.late += 1,
        }
    }

    #[inline(never)]
    fn called(&mut self, op: u32, generation: u32, result: i32, more: bool) {
        let kind = if more { events::CALLED_MORE } else { events::CALLED };
        self.events.push(Event { kind, send: op, generation, value: result as u32 });
        if !more {
            // The slot is free when JavaScript has taken the event: another operation would be taken for this one.
            self.operations[op].kind = operation::DONE;
            self.operations_out -= 1;
        }
    }

    /// The notification of a send that failed has come.
    #[inline(never)]
    fn settle_failed(&mut self, op: u32) {
        self.settle(op, 0, false);
    }

    /// The result of a send; `more` when its notification follows.
    #[inline(always)]
    fn settle(&mut self, op: u32, result: i32, more: bool) {
        let Operation { kind, socket, send, bytes, result: failed, .. } = self.operations[op];
        let result = if failed != 0 { failed } else { result };
        let errno = if result == 0 && bytes != 0 { EIO } else { -result.min(0) };
        let refused = errno != 0;
        if refused && more {
            // The kernel may still hold what it did not send: the leases wait, and what to make of it too.
            let record = &mut self.operations[op];
            record.kind = operation::FAILING;
            record.result = result;
            return;
        }
        let zero_copy = kind != operation::SEND;
        let record = &mut self.sockets[socket];
        let datagram = record.flags & socket::DATAGRAM != 0;
        record.chain -= 1;
        if zero_copy {
            record.submitted -= bytes as u64;
        }
        if more {
            record.next = C::next(record.next);
            record.oldest = record.next;
        }
        if !datagram {
            self.settle_link(op, result, errno, zero_copy, more);
        } else if refused || self.sends[send].left != bytes {
            self.settle_part(socket, send, bytes, errno, zero_copy, more);
        } else {
            self.count_bytes(socket, send, bytes, zero_copy, more);
            self.sends[send].left = 0;
            self.accepted(socket, send);
        }
        if more {
            self.operations[op].kind = operation::NOTIFYING;
        } else {
            self.operation_free(op);
            if !refused {
                self.unblock(socket); // of a refusal somebody is told, and decides
            }
        }
    }

    /// A datagram that is not out yet: the kernel refused it, or took a segment of a train.
    #[cold]
    #[inline(never)]
    fn settle_part(&mut self, socket: u32, send: u32, bytes: u32, errno: i32, zero_copy: bool, more: bool) {
        if errno != 0 {
            return self.give_back(socket, send, errno);
        }
        self.count_bytes(socket, send, bytes, zero_copy, more);
        let record = &mut self.sends[send];
        record.left -= bytes;
        record.advance(bytes);
        let given_up = record.flags & send::GIVEN_UP != 0;
        self.put_first(socket, send);
        if given_up {
            self.failed(send, ECANCELED);
        } else {
            self.ready(socket);
        }
    }

    /// An entry of a stream's chain.
    #[inline(never)]
    fn settle_link(&mut self, op: u32, result: i32, errno: i32, zero_copy: bool, more: bool) {
        let Operation { socket, send, bytes, link, .. } = self.operations[op];
        let record = &mut self.sockets[socket];
        if record.first_op == op + 1 {
            // After a link that failed or was short the kernel cancels the rest by itself; some of it may be over.
            record.first_op = if result == bytes as i32 { link } else { 0 };
        }
        if errno == 0 {
            self.divide(op, socket, result as u32, zero_copy, more);
        } else if errno != ECANCELED {
            record.error = errno as u32;
            record.error_send = send;
        }
        if self.sockets[socket].chain == 0 {
            self.chain_ended(socket);
        } else if self.sockets[socket].flags & socket::ABANDONED != 0 {
            self.abandon_next(socket);
        }
    }

    /// The kernel may have been done with the operation of a chain that was to be cancelled: then it is the next one's turn.
    #[cold]
    fn abandon_next(&mut self, socket: u32) {
        let socket::Socket { mut head, first_op, .. } = self.sockets[socket];
        while head != 0 && first_op != 0 {
            let &send::Send { state, flags, link, .. } = self.send_record(head - 1);
            if state != send::SUBMITTED {
                return;
            }
            if flags & send::GIVEN_UP != 0 {
                let generation = self.operations[first_op - 1].generation;
                // Without room for it the chain ends by itself, as late as it does.
                let _ = self.ring_cancel(first_op - 1, generation);
                return;
            }
            head = link;
        }
    }

    /// Divides what the kernel took of a stream among the sends at the head of its queue.
    fn divide(&mut self, op: u32, socket: u32, bytes: u32, zero_copy: bool, more: bool) {
        let mut left = bytes;
        let mut count = 0;
        let first = self.sockets[socket].head;
        while left != 0 {
            let head = self.sockets[socket].head;
            if head == 0 {
                crate::table::trap(); // the kernel took more than it was given
            }
            let send = head - 1;
            let part = left.min(self.sends[send].left);
            self.count_bytes(socket, send, part, zero_copy, more);
            self.took_head(socket, send, part);
            left -= part;
            count += 1;
        }
        self.accept_empty(socket);
        let record = &mut self.operations[op];
        record.send = first.wrapping_sub(1);
        record.count = count;
    }

    #[inline]
    fn count_bytes(&mut self, socket: u32, send: u32, bytes: u32, zero_copy: bool, more: bool) {
        let tally = &mut self.sockets[socket].tally;
        let record = &mut self.sends[send];
        record.refs += more as u32;
        if zero_copy {
            tally.bytes_lent += bytes as u64;
        } else {
            record.flags |= send::COPIED;
            record.copied += bytes;
            tally.bytes_copied += bytes as u64;
        }
    }

    /// The kernel let go of what a zero-copy operation took.
    fn notified(&mut self, op: u32, copied: bool) {
        let Operation { socket, send, count, .. } = self.operations[op];
        let mut at = send;
        for _ in 0..count {
            let record = &mut self.sends[at];
            // A send that left the queue keeps its link to the one that came after it.
            let next = record.link;
            record.refs -= 1;
            if copied {
                record.flags |= send::COPIED;
            }
            if record.refs == 0 && record.state == send::ACCEPTED {
                self.release(at);
            }
            at = next.wrapping_sub(1);
        }
        let tally = &mut self.sockets[socket].tally;
        tally.notifications += 1;
        if copied {
            tally.ids_copied += 1;
        } else {
            tally.ids_not_copied += 1;
        }
        self.operation_free(op);
        self.unblock(socket);
    }

    /// No entry of a stream is in flight any more: what is left of its sends waits again. A send fails once: one that was
    /// given up is told so, and what went wrong with it is left to the next attempt.
    fn chain_ended(&mut self, socket: u32) {
        let &mut socket::Socket { head, error_send, .. } = &mut self.sockets[socket];
        self.sockets[socket].flags &= !socket::ABANDONED;
        let mut error = core::mem::take(&mut self.sockets[socket].error);
        let mut at = head;
        while at != 0 && self.sends[at - 1].state == send::SUBMITTED {
            let record = &mut self.sends[at - 1];
            record.state = send::QUEUED;
            let (given_up, link) = (record.flags & send::GIVEN_UP != 0, record.link);
            record.flags &= !send::GIVEN_UP;
            if given_up {
                self.failed(at - 1, ECANCELED);
                if at - 1 == error_send {
                    error = 0;
                }
            }
            at = link;
        }
        if head != 0 && error != 0 {
            self.failed(error_send, error as i32);
        } else if head != 0 {
            self.ready(socket);
        }
    }

    /// A datagram that failed goes back to the front of the queue; whoever is told decides. If he gave it up he is told so:
    /// for any other reason he might try again.
    fn give_back(&mut self, socket: u32, send: u32, errno: i32) {
        let given_up = self.sends[send].flags & send::GIVEN_UP != 0;
        self.put_first(socket, send);
        self.failed(send, if given_up { ECANCELED } else { errno });
    }

    /// Puts a datagram to the front of the queue. Trains that have begun come before all others: what they have in flight
    /// comes back only when they go on, so they may not wait behind one that waits for that.
    fn put_first(&mut self, socket: u32, send: u32) {
        let begun = |record: &send::Send| record.left != record.bytes;
        let (mut before, mut after) = (0, self.sockets[socket].head);
        if !begun(&self.sends[send]) {
            while after != 0 && begun(&self.sends[after - 1]) {
                before = after;
                after = self.sends[after - 1].link;
            }
        }
        if before == 0 {
            self.sockets[socket].head = send + 1;
        } else {
            self.sends[before - 1].link = send + 1;
        }
        if after == 0 {
            self.sockets[socket].tail = send + 1;
        } else {
            self.sends[after - 1].back = send + 1;
        }
        let record = &mut self.sends[send];
        record.state = send::QUEUED;
        record.flags &= !send::GIVEN_UP;
        record.link = after;
        record.back = before;
    }

    fn failed(&mut self, send: u32, errno: i32) {
        let generation = self.sends[send].generation;
        self.events.push(Event { kind: events::FAILED, send, generation, value: errno as u32 });
    }

    fn ready(&mut self, socket: u32) {
        let generation = self.sockets[socket].generation;
        self.events.push(Event { kind: events::READY, send: socket, generation, value: 0 });
    }

    /// Less is in flight: a socket that waited for that can go on.
    #[inline]
    fn unblock(&mut self, socket: u32) {
        let record = &mut self.sockets[socket];
        if record.flags & socket::BLOCKED == 0 {
            return;
        }
        record.flags &= !socket::BLOCKED;
        if record.head != 0 {
            self.ready(socket);
        }
    }

    /// Lets a socket wait until the kernel has let go of something; `false` when it holds nothing.
    pub fn ring_block(&mut self, slot: u32, generation: u32) -> Result<bool, Fault> {
        let record = self.socket(slot, generation)?;
        if record.outstanding() == 0 && record.chain == 0 {
            return Ok(false);
        }
        record.flags |= socket::BLOCKED;
        Ok(true)
    }
}
