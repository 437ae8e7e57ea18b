//! Random operations without end, on the core and on the models of the property tests.
//!
//!     cargo run --profile soak --example soak -- [operations] [seed]
//!
//! One world in three has rings. Prints the seed first; the same seed and number do the same again. Any disagreement
//! ends it with a panic and a non-zero exit code.

#[path = "../tests/ring/mod.rs"]
mod machine;
#[path = "../tests/model/mod.rs"]
mod model;

use machine::request::{Mistake, Mood};
use machine::Start;
use ringlet_core::layout::Sizes;
use ringlet_core::store::Store;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// splitmix64: small, and any seed will do.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A count that is about to wrap, three times in four.
    fn first(&mut self) -> u32 {
        let (choice, number) = (self.next(), self.next() as u32);
        if choice & 3 == 0 {
            number
        } else {
            0u32.wrapping_sub(number % NEAR)
        }
    }
}

/// Operations before a world is ended, checked to the last lease, and another one made.
const ROUND: u64 = 2_000_000;
/// Operations between two looks at everything that can be counted.
const LOOK: u64 = 256;
/// Counts so near to 2^32 are sure to wrap.
const NEAR: u32 = 1_000;

/// What came of some worlds.
#[derive(Default)]
struct Sums {
    lent: u64,
    released: u64,
    ids: u64,
    late: u64,
    wraps: u64,
    trains: u64,
    segments: u64,
}

/// Leases, sockets and sends with ids, as the error queue has them.
fn without_rings(random: &mut Random, operations: u64, sums: &mut Sums) {
    let shape = random.next();
    let sizes = Sizes {
        arena: ((shape & 7) as u32 + 1) << 16,
        leases: 8 + (shape >> 8 & 63) as u32,
        sends: 8 + (shape >> 16 & 31) as u32,
        sockets: 1 + (shape >> 24 & 3) as u32,
        window: 1 << (shape >> 32 & 7),
        ring: 0,
    };
    let piece = ((shape >> 40 & 3) as u32) << 16;
    let first = random.first();
    let mut store = Store::new(sizes);
    let mut world = model::World::new(store.ledger(piece), sizes, piece, first);
    for i in 0..operations {
        let (x, y) = (random.next(), random.next());
        world.step((x as u8, (x >> 32) as u32, y as u32, (y >> 32) as u32));
        if i % LOOK == 0 {
            world.check();
            world.check_records();
        }
    }
    world.finish();
    sums.lent += world.counters.lent;
    sums.released += world.counters.released;
    sums.ids += world.counters.ids_copied + world.counters.ids_not_copied;
    sums.wraps += (first > u32::MAX - NEAR) as u64;
    sums.trains += world.seen.trains;
    sums.segments += world.seen.segments;
}

/// Sends through io_uring, with a scripted kernel on the other side.
fn with_rings(random: &mut Random, operations: u64, sums: &mut Sums) {
    let shape = random.next();
    let arena = ((shape & 7) as u32 + 1) << 16;
    let sizes = Sizes {
        arena,
        leases: 8 + (shape >> 8 & 63) as u32,
        sends: 4 + (shape >> 16 & 31) as u32,
        sockets: 1 + (shape >> 24 & 3) as u32,
        window: 1,
        ring: 1 << (shape >> 32 & 7),
    };
    let start = Start {
        sizes,
        piece: ((shape >> 40 & 3) as u32) << 16,
        registered: arena.min(((shape >> 44 & 7) as u32) << 16),
        gathers: shape >> 48 & 1 == 0,
        first: (random.first(), random.first()),
        spread: 4 << (shape >> 50 & 4),
        mood: [Mood::Mixed, Mood::Mixed, Mood::Mixed, Mood::Hostile][(shape >> 56 & 3) as usize],
        mistake: Mistake::None,
    };
    let mut world = machine::World::new(start);
    for i in 0..operations {
        world.step((random.next() as u8, random.next()));
        if i % LOOK == 0 {
            world.check();
        }
    }
    world.finish();
    let counters = world.core.counters();
    sums.lent += counters.lent;
    sums.released += counters.released;
    sums.ids += counters.ids_copied + counters.ids_not_copied;
    sums.late += counters.late_completions;
    sums.trains += world.seen.trains;
    sums.segments += world.seen.segments;
    sums.wraps += (start.first.0 > u32::MAX - NEAR || start.first.1 > u32::MAX - NEAR) as u64;
}

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.replace('_', ""));
    let operations: u64 = args.next().map_or(1_000_000_000, |arg| arg.parse().expect("a number of operations"));
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64;
    let seed: u64 = args.next().map_or_else(clock, |arg| arg.parse().expect("a seed"));
    println!("soak: {operations} operations, seed {seed}");

    let start = Instant::now();
    let mut random = Random(seed);
    let (mut done, mut said, mut worlds) = (0, 0, 0);
    let mut sums = Sums::default();
    while done < operations {
        let round = ROUND.min(operations - done);
        let world = if worlds % 3 == 2 { with_rings } else { without_rings };
        world(&mut random, round, &mut sums);
        worlds += 1;
        done += round;

        let seconds = start.elapsed().as_secs();
        if seconds >= said + 10 || done == operations {
            said = seconds;
            let rate = done as f64 / start.elapsed().as_secs_f64() / 1e6;
            println!("soak: {done} operations in {seconds} s, {rate:.1} million a second");
        }
    }
    let Sums { lent, released, ids, late, wraps, trains, segments } = sums;
    assert_eq!(lent, released);
    println!("soak: seed {seed}: lent {lent}, released {released}, in flight 0; {ids} ids, {late} late completions");
    println!("soak: {trains} trains, {segments} segments of others");
    println!("soak: {wraps} of {worlds} worlds at 2^32");
}
