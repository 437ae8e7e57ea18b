//! The core's side of io_uring, in conversation with a scripted kernel: random steps against a model, single cases
//! spelled out, and the mistakes of other programs, which must be noticed.

#[path = "ring/mod.rs"]
mod machine;
#[path = "ring/mistakes.rs"]
mod mistakes;
#[path = "ring/spelled_out.rs"]
mod spelled_out;
#[path = "ring/trains.rs"]
mod trains;
#[path = "ring/wrap.rs"]
mod wrap;

use machine::request::{Mistake, Mood};
use machine::{Seen, Start, Step, World};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use ringlet_core::layout::Sizes;

/// Counts of a ring start where they are about to wrap, more often than not.
fn first_count() -> impl Strategy<Value = u32> {
    prop_oneof![3 => (0u32..40).prop_map(|back| 0u32.wrapping_sub(back)), 1 => any::<u32>()]
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let arena = prop_oneof![6 => 1u32..8, 1 => Just(1000)];
    (arena, 1u32..60, 1u32..32, 1u32..5, 0u32..6).prop_map(|(pages, leases, sends, sockets, ring)| Sizes {
        arena: pages << 16,
        leases,
        sends,
        sockets,
        window: 1,
        ring: 1 << ring,
    })
}

fn start() -> impl Strategy<Value = Start> {
    let registered = prop_oneof![Just(0), Just(1), Just(u32::MAX)];
    let mood = prop_oneof![1 => Just(Mood::Kind), 4 => Just(Mood::Mixed), 1 => Just(Mood::Hostile)];
    let spread = prop_oneof![Just(4), Just(64)];
    let first = (first_count(), first_count());
    (sizes(), 0u32..3, registered, any::<bool>(), first, spread, mood).prop_map(
        |(sizes, piece, registered, gathers, first, spread, mood)| Start {
            sizes,
            piece: piece << 16,
            registered: sizes.arena.min(registered << 16),
            gathers,
            first,
            spread,
            mood,
            mistake: Mistake::None,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(any::<Step>(), 1..500)
}

fn run(start: Start, steps: &[Step]) -> World {
    let mut world = World::new(start);
    for &step in steps {
        world.step(step);
        world.check();
    }
    world.finish();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn everything(start in start(), steps in steps()) {
        run(start, &steps);
    }

    /// Small tables, and calls that have more to tell than there is room for.
    #[test]
    fn crowded(
        start in start(),
        (sends, ring) in (1u32..4, 2u32..6),
        steps in vec((prop_oneof![4 => 0u8..9, 5 => 10u8..29, 1 => 29u8..33, 2 => 33u8..36], any::<u64>()), 1..500),
    ) {
        let sizes = Sizes { sends, sockets: 1, ring: 1 << ring, ..start.sizes };
        run(Start { sizes, mood: Mood::Mixed, ..start }, &steps);
    }
}

/// What the random steps are for does happen.
#[test]
fn rare_things_happen() {
    let mut runner = TestRunner::deterministic();
    let mut all = Vec::new();
    for _ in 0..500 {
        let case = (start(), steps()).new_tree(&mut runner).expect("a case");
        let (start, steps) = case.current();
        all.push(run(start, &steps).seen);
    }
    let sum = |count: fn(&Seen) -> u64| all.iter().map(count).sum::<u64>();
    for (what, times) in [
        ("links", sum(|seen| seen.links)),
        ("links cut", sum(|seen| seen.cut)),
        ("gathered", sum(|seen| seen.gathered)),
        ("ring full", sum(|seen| seen.full)),
        ("limit", sum(|seen| seen.limit)),
        ("events full", sum(|seen| seen.stopped)),
        ("completions full", sum(|seen| seen.overflown)),
        ("given up", sum(|seen| seen.abandoned)),
        ("cancelled", sum(|seen| seen.cancelled)),
        ("failed", sum(|seen| seen.failed)),
        ("late", sum(|seen| seen.late)),
        ("released", sum(|seen| seen.released)),
        ("at once", sum(|seen| seen.at_once)),
        ("reaped", sum(|seen| seen.reaped)),
        ("trains", sum(|seen| seen.trains)),
        ("segments of trains", sum(|seen| seen.segments)),
        ("trains refused", sum(|seen| seen.trains_refused)),
        ("trains refused that were on their way", sum(|seen| seen.trains_refused_later)),
        ("segments failed", sum(|seen| seen.segments_failed)),
        ("trains given up half sent", sum(|seen| seen.trains_abandoned)),
        ("trains cut", sum(|seen| seen.trains_cut)),
    ] {
        println!("{what}: {times}");
        assert!(times > 10, "{what}: {times}");
    }
}
