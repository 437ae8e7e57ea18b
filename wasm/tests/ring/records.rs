//! What the model remembers of a lease, a send and a socket.

use ringlet_core::counters::SocketCounters;
use ringlet_core::send::SEGMENT_CONTROL_BYTES;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub struct Lease {
    pub generation: u32,
    pub offset: u32,
    pub bytes: u32,
    pub implicit: bool,
    pub holds: u32,
    /// Sends that have not released it, as often as they name it.
    pub sends: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub lease: u32,
    pub consumed: bool,
    /// Where in the arena.
    pub at: u32,
    pub bytes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    Queued,
    /// The ring has it.
    Submitted,
    /// Accepted, or withdrawn after a part was.
    Over,
    /// The kernel holds nothing of it any more; the event was not looked at.
    Released,
}

/// What a send has besides bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra {
    /// Bytes of the destination.
    pub name: u32,
    /// Control messages, without the one that has a train segmented.
    pub control: u32,
    /// A train: bytes of each datagram but the last.
    pub segment: u32,
    /// A control message says so, or that it is none. Otherwise the socket does by itself what is wanted.
    pub said: bool,
}

impl Extra {
    /// A train of segments so long, which a control message asks for.
    pub fn train(segment: u32) -> Self {
        Extra { segment, said: true, ..Extra::default() }
    }

    /// Bytes of the control messages, of a train (`segmented`) or of anything else.
    pub fn control_bytes(&self, segmented: bool) -> u32 {
        let said = self.said && (segmented || self.segment == 0);
        SEGMENT_CONTROL_BYTES as u32 * (self.control + said as u32)
    }

    /// As the core wants it.
    pub fn word(&self) -> u32 {
        self.name | self.control_bytes(true) << 8 | self.segment << 16
    }
}

#[derive(Clone, Debug)]
pub struct Send {
    pub generation: u32,
    pub socket: u32,
    pub socket_generation: u32,
    pub zero_copy: bool,
    /// Its events wait apart, and its record is free with its release.
    pub reaped: bool,
    pub parts: Vec<Part>,
    pub bytes: u32,
    pub taken: u32,
    pub lent: u32,
    pub copied: bool,
    pub place: Place,
    pub given_up: bool,
    pub extra: Extra,
    /// A train: it goes, or went last, as one, not segment by segment.
    pub as_train: bool,
    /// Machine addresses of its destination and its control messages.
    pub name_at: u64,
    pub control_at: u64,
    /// Requests that hold bytes of it and have not notified; and all that ever did.
    pub holders: Vec<u64>,
    pub ever: Vec<u64>,
}

#[derive(Clone, Debug)]
pub struct Socket {
    pub generation: u32,
    pub fd: i32,
    pub datagram: bool,
    /// The program has said that the kernel takes no trains of it.
    pub unsegmented: bool,
    /// Bytes of the segments that the kernel cuts by itself; 0 if it does not.
    pub segment: u32,
    pub limit: u32,
    pub queue: VecDeque<u32>,
    /// Datagrams that the ring has and the kernel has not seen.
    pub prepared: VecDeque<u32>,
    /// Operations without a final result.
    pub chain: u32,
    /// Bytes of those among them that are zero-copy and that the kernel has seen.
    pub submitted: u64,
    pub error: i32,
    /// Bytes of the chain that the kernel has seen.
    pub seen: u64,
    pub outstanding: u32,
    pub in_flight: u64,
    pub counters: SocketCounters,
}

impl Send {
    /// Bytes of what goes next: all that is left, or a segment.
    pub fn next(&self, unsegmented: bool) -> u32 {
        let left = self.bytes - self.taken;
        let segment = if unsegmented && self.extra.segment != 0 { self.extra.segment } else { left };
        left.min(segment)
    }

    /// A train of which some segments went, and others have to.
    pub fn begun(&self) -> bool {
        self.extra.segment != 0 && self.taken != 0 && self.taken != self.bytes
    }
}

impl Socket {
    pub fn new(generation: u32, fd: i32, datagram: bool, limit: u32, segment: u32) -> Self {
        Socket {
            generation,
            fd,
            datagram,
            unsegmented: false,
            segment,
            limit,
            queue: VecDeque::new(),
            prepared: VecDeque::new(),
            chain: 0,
            submitted: 0,
            error: 0,
            seen: 0,
            outstanding: 0,
            in_flight: 0,
            counters: SocketCounters::default(),
        }
    }
}
