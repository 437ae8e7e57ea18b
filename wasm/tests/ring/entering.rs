//! The model of submission: what the entries must say that the kernel takes.

use super::model::{Entered, Model};
use super::records::{Extra, Place};
use super::request::Request;
use super::view::{MSG_NOSIGNAL, MSG_WAITALL};
use ringlet_core::ring::{self, opcode};
use ringlet_core::send::{Iovec, Msghdr};

/// Ranges that go on where another ends become one.
fn merge(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (base, len) in ranges {
        match merged.last_mut() {
            Some(last) if last.0 + last.1 == base => last.1 += len,
            _ => merged.push((base, len)),
        }
    }
    merged
}

/// The first `bytes` of some ranges, after `skip`.
pub(super) fn cut(ranges: impl Iterator<Item = (u64, u64)>, mut skip: u64, mut bytes: u64) -> Vec<(u64, u64)> {
    let parts = ranges.filter_map(|(base, len)| {
        let from = skip.min(len);
        skip -= from;
        let part = bytes.min(len - from);
        bytes -= part;
        (part != 0).then_some((base + from, part))
    });
    merge(parts)
}

pub(super) fn iovecs(parts: &[Iovec]) -> impl Iterator<Item = (u64, u64)> + '_ {
    parts.iter().map(|part| (part.base, part.len))
}

impl Model {
    /// The kernel has taken a chain of entries of sends, or its beginning: of the rest it says later that it was cancelled.
    pub fn entered(&mut self, chain: &[Request]) {
        for (i, request) in chain.iter().enumerate() {
            let fd = request.entry.fd;
            let found = self.sockets.iter().position(|socket| socket.as_ref().is_some_and(|socket| socket.fd == fd));
            let slot = found.expect("a descriptor of a socket") as u32;
            let (datagram, entry) = (self.socket(slot).datagram, &request.entry);
            let linked = i + 1 != chain.len();
            let flags = MSG_NOSIGNAL | if linked { MSG_WAITALL } else { 0 };
            assert_eq!(entry.op_flags, flags, "a short send must fail its link");
            assert_eq!(entry.flags, if linked { ring::IO_LINK } else { 0 });
            let message = matches!(entry.opcode, opcode::SENDMSG | opcode::SENDMSG_ZC);
            let zero_copy = request.zero_copy();
            let send = if datagram {
                assert_eq!(chain.len(), 1, "datagrams are not linked");
                Some(self.datagram_entered(slot, request, message))
            } else {
                assert_eq!(message, request.parts.len() > 1);
                assert_eq!((entry.off, entry.addr_len), (0, 0), "a stream has no destination");
                self.chain_entered(slot, request, i == 0);
                None
            };
            let (parts, bytes) = (request.parts.clone(), request.bytes());
            if zero_copy {
                self.socket(slot).submitted += bytes;
            }
            self.entered.insert(request.serial, Entered { socket: slot, send, zero_copy, parts, bytes });
        }
    }

    fn datagram_entered(&mut self, socket: u32, request: &Request, message: bool) -> u32 {
        let slot = self.socket(socket).prepared.pop_front().expect("a datagram that was prepared");
        let send = self.of(slot);
        let Extra { name, segment, .. } = send.extra;
        let expected = self.next_of(slot, send.next(!send.as_train));
        assert_eq!(merge(iovecs(&request.parts)), expected, "a datagram goes whole, and a train or its next segment");
        let longer = |segment: u32| if request.bytes() > segment as u64 { segment } else { 0 };
        assert_eq!(longer(request.segment), if send.as_train { longer(segment) } else { 0 }, "who segments a train");
        assert_eq!(request.zero_copy(), send.zero_copy);
        let control = send.extra.control_bytes(send.as_train);
        assert_eq!(message, send.parts.len() != 1 || control != 0 || (segment != 0 && !send.as_train));
        let entry = &request.entry;
        let message =
            request.message.unwrap_or(Msghdr { name: entry.off, name_len: entry.addr_len as u32, ..Msghdr::default() });
        let given = |at: u64, bytes: u32| (if bytes == 0 { 0 } else { at }, bytes as u64);
        assert_eq!((message.name, message.name_len as u64), given(send.name_at, name), "where it goes");
        assert_eq!((message.control, message.control_len), given(send.control_at, control), "what goes with it");
        slot
    }

    /// Bytes of a datagram that come next.
    pub(super) fn next_of(&self, slot: u32, bytes: u32) -> Vec<(u64, u64)> {
        let send = self.of(slot);
        let parts = send.parts.iter().map(|part| (self.arena_base + part.at as u64, part.bytes as u64));
        cut(parts, send.taken as u64, bytes as u64)
    }

    /// A stream has one chain at a time, whose entries are the bytes of the queue, in order and without a hole.
    fn chain_entered(&mut self, socket: u32, request: &Request, first: bool) {
        if first {
            let busy = self.entered.values().any(|entered| entered.socket == socket);
            assert!(!busy, "two chains of one stream");
            self.socket(socket).seen = 0;
        }
        let seen = self.socket(socket).seen;
        let expected = self.head_of(socket, seen, request.bytes());
        assert_eq!(merge(iovecs(&request.parts)), expected, "the bytes that come next");
        let zero_copy = request.zero_copy();
        let (mut at, mut sends) = (0, 0);
        for &slot in &self.sockets[socket as usize].as_ref().expect("a socket").queue {
            let send = self.of(slot);
            let end = at + (send.bytes - send.taken) as u64;
            if at < seen + request.bytes() && end > seen {
                assert_eq!(zero_copy, send.zero_copy, "as the send asks");
                assert_eq!(send.place, Place::Submitted);
                sends += 1;
            }
            at = end;
        }
        let linked = request.entry.flags & ring::IO_LINK != 0;
        assert!(sends == 1 || !linked, "a send would wait for the bytes of another");
        self.socket(socket).seen += request.bytes();
    }

    /// Bytes of a stream's queue that are not taken: `bytes` of them from `skip` on.
    pub(super) fn head_of(&self, socket: u32, skip: u64, bytes: u64) -> Vec<(u64, u64)> {
        let queue = &self.sockets[socket as usize].as_ref().expect("a socket").queue;
        let all = queue.iter().flat_map(|&slot| &self.of(slot).parts);
        let taken = queue.front().map_or(0, |&slot| self.of(slot).taken as u64);
        cut(all.map(|part| (self.arena_base + part.at as u64, part.bytes as u64)), taken + skip, bytes)
    }
}
