//! Sends as entries of the submission ring.
//!
//! Datagrams go one by one, as many at a time as there is room. On a stream bytes keep their order: one chain of
//! linked entries is in flight, each but the last waits for all its bytes (MSG_WAITALL), and the next chain begins
//! where the kernel stopped. An entry for several sends is always the last: it ends with what the kernel takes now, so
//! that nobody waits for the bytes of another send to learn that his own were taken.

use crate::batch::Reason;
use crate::ledger::Ledger;
use crate::operation::{self, Operation};
use crate::reap::ECANCELED;
use crate::ring::{self, opcode, Entry};
use crate::send::{self, Iovec, Mmsghdr, Msghdr};
use crate::seq::Counting;
use crate::socket;
use crate::table::next_generation;
use crate::Fault;

/// Iovecs that can be staged before the kernel is entered.
pub const IOVECS: u32 = 4096;
/// Entries of one chain.
const CHAIN: u32 = 64;
/// Sends go together in one entry up to so many bytes.
const TOGETHER: u32 = 4 << 20;
/// Iovecs of one entry: what the kernel takes (UIO_MAXIOV).
const TOGETHER_IOVECS: u32 = 1024;
/// Bytes of one iovec in one entry; what is longer is split.
const LONGEST: u32 = 16 << 20;

/// `Entry::op_flags` of sends: less than all bytes is a failure.
pub const MSG_WAITALL: u32 = 0x100;
/// `Entry::op_flags` of sends: no SIGPIPE.
pub const MSG_NOSIGNAL: u32 = 0x4000;
/// `Entry::op_flags` of cancels: every match, not the first one.
pub const ASYNC_CANCEL_ALL: u32 = 1;

/// What of the arena is registered with the kernel, and what the kernel can do with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registered {
    /// Bytes from the arena's start.
    pub bytes: u32,
    /// Bytes of a registered buffer; 0 when one holds all.
    pub piece: u32,
    /// Several iovecs may lie in a registered buffer (SENDMSG_ZC, Linux 6.15).
    pub gathers: bool,
}

impl Registered {
    /// The buffer that holds the range wholly.
    #[inline]
    fn buffer(&self, offset: u64, bytes: u64) -> Option<u16> {
        if offset + bytes > self.bytes as u64 {
            return None;
        }
        let (first, last) = match self.piece {
            0 => (0, 0),
            piece => (offset / piece as u64, (offset + bytes.max(1) - 1) / piece as u64),
        };
        (first == last).then_some(first as u16)
    }
}

/// A datagram, or train, in one piece, without control messages.
#[derive(Clone, Copy)]
pub(crate) struct Plain {
    pub zero_copy: bool,
    pub bytes: Iovec,
    /// Machine address of the socket address, or 0.
    pub name: u64,
    pub name_len: u32,
}

/// Iovecs that go in one entry.
#[derive(Clone, Copy)]
struct Run {
    zero_copy: bool,
    buffer: Option<u16>,
    /// Index of the first staged iovec.
    first: u32,
    iovecs: u32,
    bytes: u32,
    /// Its first send, and whether it has others too.
    send: u32,
    several: bool,
}

impl<C: Counting> Ledger<'_, C> {
    /// Prepares entries for the head of a socket's queue. Returns how many, and why not more.
    pub fn ring_fill(&mut self, slot: u32, generation: u32) -> Result<(u32, Reason), Fault> {
        let &mut socket::Socket { flags, chain, .. } = self.socket(slot, generation)?;
        let Some(ring) = &self.ring else { return Err(Fault::Busy) };
        if flags & socket::ATTACHED == 0 {
            return Err(Fault::Busy);
        }
        if ring.pending() == 0 {
            // The kernel copies messages and iovecs as it takes the entries (IORING_FEAT_SUBMIT_STABLE).
            self.staged_iovecs = 0;
            self.staged_messages = 0;
        }
        self.filled = 0;
        let datagram = flags & socket::DATAGRAM != 0;
        if !datagram && chain != 0 {
            return Ok((0, Reason::Chain));
        }
        self.sockets[slot].flags &= !socket::BLOCKED;
        if datagram {
            return Ok(self.fill_datagrams(slot));
        }
        Ok(self.fill_chain(slot))
    }

    /// Tells the ring the descriptor of a socket, and whether it is registered with the ring, at the socket's slot.
    pub fn ring_attach(&mut self, slot: u32, generation: u32, fd: i32, registered: bool) -> Result<(), Fault> {
        let socket = self.socket(slot, generation)?;
        (socket.fd, socket.entry_flags) = if registered { (slot as i32, ring::FIXED_FILE as u32) } else { (fd, 0) };
        socket.flags |= socket::ATTACHED;
        Ok(())
    }

    /// Whether a datagram of these bytes, or train, can be an entry now: nobody waits before it, and there is room.
    #[inline]
    pub(crate) fn can_go(&self, slot: u32, zero_copy: bool, bytes: u32, segment: u32) -> bool {
        const NEEDED: u32 = socket::DATAGRAM | socket::ATTACHED;
        let socket = &self.sockets[slot];
        socket.flags & NEEDED == NEEDED
            && (segment == 0 || socket.flags & socket::UNSEGMENTED == 0)
            && socket.head == 0
            && self.has_room()
            && !(zero_copy && self.over_limit(slot, socket.submitted, bytes))
    }

    /// Prepares the entry of a datagram that is in no queue. There is room.
    fn submit_datagram(&mut self, send: u32, slot: u32) {
        let segmented = self.sockets[slot].flags & socket::UNSEGMENTED == 0;
        let send::Send { flags, message, iovecs, segment, .. } = self.send_record(send);
        match *message {
            Msghdr { iov_len: 1, control_len: 0, name, name_len, .. } if segmented || *segment == 0 => {
                let plain = Plain { zero_copy: flags & send::ZERO_COPY != 0, bytes: iovecs[0], name, name_len };
                if *segment != 0 {
                    self.sends[send].flags |= send::AS_TRAIN;
                }
                self.submit_plain(send, slot, plain);
            }
            _ => self.submit_message(send, slot),
        }
    }

    /// The same for one that needs no message: a single datagram, or a train that the socket cuts by itself.
    #[inline(always)]
    pub(crate) fn submit_plain(&mut self, send: u32, slot: u32, plain: Plain) {
        let Plain { zero_copy, bytes: Iovec { base, len }, name, name_len } = plain;
        let entry = Entry {
            opcode: if zero_copy { opcode::SEND_ZC } else { opcode::SEND },
            op_flags: MSG_NOSIGNAL,
            addr: base,
            len: len as u32,
            off: name,
            addr_len: name_len as u16,
            ..self.described(zero_copy, || self.buffer_of(base, len))
        };
        let op = self.start(entry, slot, send, len as u32, zero_copy);
        let record = &mut self.sends[send];
        record.state = send::SUBMITTED;
        record.back = op;
    }

    /// The same for what takes a message: several leases, control messages, a train.
    #[inline(never)]
    pub(crate) fn submit_message(&mut self, send: u32, slot: u32) {
        let segmented = self.sockets[slot].flags & socket::UNSEGMENTED == 0;
        let record = self.send_record(send);
        let (zero_copy, bytes) = (record.flags & send::ZERO_COPY != 0, record.next_bytes(segmented));
        let only_a_segment = record.segment != 0 && !segmented;
        let entry = if only_a_segment { self.segment_entry(send, bytes) } else { self.whole_entry(send) };
        let op = self.start(entry, slot, send, bytes, zero_copy);
        let record = &mut self.sends[send];
        record.state = send::SUBMITTED;
        record.back = op;
        if record.segment != 0 {
            record.flags = record.flags & !send::AS_TRAIN | if segmented { send::AS_TRAIN } else { 0 };
        }
    }

    fn fill_datagrams(&mut self, slot: u32) -> (u32, Reason) {
        let mut count = 0;
        loop {
            let head = self.sockets[slot].head;
            if head == 0 {
                return (count, Reason::Empty);
            }
            let send = head - 1;
            let &send::Send { flags, left, bytes, link, .. } = self.send_record(send);
            let zero_copy = flags & send::ZERO_COPY != 0;
            // A train that has begun goes on: what it has in flight comes back only when all of it has.
            if zero_copy && left == bytes && self.over_limit(slot, self.sockets[slot].submitted, left) {
                self.sockets[slot].flags |= socket::BLOCKED;
                return (count, Reason::Limit);
            }
            if !self.has_room() || !self.can_stage_segment() {
                return (count, Reason::Full);
            }
            self.submit_datagram(send, slot);
            let socket = &mut self.sockets[slot];
            socket.head = link;
            if link == 0 {
                socket.tail = 0;
            } else {
                self.sends[link - 1].back = 0;
            }
            count += 1;
        }
    }

    /// Whether a segment of a train can be staged.
    #[inline]
    fn can_stage_segment(&self) -> bool {
        self.staged_messages < self.batch.len() && self.staged_iovecs + send::LEASES as u32 <= self.staging.len()
    }

    /// The entry of the next segment of a train, in a message of its own without the control message that has the kernel
    /// segment it.
    #[cold]
    fn segment_entry(&mut self, send: u32, bytes: u32) -> Entry {
        let first = self.staged_iovecs;
        let header = self.stage_segment(send, bytes);
        let message = self.staged_messages;
        self.batch[message] = Mmsghdr { header, ..Mmsghdr::default() };
        self.staged_messages += 1;
        let at = self.batch_at as u64 + message as u64 * size_of::<Mmsghdr>() as u64;
        // The train's own iovecs are others, and may lie in another buffer.
        let parts = self.staging.0.get(first as usize..self.staged_iovecs as usize).unwrap_or(&[]);
        self.message_entry(send, at, parts)
    }

    /// The message of the next segment of a train, whose iovecs are staged: there is room.
    pub(crate) fn stage_segment(&mut self, send: u32, bytes: u32) -> Msghdr {
        let first = self.staged_iovecs;
        let &send::Send { position, lease_count, message, socket, segment, .. } = self.send_record(send);
        let mut left = bytes as u64;
        for i in position..lease_count {
            let Some(&Iovec { base, len }) = self.sends[send].iovecs.get(i as usize) else { break };
            let part = len.min(left);
            self.staging[self.staged_iovecs] = Iovec { base, len: part };
            self.staged_iovecs += 1;
            left -= part;
            if left == 0 {
                break;
            }
        }
        let control_len = message.control_len - self.sockets[socket].segment_control_bytes(segment);
        Msghdr {
            iov: self.core_base + self.staging_at as u64 + first as u64 * size_of::<Iovec>() as u64,
            iov_len: (self.staged_iovecs - first) as u64,
            control: if control_len == 0 { 0 } else { message.control },
            control_len,
            ..message
        }
    }

    /// The entry of all that is left of a datagram.
    fn whole_entry(&self, send: u32) -> Entry {
        let record = self.send_record(send);
        let parts = record.iovecs.get(record.position as usize..record.lease_count as usize).unwrap_or(&[]);
        self.message_entry(send, self.sends_at as u64 + self.message_at(send), parts)
    }

    /// The entry of a message of a datagram, which lies `at` bytes from the start of the core's memory and has these
    /// iovecs.
    fn message_entry(&self, send: u32, at: u64, parts: &[Iovec]) -> Entry {
        let zero_copy = self.send_record(send).flags & send::ZERO_COPY != 0;
        let buffer = |part: &Iovec| self.buffer_of(part.base, part.len);
        let common = || {
            let first = parts.first().and_then(buffer).filter(|_| self.registered.gathers);
            first.filter(|_| parts.iter().all(|part| buffer(part) == first))
        };
        Entry {
            opcode: if zero_copy { opcode::SENDMSG_ZC } else { opcode::SENDMSG },
            op_flags: MSG_NOSIGNAL,
            addr: self.core_base + at,
            len: 1,
            ..self.described(zero_copy, common)
        }
    }

    /// A chain of entries for all that the queue holds, as far as there is room.
    fn fill_chain(&mut self, slot: u32) -> (u32, Reason) {
        self.accept_empty(slot);
        let mut count = 0;
        let mut lent = 0;
        let mut run: Option<Run> = None;
        let mut reason = Reason::Empty;
        let mut at = self.sockets[slot].head;
        'queue: while at != 0 {
            let send = at - 1;
            let &send::Send { flags, left, bytes, position, lease_count, link, .. } = self.send_record(send);
            let zero_copy = flags & send::ZERO_COPY != 0;
            // One that has begun goes on: what it has in flight comes back only when all of it has.
            if zero_copy && left == bytes && self.over_limit(slot, lent, left) {
                self.sockets[slot].flags |= socket::BLOCKED;
                reason = Reason::Limit;
                break;
            }
            for i in position..lease_count {
                let Some(&Iovec { mut base, mut len }) = self.sends[send].iovecs.get(i as usize) else { break };
                while len != 0 {
                    let part = len.min(LONGEST as u64);
                    let buffer = if zero_copy { self.buffer_of(base, part) } else { None };
                    let alone = buffer.is_some() && !self.registered.gathers;
                    let joins = |run: &Run| {
                        !alone
                            && (run.zero_copy, run.buffer) == (zero_copy, buffer)
                            && run.bytes as u64 + part <= TOGETHER as u64
                            && run.iovecs < TOGETHER_IOVECS
                    };
                    if !run.as_ref().is_some_and(joins) {
                        if let Some(run) = run.take() {
                            self.emit(run, slot, count);
                            count += 1;
                            if run.several || count == CHAIN {
                                break 'queue;
                            }
                        }
                        if !self.has_room() || self.staged_messages == self.batch.len() {
                            reason = Reason::Full;
                            break 'queue;
                        }
                        let first = self.staged_iovecs;
                        run = Some(Run { zero_copy, buffer, first, iovecs: 0, bytes: 0, send, several: false });
                    }
                    if self.staged_iovecs == self.staging.len() {
                        reason = Reason::Full;
                        break 'queue;
                    }
                    self.staging[self.staged_iovecs] = Iovec { base, len: part };
                    self.staged_iovecs += 1;
                    if let Some(run) = &mut run {
                        run.iovecs += 1;
                        run.bytes += part as u32;
                        run.several |= run.send != send;
                    }
                    self.sends[send].state = send::SUBMITTED;
                    base += part;
                    len -= part;
                }
            }
            if left == 0 {
                break; // an empty send is accepted when it is at the head
            }
            lent += if zero_copy { left as u64 } else { 0 };
            at = link;
        }
        if let Some(run) = run.filter(|run| run.iovecs != 0) {
            self.emit(run, slot, count);
            count += 1;
        }
        (count, reason)
    }

    /// Puts an entry for a run into the ring; entries of a chain after the first wait for the one before.
    fn emit(&mut self, run: Run, slot: u32, before: u32) {
        let described = Entry { op_flags: MSG_NOSIGNAL, ..self.described(run.zero_copy, || run.buffer) };
        let entry = if run.iovecs == 1 {
            self.staged_iovecs = run.first;
            let Iovec { base, len } = self.staging[run.first];
            let opcode = if run.zero_copy { opcode::SEND_ZC } else { opcode::SEND };
            Entry { opcode, addr: base, len: len as u32, ..described }
        } else {
            let iov = self.core_base + self.staging_at as u64 + run.first as u64 * size_of::<Iovec>() as u64;
            let header = Msghdr { iov, iov_len: run.iovecs as u64, ..Msghdr::default() };
            let message = self.staged_messages;
            self.batch[message] = Mmsghdr { header, ..Mmsghdr::default() };
            self.staged_messages += 1;
            let opcode = if run.zero_copy { opcode::SENDMSG_ZC } else { opcode::SENDMSG };
            let addr = self.core_base + self.batch_at as u64 + message as u64 * size_of::<Mmsghdr>() as u64;
            Entry { opcode, addr, len: 1, ..described }
        };
        if before != 0 {
            if let Some(last) = self.ring.as_mut().and_then(|ring| ring.last()) {
                last.flags |= ring::IO_LINK;
                last.op_flags |= MSG_WAITALL;
            }
        }
        let op = self.start(entry, slot, run.send, run.bytes, run.zero_copy);
        let socket = &mut self.sockets[slot];
        let last = socket.last_op;
        socket.last_op = op + 1;
        if before == 0 {
            socket.first_op = op + 1;
        } else {
            self.operations[last - 1].link = op + 1;
        }
    }

    /// An entry that says where the bytes are, if it is a zero-copy one.
    #[inline]
    fn described(&self, zero_copy: bool, buffer: impl FnOnce() -> Option<u16>) -> Entry {
        if !zero_copy {
            return Entry::default();
        }
        match buffer() {
            None => Entry { ioprio: ring::REPORT_USAGE, ..Entry::default() },
            Some(buf_index) => Entry { ioprio: ring::REPORT_USAGE | ring::FIXED_BUF, buf_index, ..Entry::default() },
        }
    }

    #[inline]
    fn buffer_of(&self, base: u64, bytes: u64) -> Option<u16> {
        self.registered.buffer(base - self.arena_base, bytes)
    }

    /// Whether zero-copy sends of a socket would have too much in flight, what was submitted included. With nothing in
    /// flight a send larger than the limit still goes, or it never would.
    #[inline]
    fn over_limit(&self, slot: u32, submitted: u64, bytes: u32) -> bool {
        let socket = &self.sockets[slot];
        let busy = socket.in_flight() + submitted;
        busy != 0 && socket.limit != u32::MAX && busy + bytes as u64 > socket.limit as u64
    }

    /// Whether one more entry can be prepared.
    #[inline]
    fn has_room(&self) -> bool {
        self.operation_pool.has_room(&self.operations) && self.ring.as_ref().is_some_and(|ring| ring.room() != 0)
    }

    /// Gives an entry of a socket its operation and puts it into the ring, which has room.
    #[inline(always)]
    fn start(&mut self, entry: Entry, slot: u32, send: u32, bytes: u32, zero_copy: bool) -> u32 {
        let kind = if zero_copy { operation::SEND_ZC } else { operation::SEND };
        let socket = &mut self.sockets[slot];
        socket.chain += 1;
        if zero_copy {
            socket.submitted += bytes as u64;
        }
        let entry = Entry { fd: socket.fd, flags: socket.entry_flags as u8, ..entry };
        let operation = Operation { kind, socket: slot, send, count: 1, bytes, ..Operation::default() };
        self.operation(operation, entry)
    }

    /// A record for an operation, whose entry goes into the ring. There is room.
    #[inline(always)]
    fn operation(&mut self, operation: Operation, entry: Entry) -> u32 {
        let (Some(op), Some(ring)) = (self.operation_pool.take(&mut self.operations), &mut self.ring) else {
            crate::table::trap()
        };
        let record = &mut self.operations[op];
        let generation = if record.generation == 0 { 1 } else { record.generation };
        *record = Operation { generation, ..operation };
        self.operations_out += 1;
        ring.push(Entry { user_data: Operation::user_data(op, generation), ..entry });
        op
    }

    /// Operations that the kernel is not done with.
    pub fn operations_out(&self) -> u32 {
        self.operations_out
    }

    /// Frees an operation: what still comes of it is late.
    #[inline]
    pub(crate) fn operation_free(&mut self, op: u32) {
        let record = &mut self.operations[op];
        self.operations_out -= (record.kind != operation::DONE) as u32;
        record.kind = operation::FREE;
        record.generation = next_generation(record.generation);
        self.operation_pool.give(&mut self.operations, op);
    }

    /// Prepares an operation of JavaScript's. Returns its slot and generation.
    pub fn ring_call(&mut self, entry: Entry) -> Result<(u32, u32), Fault> {
        if !self.has_room() {
            return Err(Fault::NoRoom);
        }
        let op = self.operation(Operation { kind: operation::CALL, ..Operation::default() }, entry);
        Ok((op, self.operations[op].generation))
    }

    /// The kernel had no memory for all that was published. Of a chain that it took only in part the rest is as good as
    /// cancelled, as it is when a link fails.
    pub fn ring_cut(&mut self) {
        let Some(ring) = &mut self.ring else { return };
        let operations = &mut self.operations;
        let mut cut = false;
        let last = ring.cut_chain(|user_data| {
            operations[user_data as u32].result = -ECANCELED;
            cut = true;
        });
        // What was cut is over before what goes on: the end of the chain must not be looked for in a slot of somebody else's.
        match operations.find(last as u32) {
            Some(record) if cut && record.generation == (last >> 32) as u32 => record.link = 0,
            _ => {}
        }
    }

    /// Prepares the doorbell: when the ring `ring_fd` has a completion, a byte is written to `pipe_fd`. Neither step
    /// posts a completion of its own.
    pub fn ring_bell(&mut self, ring_fd: i32, pipe_fd: i32) -> Result<(), Fault> {
        const POLLIN: u32 = 1;
        let Some(ring) = &mut self.ring else { return Err(Fault::Busy) };
        if ring.room() < 2 {
            return Err(Fault::NoRoom);
        }
        ring.push(Entry {
            opcode: opcode::POLL_ADD,
            flags: ring::IO_HARDLINK | ring::CQE_SKIP_SUCCESS,
            fd: ring_fd,
            op_flags: POLLIN,
            user_data: Operation::user_data(operation::NOBODY, 0),
            ..Entry::default()
        });
        ring.push(Entry {
            opcode: opcode::WRITE,
            flags: ring::CQE_SKIP_SUCCESS,
            fd: pipe_fd,
            // Any byte will do, as long as it stays where it is.
            addr: self.core_base + self.staging_at as u64,
            len: 1,
            off: u64::MAX,
            user_data: Operation::user_data(operation::NOBODY, 0),
            ..Entry::default()
        });
        Ok(())
    }

    /// Prepares the cancelling of an operation; what comes of it is what comes of the operation. Of the bells, which are
    /// nobody's, all are cancelled: one that the kernel took in part has rung and may leave another behind.
    pub fn ring_cancel(&mut self, op: u32, generation: u32) -> Result<(), Fault> {
        let Some(ring) = &mut self.ring else { return Err(Fault::Busy) };
        if ring.room() == 0 {
            return Err(Fault::NoRoom);
        }
        ring.push(Entry {
            opcode: opcode::ASYNC_CANCEL,
            flags: ring::CQE_SKIP_SUCCESS,
            fd: -1,
            addr: Operation::user_data(op, generation),
            op_flags: if op == operation::NOBODY { ASYNC_CANCEL_ALL } else { 0 },
            user_data: Operation::user_data(operation::NOBODY, 0),
            ..Entry::default()
        });
        Ok(())
    }

    /// Asks the kernel to stop working on a send that it has. A failure says later that it did; or the send succeeds.
    pub fn ring_abandon(&mut self, slot: u32, generation: u32) -> Result<(), Fault> {
        let &mut send::Send { state, socket, back, .. } = self.send(slot, generation)?;
        if state != send::SUBMITTED {
            return Err(Fault::Busy);
        }
        let socket::Socket { flags, first_op, .. } = self.sockets[socket];
        let op = if flags & socket::DATAGRAM != 0 { back + 1 } else { first_op };
        if op != 0 {
            let generation = self.operations[op - 1].generation;
            self.ring_cancel(op - 1, generation)?;
        }
        self.sends[slot].flags |= send::GIVEN_UP;
        self.sockets[socket].flags |= socket::ABANDONED;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_buffer_that_holds_all_of_it() {
        const PIECE: u64 = 1 << 30;
        let pieces = Registered { bytes: 5 << 29, piece: 1 << 30, gathers: true };
        for (offset, bytes, buffer) in [
            (0, 1, Some(0)),
            (0, PIECE, Some(0)),
            (PIECE - 1, 1, Some(0)),
            (PIECE - 1, 2, None),
            (PIECE, 1, Some(1)),
            (0, PIECE + 1, None),
            (2 * PIECE - 64, 64, Some(1)),
            (2 * PIECE, PIECE / 2, Some(2)),
            (2 * PIECE, PIECE / 2 + 1, None),
            (5 * PIECE / 2, 1, None),
            (u32::MAX as u64, 1, None),
        ] {
            assert_eq!(pieces.buffer(offset, bytes), buffer, "{bytes} bytes from {offset} on");
        }
    }

    #[test]
    fn one_buffer_or_none() {
        let one = Registered { bytes: 3 << 30, piece: 0, gathers: false };
        assert_eq!(one.buffer((1 << 30) - 1, 2), Some(0));
        assert_eq!(one.buffer(3 << 30, 1), None);
        assert_eq!(Registered::default().buffer(0, 1), None);
    }
}
