//! The core on one side of the rings, a scripted kernel on the other, and between them a program that does what
//! JavaScript does. A model follows all three; they must agree after every step. Used by the tests and by the soak.
#![allow(dead_code)] // Each program that includes this uses a part of it.

mod completing;
pub mod dice;
mod entering;
mod filling;
pub mod kernel;
mod memory;
pub mod model;
mod owning;
pub mod program;
pub mod records;
pub mod request;
pub mod rings;
mod sending;
mod view;

use dice::Dice;
use kernel::Kernel;
use memory::Memory;
use model::Model;
use program::Reaction;
use request::{Mistake, Mood};
use ringlet_core::layout::Sizes;
use ringlet_core::ledger::Ledger;
use ringlet_core::seq;
use ringlet_core::submit::Registered;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use view::View;

/// Where the arena is said to be: nobody reads it.
pub const ARENA_BASE: u64 = 0x7e12_0000_0000;
pub const RING_FD: i32 = 3;
pub const PIPE_FD: i32 = 4;
const FIRST_FD: i32 = 100;
/// Rounds after which everything must be over once nothing goes wrong any more.
const ROUNDS: u32 = 4_000;

/// One step: what to do, and a number that all choices follow from.
pub type Step = (u8, u64);

/// How a world begins.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub sizes: Sizes,
    /// Pieces of the arena, which are those of its registered part; 0 for one.
    pub piece: u32,
    /// Bytes of the arena that are registered.
    pub registered: u32,
    pub gathers: bool,
    /// First counts of the two rings, and how far apart the kernel keeps them.
    pub first: (u32, u32),
    pub spread: u32,
    pub mood: Mood,
    pub mistake: Mistake,
}

impl Start {
    pub fn new(sizes: Sizes) -> Self {
        Start {
            sizes,
            piece: 0,
            registered: sizes.arena,
            gathers: true,
            first: (u32::MAX, u32::MAX),
            spread: 64,
            mood: Mood::Kind,
            mistake: Mistake::None,
        }
    }
}

pub struct World {
    pub core: Ledger<'static, seq::Kernel>,
    pub kernel: Kernel,
    pub model: Model,
    pub start: Start,
    pub dice: Dice,
    memory: Rc<Memory>,
    /// Sockets whose queue the program has to offer to the ring.
    wants: BTreeSet<u32>,
    /// `user_data` of calls that are not over.
    calls: Vec<u64>,
    /// Calls that the program asked to cancel.
    cancels: VecDeque<u64>,
    next_fd: i32,
    /// Always the same, or whatever comes.
    pub reaction: Option<Reaction>,
    /// What happened at all, for whoever wants to know that the test tests something.
    pub seen: Seen,
}

/// Times that something rare happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub chains: u64,
    pub links: u64,
    pub cut: u64,
    pub full: u64,
    pub limit: u64,
    pub stopped: u64,
    pub overflown: u64,
    pub abandoned: u64,
    pub cancelled: u64,
    pub failed: u64,
    pub ready: u64,
    pub late: u64,
    pub released: u64,
    pub gathered: u64,
    pub at_once: u64,
    pub reaped: u64,
    /// Trains that went as one, and segments that the core sent of others.
    pub trains: u64,
    pub segments: u64,
    /// Trains that the kernel refused for what they are, and those of them that were on their way when the first was.
    pub trains_refused: u64,
    pub trains_refused_later: u64,
    /// Failures in the middle of a train; trains given up there, or taken out of the queue.
    pub segments_failed: u64,
    pub trains_abandoned: u64,
    pub trains_cut: u64,
}

impl World {
    pub fn new(start: Start) -> Self {
        let memory = Rc::new(Memory::new(start.sizes));
        // SAFETY: called once; the world keeps the memory as long as the core.
        let (mut core, rings) = unsafe { memory.start(start.piece, start.first, start.spread) };
        core.set_bases(memory.base(), ARENA_BASE);
        core.registered = Registered { bytes: start.registered, piece: start.piece, gathers: start.gathers };
        let view = View {
            memory: memory.clone(),
            arena_base: ARENA_BASE,
            arena_bytes: start.sizes.arena as u64,
            registered: core.registered,
        };
        World {
            core,
            kernel: Kernel::new(rings, view, start.mistake),
            model: Model::new(&start.sizes, ARENA_BASE),
            start,
            dice: Dice(0),
            memory,
            wants: BTreeSet::new(),
            calls: Vec::new(),
            cancels: VecDeque::new(),
            next_fd: FIRST_FD,
            reaction: None,
            seen: Seen::default(),
        }
    }

    /// One random step.
    pub fn step(&mut self, (kind, choice): Step) {
        self.dice = Dice(choice);
        let mood = self.start.mood;
        match kind % 40 {
            0..=4 => self.send_something(),
            5..=8 => self.fill_wanted(),
            9 => self.fill_any(),
            10..=13 => self.enter(),
            14..=20 => (0..=self.dice.below(4)).for_each(|_| self.kernel.work(&mut self.dice, mood)),
            21..=23 => (0..=self.dice.below(3)).for_each(|_| self.kernel.notify(&mut self.dice)),
            24 => self.kernel.repeat(&mut self.dice, self.start.sizes.operations()),
            25..=28 => self.reap(),
            29..=31 => self.dispatch(),
            32 => self.reap_sends(),
            33 => self.abandon_some(),
            34 => self.change_queued(),
            35 => self.call(),
            36 => self.cancel_call(),
            37 => self.bell(),
            38 => self.change_socket(),
            _ => self.release_a_lease(),
        }
    }

    /// Everything that both know is compared.
    pub fn check(&mut self) {
        let totals = self.core.counters();
        let (loans, bytes) = self.core.leases.in_flight();
        assert_eq!(totals.lent, totals.released + loans as u64, "lent == released + in flight");
        assert_eq!((loans, bytes), (self.model.loans, self.model.loan_bytes), "loans");
        assert_eq!(totals, self.model.totals(), "totals");
        assert_eq!(self.core.operations_out(), self.model.operations, "operations");
        self.check_rings();
        for slot in 0..self.start.sizes.sockets {
            self.check_socket(slot);
        }
        for slot in 0..self.start.sizes.sends {
            self.check_send(slot);
        }
    }

    fn check_rings(&mut self) {
        let waiting = self.core.events.count();
        assert!(waiting as u64 <= self.start.sizes.events(), "events were overwritten");
        let ready = |i: &u32| self.core.events.peek(*i).kind == ringlet_core::events::READY;
        let told = waiting - (0..waiting).filter(ready).count() as u32;
        assert_eq!(told as usize, self.model.expected.len(), "events: {:?}", self.model.expected);
        assert_eq!(self.core.reaped.count() as usize, self.model.expected_reaped.len(), "events of reaped sends");
        assert!(
            (self.core.reaped.count() as u64) < self.start.sizes.reaped(),
            "events of reaped sends were overwritten"
        );
        assert_eq!(self.core.sends_out as usize, self.model.sends.iter().flatten().count(), "sends that are not over");
        let ring = self.core.ring.as_ref().expect("a ring");
        assert_eq!(ring.room() + ring.pending(), self.start.sizes.ring);
        assert_eq!(ring.lost(), 0);
    }

    fn check_socket(&mut self, slot: u32) {
        let Some(model) = self.model.sockets[slot as usize].as_ref() else { return };
        let pending = self.core.ring.as_ref().map_or(0, |ring| ring.pending());
        let real = *self.core.socket(slot, model.generation).expect("a live socket");
        assert_eq!(real.chain, model.chain, "operations without a result");
        assert_eq!(real.outstanding(), model.outstanding, "notifications to come");
        assert_eq!(real.in_flight(), model.in_flight, "bytes in flight");
        assert_eq!(real.tally.counters(), model.counters, "totals of a socket");
        let whose = (slot, model.generation);
        let sends =
            self.model.sends.iter().flatten().filter(|send| (send.socket, send.socket_generation) == whose).count();
        assert_eq!(real.sends as usize, sends, "sends of a socket that are not over");
        // What the kernel has not seen is the core's own affair.
        if pending == 0 {
            assert_eq!(real.submitted, model.submitted, "bytes without a result");
            assert!(model.prepared.is_empty());
        }
    }

    fn check_send(&mut self, slot: u32) {
        use ringlet_core::send::{ACCEPTED, AS_TRAIN, QUEUED, RELEASED, SUBMITTED};
        let Some(model) = self.model.sends[slot as usize].as_ref() else { return };
        let real = self.core.send_record(slot);
        let state = match model.place {
            records::Place::Queued => QUEUED,
            records::Place::Submitted => SUBMITTED,
            records::Place::Over => ACCEPTED,
            records::Place::Released => RELEASED,
        };
        assert_eq!((real.generation, real.state), (model.generation, state), "send {slot}");
        assert_eq!(real.left, model.bytes - model.taken, "bytes left of send {slot}");
        assert_eq!(real.flags & AS_TRAIN != 0, model.as_train, "who segments send {slot}");
        assert_eq!(real.refs as usize, model.holders.len(), "notifications to come for send {slot}");
    }

    /// Nothing goes wrong any more: everything that was begun comes to its end, told by events alone.
    pub fn finish(&mut self) {
        self.start.mood = Mood::Kind;
        let mut rounds = 0;
        while !self.quiet() {
            rounds += 1;
            assert!(rounds < ROUNDS, "stuck: {:?} {:?}", self.model.sockets, self.model.sends);
            self.dice = Dice(rounds as u64);
            self.round();
            self.check();
        }
        for slot in 0..self.start.sizes.sockets {
            self.free_socket(slot);
        }
        for slot in 0..self.start.sizes.leases {
            while self.model.leases[slot as usize].is_some() {
                self.release_lease(slot);
            }
        }
        self.check();
        assert!(self.model.sockets.iter().all(Option::is_none), "a socket is busy for ever");
        assert!(self.model.sends.iter().all(Option::is_none), "sends are lost");
        assert_eq!(self.core.leases.in_flight(), (0, 0), "something is still lent");
        assert_eq!(self.core.leases.out(), 0, "leases are lost");
        assert_eq!(self.core.leases.carve.free_bytes(), self.start.sizes.arena, "memory is lost");
        let totals = self.core.counters();
        assert_eq!(totals.lent, totals.released);
        assert_eq!(totals.sends, totals.accepted + totals.failed);
    }

    /// One turn of everybody.
    fn round(&mut self) {
        self.cancel_call();
        if self.kernel.armed() {
            self.end_bell();
        }
        self.fill_wanted();
        self.enter_all();
        for _ in 0..self.kernel.busy() {
            self.kernel.work(&mut self.dice, Mood::Kind);
        }
        for _ in 0..=self.kernel.holding() / 2 {
            self.kernel.notify(&mut self.dice);
        }
        self.reap();
        self.dispatch();
        self.reap_sends();
    }

    /// Whether nobody has anything left to do.
    fn quiet(&self) -> bool {
        let queues = self.model.sockets.iter().flatten().all(|socket| socket.queue.is_empty() && socket.chain == 0);
        let kernel = self.kernel.busy() == 0 && self.kernel.holding() == 0 && self.kernel.rings.idle();
        let ring = self.core.ring.as_ref().is_some_and(|ring| ring.pending() == 0);
        let told = self.core.events.count() + self.core.reaped.count() == 0;
        queues && kernel && ring && told && self.core.operations_out() == 0
    }
}
