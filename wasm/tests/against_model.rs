//! Random operations, done to the core and to a simple model of it.

mod model;

use model::{Op, Seen, World, ARENA_BASE, CORE_BASE};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestError, TestRunner};
use ringlet_core::layout::Sizes;
use ringlet_core::queue::Withdrawn;
use ringlet_core::store::Store;
use ringlet_core::Fault;

/// Ids start where they are about to wrap, more often than not.
fn first_id() -> impl Strategy<Value = u32> {
    prop_oneof![3 => (0u32..40).prop_map(|back| 0u32.wrapping_sub(back)), 1 => any::<u32>()]
}

/// Mostly sends.
fn sends() -> impl Strategy<Value = Vec<Op>> {
    vec((prop_oneof![1 => 0u8..8, 3 => 13u8..40], any::<u32>(), any::<u32>(), any::<u32>()), 1..600)
}

fn run(sizes: Sizes, piece: u32, first_id: u32, ops: &[Op]) -> Seen {
    run_with(false, sizes, piece, first_id, ops)
}

fn run_with(mistake: bool, sizes: Sizes, piece: u32, first_id: u32, ops: &[Op]) -> Seen {
    let mut store = Store::new(sizes);
    let mut world = World::new(store.ledger(piece), sizes, piece, first_id);
    world.advances_by_trains = mistake;
    for &op in ops {
        world.step(op);
        world.check();
        world.check_records();
    }
    world.finish();
    world.seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn everything(
        ops in vec(any::<Op>(), 1..400),
        first_id in first_id(),
        pages in 1u32..5,
        pieces in 0u32..3,
        window in 0u32..6,
        (leases, sends, sockets) in (1u32..40, 1u32..24, 1u32..4),
    ) {
        let sizes = Sizes { arena: pages << 16, leases, sends, sockets, window: 1 << window, ring: 0 };
        run(sizes, pieces << 16, first_id, &ops);
    }

    /// Mostly carving, in an arena that is nearly full.
    #[test]
    fn carving(ops in vec((0u8..10, any::<u32>(), any::<u32>(), any::<u32>()), 1..600), pages in 1u32..40, pieces in 0u32..9) {
        let sizes = Sizes { arena: pages << 16, leases: 100, sends: 1, sockets: 1, window: 1, ring: 0 };
        run(sizes, pieces << 16, 0, &ops);
    }

    /// Mostly ids: queues are filled and completed without end.
    #[test]
    fn completing(
        ops in sends(),
        first_id in first_id(),
        window in 0u32..7,
    ) {
        let sizes = Sizes { arena: 1 << 18, leases: 60, sends: 30, sockets: 2, window: 1 << window, ring: 0 };
        run(sizes, 0, first_id, &ops);
    }
}

const TRAINS: Sizes = Sizes { arena: 1 << 18, leases: 60, sends: 30, sockets: 2, window: 64, ring: 0 };

/// What the random operations are for does happen.
#[test]
fn rare_things_happen() {
    let mut runner = TestRunner::deterministic();
    let mut all = Vec::new();
    for _ in 0..4_000 {
        let ops = sends().new_tree(&mut runner).expect("operations").current();
        all.push(run(TRAINS, 0, 0, &ops));
    }
    let sum = |count: fn(&Seen) -> u64| all.iter().map(count).sum::<u64>();
    for (what, times) in [
        ("trains", sum(|seen| seen.trains)),
        ("segments", sum(|seen| seen.segments)),
        ("segments that cross leases", sum(|seen| seen.crossing)),
        ("trains refused", sum(|seen| seen.refused)),
        ("trains refused while others were out", sum(|seen| seen.refused_later)),
        ("trains cut", sum(|seen| seen.cut)),
    ] {
        println!("{what}: {times}");
        assert!(times > 10, "{what}: {times}");
    }
}

/// The same operations, with a mistake, must fail.
#[test]
fn control_advancing_by_a_train_instead_of_a_segment_is_noticed() {
    let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&sends(), |ops| {
        run_with(true, TRAINS, 0, 0, &ops);
        Ok(())
    });
    match result {
        Err(TestError::Fail(reason, ops)) => {
            println!("{} operations: {reason}", ops.len());
            assert!(reason.message().contains("done"), "{reason}");
        }
        other => panic!("the control was not caught: {other:?}"),
    }
}

/// A train of two leases goes as one, is refused, and goes segment by segment, each with an id of its own; with its leases
/// to come back when the last of them did.
#[test]
fn a_train_that_is_refused_goes_segment_by_segment() {
    let mut store = Store::new(TRAINS);
    let mut core = store.ledger::<ringlet_core::seq::Kernel>(0);
    core.set_bases(CORE_BASE, ARENA_BASE);
    let (socket, generation) = core.socket_new(1, u32::MAX, 0).expect("a socket");
    // The destination, one more control message, and segments of 1000 bytes.
    let send = core.send_new(socket, generation, 1, 16 | 48 << 8 | 1000 << 16).expect("a send");
    let starts = [1500, 700].map(|bytes| {
        let lease = core.leases.take(bytes, 64).expect("room");
        core.send_lease(send, 1, lease, 1, 0, bytes).expect("a part");
        ARENA_BASE + core.leases.record(lease).offset as u64
    });
    core.send_queue(send, 1).expect("an open send");
    let filled = core.batch_fill(socket, generation, 8).expect("a batch");
    assert_eq!((filled.messages, filled.bytes), (1, 2200));
    assert_eq!(core.batch_message(0).header.control_len, 48);
    assert_eq!(core.accept(send, 1, 1000, true), Err(Fault::Range), "all or nothing");

    core.socket_unsegmented(socket, generation).expect("a socket");
    let [first, second] = starts;
    for (id, expected) in
        [vec![(first, 1000)], vec![(first + 1000, 500), (second, 500)], vec![(second + 500, 200)]].iter().enumerate()
    {
        let bytes = expected.iter().map(|part| part.1).sum::<u64>();
        let filled = core.batch_fill(socket, generation, 8).expect("a batch");
        assert_eq!((filled.messages, filled.bytes), (1, bytes));
        let header = core.batch_message(0).header;
        assert_eq!((header.name_len, header.control_len, header.iov_len), (16, 24, expected.len() as u64));
        let parts: Vec<_> =
            (0..header.iov_len as u32).map(|i| core.staged(i)).map(|part| (part.base, part.len)).collect();
        assert_eq!(parts, *expected);
        core.batch_message(0).len = bytes as u32;
        let left = (id < 2) as u32;
        assert_eq!(core.batch_done(socket, generation, 1), Ok((left, bytes)));
        assert_eq!(core.socket(socket, generation).expect("a socket").next, id as u32 + 1);
    }
    core.complete(socket, generation, 0, 1, false).expect("a socket");
    assert_eq!(core.leases.in_flight(), (2, 2200));
    core.complete(socket, generation, 2, 2, false).expect("a socket");
    assert_eq!(core.leases.in_flight(), (0, 0));
}

/// Half of a train is out when somebody takes it back: what goes next is whole, and the leases follow the ids.
#[test]
fn half_a_train_is_taken_back() {
    let mut store = Store::new(TRAINS);
    let mut core = store.ledger::<ringlet_core::seq::Kernel>(0);
    let (socket, generation) = core.socket_new(1, u32::MAX, 0).expect("a socket");
    core.socket_unsegmented(socket, generation).expect("a socket");
    for _ in 0..2 {
        let lease = core.leases.take(2500, 64).expect("room");
        core.send_one(socket, generation, 1, 24 << 8 | 1000 << 16, lease, 1, 0, 2500).expect("a send");
    }
    assert_eq!(core.accept(0, 1, 1000, true), Ok((0, 1500)));
    assert_eq!(core.accept(0, 1, 500, true), Err(Fault::Range), "not the last one");
    let withdrawn = core.batch_fail(socket, generation, 5).expect("a head");
    assert_eq!(withdrawn, (0, 1, Withdrawn { accepted: 1000, whole: false }));
    assert_eq!(core.leases.in_flight(), (2, 5000));
    assert_eq!(core.batch_fill(socket, generation, 8).map(|filled| (filled.messages, filled.bytes)), Ok((1, 1000)));
    core.complete(socket, generation, 0, 0, false).expect("a socket");
    assert_eq!(core.leases.in_flight(), (1, 2500));
}

/// What a walk of the request's class would miss is found: a larger block in which the alignment surely fits.
#[test]
fn alignment_among_many_blocks_that_do_not_fit() {
    let sizes = Sizes { arena: 1 << 20, leases: 400, sends: 1, sockets: 1, window: 1, ring: 0 };
    let mut store = Store::new(sizes);
    let mut ledger = store.ledger::<ringlet_core::seq::Kernel>(0);
    let mut take = |bytes, align| {
        let slot = ledger.leases.take(bytes, align).expect("room");
        (slot, ledger.leases.record(slot).generation, ledger.leases.record(slot).offset)
    };
    // Stretches of 4,096 bytes, none of which is at a multiple of 4,096, with a wall after each.
    take(64, 64);
    let stretches: Vec<_> = (0..50).map(|_| (take(4096, 64), take(64, 64)).0).collect();
    let large = take(8192, 64);
    take(64, 64);
    let rest = ledger.leases.carve.largest_free();
    ledger.leases.take(rest, 64).expect("all the rest");
    ledger.leases.release(large.0, large.1).expect("a lease");
    for (slot, generation, offset) in stretches {
        assert_ne!(offset % 4096, 0);
        ledger.leases.release(slot, generation).expect("a lease");
    }
    let slot = ledger.leases.take(4096, 4096).expect("it fits in the large one");
    assert!(ledger.leases.record(slot).offset > large.2);
}

/// The largest arena there is, in pieces as large as the kernel registers.
#[test]
fn four_gibibytes() {
    let arena = u32::MAX - 65_535;
    let sizes = Sizes { arena, leases: 64, sends: 1, sockets: 1, window: 1, ring: 0 };
    let mut store = Store::new(sizes);
    let mut ledger = store.ledger::<ringlet_core::seq::Kernel>(0);
    let whole = ledger.leases.take(arena, 1 << 31).expect("the whole arena");
    assert_eq!(ledger.leases.release(whole, 1), Ok(true));
    let high = ledger.leases.take(1, 1).expect("a lease");
    let aligned = ledger.leases.take(1 << 30, 1 << 31).expect("a lease in the upper half");
    assert_eq!(ledger.leases.record(aligned).offset, 1 << 31);
    assert_eq!(ledger.leases.release(high, 2), Ok(true));

    let mut store = Store::new(sizes);
    let mut ledger = store.ledger::<ringlet_core::seq::Kernel>(1 << 30);
    assert_eq!(ledger.leases.take((1 << 30) + 1, 64), Err(ringlet_core::Fault::Range));
    for piece in 0..3 {
        let slot = ledger.leases.take(1 << 30, 64).expect("a whole piece");
        assert_eq!(ledger.leases.record(slot).offset, piece << 30);
    }
    assert_eq!(ledger.leases.take(1 << 30, 64), Err(ringlet_core::Fault::NoRoom));
}

/// More in flight than 32 bits can say, as a lease lent to many sends makes possible.
#[test]
fn no_limit_is_no_limit() {
    let arena = u32::MAX - 65_535;
    let sizes = Sizes { arena, leases: 1, sends: 4, sockets: 1, window: 4, ring: 0 };
    let mut store = Store::new(sizes);
    let mut ledger = store.ledger::<ringlet_core::seq::Kernel>(0);
    let (socket, generation) = ledger.socket_new(0, u32::MAX, 0).expect("a socket");
    ledger.leases.take(arena, 64).expect("the whole arena");
    ledger.leases.retain(0, 1).expect("a lease");
    for _ in 0..3 {
        let send = ledger.send_one(socket, generation, 1, 0, 0, 1, 0, arena).expect("a send");
        assert_eq!(ledger.batch_fill(socket, generation, 1).map(|filled| filled.messages), Ok(1));
        ledger.accept(send, 1, arena, true).expect("room in the window");
    }
    assert_eq!(ledger.socket(socket, generation).expect("a socket").in_flight(), 3 * arena as u64);
    ledger.socket_limit(socket, generation, u32::MAX - 1).expect("a socket");
    ledger.send_one(socket, generation, 1, 0, 0, 1, 0, 1).expect("a send");
    let filled = ledger.batch_fill(socket, generation, 1).expect("a socket");
    assert_eq!((filled.messages, filled.reason), (0, ringlet_core::batch::Reason::Limit));
}

/// What a send has in flight comes back only when all of it was accepted, so the limit must not hold back its own rest.
#[test]
fn a_send_that_has_begun_passes_the_limit() {
    let sizes = Sizes { arena: 65_536, leases: 2, sends: 4, sockets: 1, window: 4, ring: 0 };
    let mut store = Store::new(sizes);
    let mut ledger = store.ledger::<ringlet_core::seq::Kernel>(0);
    let (socket, generation) = ledger.socket_new(0, 100, 0).expect("a socket");
    for _ in 0..2 {
        let lease = ledger.leases.take(1000, 64).expect("room");
        ledger.send_one(socket, generation, 1, 0, lease, 1, 0, 1000).expect("a send");
    }
    ledger.accept(0, 1, 600, true).expect("room in the window");
    let filled = ledger.batch_fill(socket, generation, 8).expect("a socket");
    assert_eq!((filled.messages, filled.bytes), (1, 400));
}
