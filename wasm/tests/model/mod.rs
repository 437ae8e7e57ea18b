//! A simple model of leases and ledger beside the real ones: every operation is done to both, and they must agree on
//! every answer. Used by the property tests and by the soak.
#![allow(dead_code)] // Each program that includes this uses a part of it.

mod arena;
mod kernel;
mod leases;
mod sends;

use arena::Arena;
use ringlet_core::counters::Counters;
use ringlet_core::events::Event;
use ringlet_core::layout::Sizes;
use ringlet_core::ledger::Ledger;
use ringlet_core::send::Iovec;
use ringlet_core::seq::Kernel;
use ringlet_core::Fault;
use std::collections::VecDeque;

/// Where the memories are said to be.
pub const CORE_BASE: u64 = 0x7f00_0000_0000;
pub const ARENA_BASE: u64 = 0x7e12_0000_0000;

/// One operation: what to do, and three numbers to choose with.
pub type Op = (u8, u32, u32, u32);

/// A lease as the model sees it.
#[derive(Clone, Debug)]
pub struct Lease {
    pub generation: u32,
    pub offset: u32,
    pub bytes: u32,
    pub holds: u32,
    pub implicit: bool,
    pub sends: u32,
    pub receiving: bool,
    pub block: u32,
}

impl Lease {
    fn held(&self) -> bool {
        self.implicit || self.holds > 0
    }

    fn consume(&mut self) -> Result<(), Fault> {
        if !self.implicit {
            return Err(Fault::NotHeld);
        }
        self.implicit = false;
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Open,
    Queued,
    Accepted,
    Released,
}

#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub lease: u32,
    pub consumed: bool,
    pub at: u32,
    pub bytes: u32,
}

/// A send as the model sees it.
#[derive(Clone, Debug)]
pub struct Send {
    pub generation: u32,
    pub state: State,
    pub socket: u32,
    pub socket_generation: u32,
    pub zero_copy: bool,
    pub reaped: bool,
    pub copied: bool,
    pub refs: u32,
    pub bytes: u32,
    pub accepted: u32,
    pub lent: u32,
    pub extra: Extra,
    pub parts: Vec<Part>,
}

impl Send {
    fn left(&self) -> u32 {
        self.bytes - self.accepted
    }

    /// Whether only a segment of it goes next.
    fn by_segment(&self, socket: &Socket) -> bool {
        socket.unsegmented && self.extra.segment != 0
    }

    /// Bytes of the message that goes next.
    fn next(&self, socket: &Socket) -> u32 {
        self.left().min(if self.by_segment(socket) { self.extra.segment } else { u32::MAX })
    }

    /// Where the next `bytes` of it are.
    fn ranges(&self, bytes: u32) -> Vec<Iovec> {
        let (mut skip, mut left) = (self.accepted, bytes);
        let ranges = self.parts.iter().filter_map(|part| {
            let from = skip.min(part.bytes);
            skip -= from;
            let len = left.min(part.bytes - from);
            left -= len;
            (len != 0).then_some(Iovec { base: ARENA_BASE + (part.at + from) as u64, len: len as u64 })
        });
        ranges.collect()
    }

    /// A train of which a part went.
    fn begun(&self) -> bool {
        self.extra.segment != 0 && self.accepted != 0 && self.accepted != self.bytes
    }
}

/// What a send has besides bytes, as far as the core looks at it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra {
    pub name: u32,
    pub control: u32,
    /// A train: bytes of each datagram but the last.
    pub segment: u32,
}

impl Extra {
    pub fn word(&self) -> u32 {
        self.name | self.control << 8 | self.segment << 16
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Owner {
    Resolved,
    Nobody,
    Send(u32),
}

/// A socket as the model sees it.
#[derive(Clone, Debug)]
pub struct Socket {
    pub generation: u32,
    pub datagram: bool,
    /// The kernel takes no trains of it.
    pub unsegmented: bool,
    /// Trains of such segments need no control message.
    pub segment: u32,
    pub limit: u32,
    pub next: u32,
    /// From the oldest outstanding id to the one before `next`.
    pub ids: VecDeque<(u32, Owner)>,
    pub queue: VecDeque<u32>,
    pub suspect: bool,
    pub in_flight: u64,
    pub counters: ringlet_core::counters::SocketCounters,
}

/// A slot of a table: who lives there, and the generation seen last.
#[derive(Clone, Debug)]
pub struct Slot<T> {
    pub last: u32,
    pub live: Option<T>,
}

/// The real thing and the model.
pub struct World<'a> {
    pub real: Ledger<'a, Kernel>,
    pub sizes: Sizes,
    pub piece: u32,
    pub arena: Arena,
    pub leases: Vec<Slot<Lease>>,
    pub sends: Vec<Slot<Send>>,
    pub sockets: Vec<Slot<Socket>>,
    pub events: VecDeque<Event>,
    /// Events of reaped sends.
    pub reaped: VecDeque<Event>,
    pub counters: Counters,
    pub first_id: u32,
    loans: u64,
    loan_bytes: u64,
    hits: Vec<(u32, u32)>,
    /// A mistake, made for the core: with a segment of a train all of it counts as taken.
    pub advances_by_trains: bool,
    /// What happened at all, for whoever wants to know that the test tests something.
    pub seen: Seen,
}

/// Times that something rare happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Trains that the kernel took as one, and segments of others.
    pub trains: u64,
    pub segments: u64,
    /// Segments that lie in several leases.
    pub crossing: u64,
    /// Trains that the kernel refused, and how often others of the socket were on their way.
    pub refused: u64,
    pub refused_later: u64,
    /// Trains taken out of the queue when a part was out.
    pub cut: u64,
}

fn slots<T: Clone>(n: u32) -> Vec<Slot<T>> {
    vec![Slot { last: 0, live: None }; n as usize]
}

impl<'a> World<'a> {
    pub fn new(mut real: Ledger<'a, Kernel>, sizes: Sizes, piece: u32, first_id: u32) -> Self {
        real.set_bases(CORE_BASE, ARENA_BASE);
        let piece = if piece == 0 { sizes.arena } else { piece.min(sizes.arena) };
        World {
            real,
            sizes,
            piece,
            arena: Arena::new(sizes.arena, piece),
            leases: slots(sizes.leases),
            sends: slots(sizes.sends),
            sockets: slots(sizes.sockets),
            events: VecDeque::new(),
            reaped: VecDeque::new(),
            counters: Counters::default(),
            first_id,
            loans: 0,
            loan_bytes: 0,
            hits: Vec::new(),
            advances_by_trains: false,
            seen: Seen::default(),
        }
    }

    /// Does one operation to both and compares the answers.
    pub fn step(&mut self, (kind, a, b, c): Op) {
        match kind % 40 {
            0..=3 => self.take(a, b, c),
            4..=6 => self.release(a, b),
            7 => self.consume(a, b),
            8 => self.retain(a, b),
            9 => self.cut(a, b, c),
            10 => self.lend(a, b),
            11 | 12 => self.unlend(a, b),
            13 => self.socket_new(a, b, c),
            14 => self.socket_change(a, b, c),
            15 => self.send_new(a, b, c),
            16..=18 => self.send_lease(a, b, c),
            19 | 20 => self.send_queue_or_drop(a, b),
            21..=25 => self.send_one(a, b, c),
            26 => self.send_cancel(a, b),
            27 | 28 => self.accept(a, b, c),
            29 | 30 => self.batch(a, b, c),
            31 => self.batch_head(a, b),
            32 => self.take_id(a, b),
            33..=36 => self.complete(a, b, c),
            37 => self.suspect(a, b, c),
            38 => self.take_events(a),
            _ => self.take_reaped(a),
        }
    }

    /// Everything that can be counted: cheap enough for after every step of a short run.
    pub fn check(&self) {
        let (loans, bytes) = self.real.leases.in_flight();
        let counters = self.real.counters();
        assert_eq!(counters, self.counters, "totals");
        assert_eq!(counters.lent, counters.released + loans as u64, "lent == released + in flight");
        assert_eq!((loans as u64, bytes), (self.loans, self.loan_bytes), "loans");
        let live = self.leases.iter().filter(|slot| slot.live.is_some()).count() as u32;
        assert_eq!(self.real.leases.out(), live, "leases out");
        let carve = &self.real.leases.carve;
        assert_eq!(carve.free_bytes(), self.arena.free_bytes(), "free bytes");
        assert_eq!(carve.used_blocks(), self.arena.blocks(), "blocks");
        assert_eq!(carve.largest_free(), self.arena.largest_gap(), "neighbours are merged");
        assert_eq!(self.real.events.count() as usize, self.events.len(), "events waiting");
        assert_eq!(self.real.reaped.count() as usize, self.reaped.len(), "events of reaped sends waiting");
        assert!((self.reaped.len() as u64) < self.sizes.reaped(), "events of reaped sends were overwritten");
        let begun = |send: &&Send| send.state != State::Open;
        let out = self.sends.iter().filter_map(|slot| slot.live.as_ref()).filter(begun).count();
        assert_eq!(self.real.sends_out as usize, out, "sends that are not over");
        let queued: u64 =
            self.sockets.iter().filter_map(|slot| slot.live.as_ref()).map(|socket| socket.queue.len() as u64).sum();
        assert_eq!(counters.sends, counters.accepted + counters.failed + queued, "sends");
    }

    /// The records behind every live handle.
    pub fn check_records(&mut self) {
        for slot in 0..self.sizes.leases {
            let Some(model) = self.leases[slot as usize].live.clone() else { continue };
            let real = *self.real.leases.get(slot, model.generation).expect("a live lease");
            assert_eq!(
                (real.offset, real.bytes, real.holds, real.sends, real.implicit == 1, real.link == 1),
                (model.offset, model.bytes, model.holds, model.sends, model.implicit, model.receiving),
                "lease {slot}"
            );
        }
        for slot in 0..self.sizes.sockets {
            let Some(model) = self.sockets[slot as usize].live.clone() else { continue };
            let real = *self.real.socket(slot, model.generation).expect("a live socket");
            let outstanding = model.ids.iter().filter(|(_, owner)| *owner != Owner::Resolved).count();
            assert_eq!(real.outstanding() as usize, outstanding, "ids outstanding");
            assert_eq!(real.next, model.next, "next id");
            assert_eq!(real.oldest, model.ids.front().map_or(model.next, |entry| entry.0), "oldest id");
            assert_eq!(real.queued() as usize, model.queue.len(), "queue");
            assert_eq!(real.in_flight(), model.in_flight, "bytes in flight");
            assert_eq!(real.tally.counters(), model.counters, "totals of a socket");
            let whose = |send: &&Send| {
                (send.socket, send.socket_generation) == (slot, model.generation) && send.state != State::Open
            };
            let sends = self.sends.iter().filter_map(|slot| slot.live.as_ref()).filter(whose).count();
            assert_eq!(real.sends as usize, sends, "sends of a socket that are not over");
        }
    }

    /// Ends everything that is out, then looks for anything that is left.
    pub fn finish(&mut self) {
        for slot in 0..self.sizes.sends {
            let Some(send) = self.sends[slot as usize].live.clone() else { continue };
            match send.state {
                State::Open => self.drop_send(slot, send.generation),
                State::Queued => self.cancel_send(slot, send.generation),
                _ => {}
            }
        }
        for slot in 0..self.sizes.sockets {
            let Some(socket) = self.sockets[slot as usize].live.clone() else { continue };
            if let (Some(&(lo, _)), Some(&(hi, _))) = (socket.ids.front(), socket.ids.back()) {
                self.complete_range(slot, socket.generation, lo, hi, false);
            }
            self.free_socket(slot, socket.generation);
        }
        let waiting = self.events.len() as u32;
        self.take_n(waiting);
        while !self.reaped.is_empty() {
            self.take_reaped(0);
        }
        for slot in 0..self.sizes.leases {
            while let Some(lease) = self.leases[slot as usize].live.clone() {
                if lease.receiving {
                    self.unlend_one(slot, lease.generation);
                } else {
                    self.release_one(slot, lease.generation);
                }
            }
        }
        self.check();
        assert_eq!(self.real.leases.in_flight(), (0, 0), "something is still lent");
        assert_eq!(self.real.leases.out(), 0, "leases are lost");
        assert_eq!(self.arena.free_bytes(), self.sizes.arena, "memory is lost");
        assert!(self.sends.iter().all(|slot| slot.live.is_none()), "send records are lost");
    }

    // Choosing

    /// A live slot near `a` that is of use, or else any, or now and then a handle that is stale or never was one.
    fn pick<T>(
        table: &[Slot<T>],
        (a, b): (u32, u32),
        generation: impl Fn(&T) -> u32,
        useful: impl Fn(&T) -> bool,
    ) -> (u32, u32) {
        let n = table.len() as u32;
        if b % 64 == 63 {
            return (a % (2 * n), table[(a % n) as usize].last.wrapping_add(b >> 6 & 3));
        }
        let any = b % 64 == 62;
        let near = (0..n).map(|i| a.wrapping_add(i) % n);
        let found = near.filter_map(|slot| Some((slot, table[slot as usize].live.as_ref()?)));
        let mut found = found.filter(|(_, live)| any || useful(live));
        match found.next() {
            Some((slot, live)) => (slot, generation(live)),
            None => (a % n, table[(a % n) as usize].last),
        }
    }

    fn pick_lease(&self, a: u32, b: u32, useful: impl Fn(&Lease) -> bool) -> (u32, u32) {
        Self::pick(&self.leases, (a, b), |lease| lease.generation, useful)
    }

    fn pick_send(&self, a: u32, b: u32, state: State) -> (u32, u32) {
        Self::pick(&self.sends, (a, b), |send| send.generation, |send| send.state == state)
    }

    fn pick_socket(&self, a: u32, b: u32) -> (u32, u32) {
        Self::pick(&self.sockets, (a, b), |socket| socket.generation, |_| true)
    }

    fn find<'t, T>(
        table: &'t mut [Slot<T>],
        slot: u32,
        generation: u32,
        of: impl Fn(&T) -> u32,
        counters: &mut Counters,
    ) -> Result<&'t mut T, Fault> {
        let found = table.get_mut(slot as usize).and_then(|slot| slot.live.as_mut());
        match found {
            Some(live) if of(live) == generation => Ok(live),
            _ => {
                counters.stale_handles += 1;
                Err(Fault::Stale)
            }
        }
    }

    fn lease(&mut self, slot: u32, generation: u32) -> Result<&mut Lease, Fault> {
        Self::find(&mut self.leases, slot, generation, |lease| lease.generation, &mut self.counters)
    }

    fn send(&mut self, slot: u32, generation: u32) -> Result<&mut Send, Fault> {
        Self::find(&mut self.sends, slot, generation, |send| send.generation, &mut self.counters)
    }

    fn socket(&mut self, slot: u32, generation: u32) -> Result<&mut Socket, Fault> {
        Self::find(&mut self.sockets, slot, generation, |socket| socket.generation, &mut self.counters)
    }

    /// Someone new in a slot: it was free, and its generation is a new one.
    fn settle_in<T>(table: &mut [Slot<T>], slot: u32, generation: u32, value: T) {
        let place = &mut table[slot as usize];
        assert!(place.live.is_none(), "slot {slot} was handed out twice");
        assert!(generation != 0 && generation != place.last, "a generation came twice");
        place.last = generation;
        place.live = Some(value);
    }
}
