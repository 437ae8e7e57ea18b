//! Entries as the kernel works on them, and what may become of them.

use super::dice::Dice;
use ringlet_core::ring::{opcode, Entry};
use ringlet_core::send::{Iovec, Msghdr};
use std::collections::VecDeque;

pub const ENOENT: i32 = 2;
pub const EINTR: i32 = 4;
pub const EIO: i32 = 5;
pub const EAGAIN: i32 = 11;
pub const ENOMEM: i32 = 12;
pub const EINVAL: i32 = 22;
pub const EPIPE: i32 = 32;
pub const EMSGSIZE: i32 = 90;
pub const EOPNOTSUPP: i32 = 95;
pub const ENOBUFS: i32 = 105;
pub const ECANCELED: i32 = 125;

/// An operation that only JavaScript asks for.
pub const ACCEPT: u8 = 13;
/// `ioprio` of an accept: goes on after the first connection.
pub const MULTISHOT: u16 = 1;
/// `op_flags` of a cancel: everything of a descriptor.
pub const CANCEL_ALL_FD: u32 = 3;

/// One entry that the kernel works on.
#[derive(Clone, Debug)]
pub struct Request {
    pub serial: u64,
    pub entry: Entry,
    /// What it sends: copied when the entry was taken.
    pub parts: Vec<Iovec>,
    pub message: Option<Msghdr>,
    /// A train: bytes of its segments. Otherwise 0.
    pub segment: u32,
    pub cancelled: bool,
}

impl Request {
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.len).sum()
    }

    pub fn zero_copy(&self) -> bool {
        matches!(self.entry.opcode, opcode::SEND_ZC | opcode::SENDMSG_ZC)
    }

    pub fn sends(&self) -> bool {
        self.zero_copy() || matches!(self.entry.opcode, opcode::SEND | opcode::SENDMSG)
    }

    /// Nothing is held of what was not taken.
    pub fn keep(&mut self, mut bytes: u64) {
        for part in &mut self.parts {
            part.len = part.len.min(bytes);
            bytes -= part.len;
        }
        self.parts.retain(|part| part.len != 0);
    }

    pub fn overlaps(&self, start: u64, end: u64) -> bool {
        self.parts.iter().any(|part| part.base < end && part.base + part.len > start)
    }
}

/// Entries linked with one another: one at a time is worked on.
pub struct Chain {
    pub requests: VecDeque<Request>,
    /// A link failed or was short: the rest is cancelled.
    pub broken: bool,
}

/// What a notification says that is still to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    /// Of what was sent.
    Released,
    /// Of a send that had failed.
    Failed(i32),
    /// Of a send that a failed link had cancelled: nobody waits for it.
    Late,
}

pub struct Notice {
    pub request: Request,
    pub then: Then,
}

/// What a completion tells whoever understands it.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// So many bytes were taken; a notification follows if they are held.
    Took { serial: u64, bytes: u64, holds: bool },
    /// Nothing was taken, and that is final.
    Failed { serial: u64, errno: i32 },
    /// Nothing was taken; the notification makes that final.
    Failing,
    /// The kernel holds nothing of it any more.
    Notified { serial: u64, copied: bool },
    /// The result of a call.
    Called { user_data: u64, result: i32, more: bool },
    /// It comes too late, or again.
    Late,
    /// Nobody asked.
    Nobody,
}

/// How often things go wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    Kind,
    Mixed,
    Hostile,
}

/// Mistakes of other programs, made here with the completions on their way to the core, or with what is not taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mistake {
    None,
    /// A completion is taken for one of whoever has the slot now.
    IgnoresGenerations,
    /// What failed is over with its result: no notification is awaited.
    DecidesByResult,
    /// What was sent is over with its result.
    ReleasesWithTheResult,
    /// With a segment of a train all of it counts as sent.
    AdvancesByTrains,
    /// The rest of a chain that was taken in part stays as it is, and runs beside the beginning.
    NeverCuts,
}

/// What becomes of a send that the kernel works on.
pub fn outcome(request: &Request, stream: bool, dice: &mut Dice, mood: Mood) -> (i32, bool) {
    let bytes = request.bytes();
    let zero_copy = request.zero_copy();
    let whole = (bytes as i32, zero_copy);
    let short = |dice: &mut Dice| match stream && bytes > 1 {
        true => (1 + dice.below(bytes as usize - 1) as i32, zero_copy),
        false => whole,
    };
    if request.cancelled {
        return match dice.below(4) {
            0 => whole,
            1 => short(dice),
            _ => (-ECANCELED, zero_copy && dice.one_in(2)),
        };
    }
    let trouble = match mood {
        Mood::Kind => 0,
        Mood::Mixed => 25,
        Mood::Hostile => 70,
    };
    if dice.below(100) >= trouble {
        // A real one always notifies of what it has taken; only what it says counts.
        return (whole.0, zero_copy && !(mood != Mood::Kind && dice.one_in(64)));
    }
    match dice.below(16) {
        0..=6 => short(dice),
        7 if stream => (0, zero_copy && dice.one_in(2)),
        _ => {
            let errno = dice
                .of(&[ENOBUFS, ENOBUFS, ENOMEM, ENOMEM, EAGAIN, EINTR, EPIPE, EMSGSIZE, EOPNOTSUPP, ECANCELED, EIO]);
            (-errno, zero_copy && dice.one_in(2))
        }
    }
}
