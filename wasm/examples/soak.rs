//! Random operations without end, on the core and on the model of the property tests.
//!
//!     cargo run --profile soak --example soak -- [operations] [seed]
//!
//! Prints the seed first; the same seed and number do the same again. Any disagreement ends it with a panic and a
//! non-zero exit code.

#[path = "../tests/model/mod.rs"]
mod model;

use model::World;
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
}

/// Operations before a world is ended, checked to the last lease, and another one made.
const ROUND: u64 = 2_000_000;
/// Operations between two looks at everything that can be counted.
const LOOK: u64 = 256;

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.replace('_', ""));
    let operations: u64 = args.next().map_or(1_000_000_000, |arg| arg.parse().expect("a number of operations"));
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64;
    let seed: u64 = args.next().map_or_else(clock, |arg| arg.parse().expect("a seed"));
    println!("soak: {operations} operations, seed {seed}");

    let start = Instant::now();
    let mut random = Random(seed);
    let (mut done, mut said) = (0, 0);
    let (mut lent, mut released, mut ids, mut wraps) = (0, 0, 0, 0);
    while done < operations {
        let shape = random.next();
        let sizes = Sizes {
            arena: ((shape & 7) as u32 + 1) << 16,
            leases: 8 + (shape >> 8 & 63) as u32,
            sends: 8 + (shape >> 16 & 31) as u32,
            sockets: 1 + (shape >> 24 & 3) as u32,
            window: 1 << (shape >> 32 & 7),
        };
        let piece = ((shape >> 40 & 3) as u32) << 16;
        // Three worlds in four start where ids wrap.
        let first = random.next() as u32;
        let first = if shape >> 48 & 3 == 0 { first } else { 0u32.wrapping_sub(first % 1_000) };
        let mut store = Store::new(sizes);
        let mut world = World::new(store.ledger(piece), sizes, piece, first);
        for i in 0..ROUND.min(operations - done) {
            let (x, y) = (random.next(), random.next());
            world.step((x as u8, (x >> 32) as u32, y as u32, (y >> 32) as u32));
            if i % LOOK == 0 {
                world.check();
                world.check_records();
            }
        }
        world.finish();
        done += ROUND.min(operations - done);
        lent += world.counters.lent;
        released += world.counters.released;
        ids += world.counters.ids_copied + world.counters.ids_not_copied;
        wraps += (first > u32::MAX - 1_000) as u64;

        let seconds = start.elapsed().as_secs();
        if seconds >= said + 10 || done == operations {
            said = seconds;
            let rate = done as f64 / start.elapsed().as_secs_f64() / 1e6;
            println!("soak: {done} operations in {seconds} s, {rate:.1} million a second");
        }
    }
    assert_eq!(lent, released);
    println!("soak: seed {seed}: lent {lent}, released {released}, in flight 0; {ids} ids, {wraps} worlds at 2^32");
}
