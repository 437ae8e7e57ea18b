//! Single conversations, each for one thing that went wrong somewhere or would have.

use crate::machine::program::Reaction;
use crate::machine::records::Extra;
use crate::machine::request::{Mistake, ACCEPT, EAGAIN, ECANCELED, ENOMEM, EPIPE, MULTISHOT};
use crate::machine::{Start, World, PIPE_FD, RING_FD};
use ringlet_core::batch::Reason;
use ringlet_core::events::{Event, FAILED, READY};
use ringlet_core::layout::Sizes;
use ringlet_core::ring::{Entry, Params, Ring};

pub const SIZES: Sizes = Sizes { arena: 1 << 20, leases: 64, sends: 32, sockets: 4, window: 1, ring: 64 };

/// A descriptor that connections come from.
const LISTENER: i32 = 99;

/// A world where every zero-copy part has an entry of its own.
pub fn separate(mistake: Mistake) -> World {
    let mut world = World::new(Start { gathers: false, mistake, ..Start::new(SIZES) });
    world.reaction = Some(Reaction::Again);
    world
}

/// Queues zero-copy sends of new leases.
fn queue_all(world: &mut World, socket: u32, sends: u32, bytes: u32) {
    for _ in 0..sends {
        queue(world, socket, bytes);
    }
}

/// Queues a zero-copy send of a new lease.
pub fn queue(world: &mut World, socket: u32, bytes: u32) -> u32 {
    let lease = world.take_lease(bytes).expect("room in the arena");
    world.send_one(socket, true, (lease, 0, bytes), 0).expect("a free record")
}

pub fn stream(world: &mut World) -> (u32, i32) {
    let socket = world.new_socket(false, u32::MAX, 0);
    (socket, world.model.socket(socket).fd)
}

pub fn datagram(world: &mut World) -> (u32, i32) {
    let socket = world.new_socket(true, u32::MAX, 0);
    (socket, world.model.socket(socket).fd)
}

/// Queues a zero-copy datagram, or train, of new leases of so many bytes.
pub fn train(world: &mut World, socket: u32, leases: &[u32], extra: Extra) -> u32 {
    let part = |bytes: &u32| (world.take_lease(*bytes).expect("room in the arena"), 0, *bytes);
    let parts: Vec<_> = leases.iter().map(part).collect();
    world.send_many(socket, true, &parts, extra).expect("a free record")
}

/// The kernel gets what is queued.
pub fn go(world: &mut World) {
    world.fill_wanted();
    world.enter_all();
    world.check();
}

/// The program learns what has happened.
pub fn learn(world: &mut World) {
    world.reap();
    world.dispatch_all();
}

/// Of a broken chain the middle is over before the beginning. Its operation then works for another socket, which the
/// giving up of the end must not disturb.
#[test]
fn giving_up_the_rest_of_a_broken_chain_cancels_nobody_else() {
    let mut world = separate(Mistake::None);
    let (socket, fd) = stream(&mut world);
    let sends = [0, 1, 2].map(|_| queue(&mut world, socket, 1000));
    go(&mut world);
    world.kernel.answer(fd, -ENOMEM, true);
    world.kernel.answer(fd, -ECANCELED, false);
    world.reap();
    let (other, _) = stream(&mut world);
    queue(&mut world, other, 1000);
    go(&mut world);
    world.kernel.notify_oldest(false);
    world.reap();
    world.abandon(sends[2]);
    go(&mut world);
    world.finish();
}

/// Giving up a send of a stream stops the link that the kernel works on, whichever that is by now.
#[test]
fn giving_up_cancels_the_link_at_work() {
    let mut world = separate(Mistake::None);
    let (socket, fd) = stream(&mut world);
    let sends = [0, 1, 2].map(|_| queue(&mut world, socket, 1000));
    go(&mut world);
    world.kernel.answer(fd, 1000, true);
    learn(&mut world);
    world.abandon(sends[2]);
    go(&mut world);
    assert_eq!(world.seen.cancelled, 1);
    world.finish();
}

/// The kernel has memory for the first link alone. The others are over at once, and go again behind it, as a chain.
#[test]
fn the_rest_of_a_cut_chain_waits_for_its_beginning() {
    let mut world = separate(Mistake::None);
    let (socket, fd) = stream(&mut world);
    let sends = [0, 1, 2].map(|_| queue(&mut world, socket, 1000));
    world.fill_wanted();
    world.enter_some(1);
    world.enter_all();
    learn(&mut world);
    world.check();
    assert_eq!((world.seen.cut, world.kernel.busy(), world.core.operations_out()), (2, 1, 1));
    assert_eq!(world.fill(socket), (0, Reason::Chain));
    world.kernel.answer(fd, 1000, true);
    world.reap();
    world.check();
    assert_eq!(sends.map(|send| world.core.send_record(send).left), [0, 1000, 1000]);
    let last = world.core.events.peek(world.core.events.count() - 1);
    assert_eq!(last, Event { kind: READY, send: socket, generation: 1, value: 0 }, "nobody is told of a failure");
    assert_eq!(world.fill(socket), (2, Reason::Empty));
    world.finish();
}

/// Of what was cut the first is over before the beginning. Its operation then works for another socket, which the giving
/// up of the last must not disturb.
#[test]
fn giving_up_the_rest_of_a_cut_chain_cancels_nobody_else() {
    let mut world = separate(Mistake::None);
    let (socket, fd) = stream(&mut world);
    let sends = [0, 1, 2].map(|_| queue(&mut world, socket, 1000));
    world.fill_wanted();
    world.enter_some(1);
    world.enter_some(1);
    world.reap();
    let (other, _) = stream(&mut world);
    queue(&mut world, other, 1000);
    world.fill_wanted();
    world.kernel.answer(fd, 1000, true);
    world.reap();
    world.abandon(sends[2]);
    go(&mut world);
    assert_eq!(world.seen.cancelled, 0);
    world.finish();
}

/// The kernel takes nothing more of a cut chain for now. Its beginning is over, and the operation works for another
/// socket, whose links must still be found.
#[test]
fn a_chain_is_cut_again_when_its_beginning_is_over() {
    let mut world = separate(Mistake::None);
    let (socket, fd) = stream(&mut world);
    queue(&mut world, socket, 1000);
    queue(&mut world, socket, 1000);
    world.fill_wanted();
    world.enter_some(1);
    world.kernel.answer(fd, 1000, false);
    world.reap();
    let (other, fd) = stream(&mut world);
    let sends = [0, 1].map(|_| queue(&mut world, other, 1000));
    world.fill_wanted();
    world.enter_some(0);
    go(&mut world);
    world.kernel.answer(fd, 1000, true);
    world.reap();
    world.abandon(sends[1]);
    go(&mut world);
    assert_eq!(world.seen.cancelled, 1);
    world.finish();
}

/// The head of a queue was given up, and then failed by itself: it is told once, and the rest goes on.
#[test]
fn a_send_that_was_given_up_fails_once() {
    let mut world = separate(Mistake::None);
    let (socket, fd) = stream(&mut world);
    let send = queue(&mut world, socket, 1000);
    queue(&mut world, socket, 1000);
    go(&mut world);
    world.abandon(send);
    go(&mut world);
    world.kernel.answer(fd, -EPIPE, false);
    world.kernel.answer(fd, -ECANCELED, false);
    world.reap();
    let events: Vec<_> = (0..world.core.events.count()).map(|i| world.core.events.peek(i)).collect();
    let failed = Event { kind: FAILED, send, generation: 1, value: ECANCELED as u32 };
    assert_eq!(events, [failed, Event { kind: READY, send: socket, generation: 1, value: 0 }]);
    world.finish();
}

/// What is in entries already and what is still to be put into them counts against the limit once.
#[test]
fn the_limit_counts_every_byte_once() {
    let mut world = separate(Mistake::None);
    let socket = world.new_socket(false, 3000, 0);
    queue_all(&mut world, socket, 5, 1000);
    assert_eq!(world.fill(socket), (3, Reason::Limit));
    world.finish();
}

/// A program that sends again and again and never looks. What it is not told yet, the ring keeps for it.
#[test]
fn events_are_never_overwritten() {
    let sizes = Sizes { sends: 2, sockets: 1, ring: 4, ..SIZES };
    let mut world = World::new(Start::new(sizes));
    let (socket, fd) = stream(&mut world);
    queue(&mut world, socket, 1000);
    world.start_call(Entry { opcode: ACCEPT, ioprio: MULTISHOT, fd: LISTENER, ..Entry::default() }).expect("room");
    for connection in 0..1000 {
        world.fill(socket);
        world.enter_all();
        if world.kernel.has(fd) {
            world.kernel.answer(fd, -EAGAIN, false);
        }
        world.kernel.accept(LISTENER, connection);
        world.reap();
        world.check();
    }
    assert!(world.seen.stopped > 100 && world.seen.overflown > 100, "{:?}", world.seen);
    world.finish();
}

/// Many sends of many parts on many streams: iovecs run out before anything else does.
#[test]
fn staged_iovecs_run_out() {
    let sizes = Sizes { sends: 400, sockets: 5, leases: 1, ..SIZES };
    let mut world = World::new(Start::new(sizes));
    let lease = world.take_lease(1000).expect("room in the arena");
    world.retain_lease(lease);
    for sends in [66, 64, 64, 60, 64] {
        let (socket, _) = stream(&mut world);
        let parts: Vec<_> = (0..16).map(|i| (lease, 10 * i, 5 + i)).collect();
        for _ in 0..sends {
            world.send_many(socket, true, &parts, Extra::default()).expect("a free record");
        }
    }
    let filled = [0, 1, 2, 3, 4].map(|socket| world.fill(socket));
    let one = |reason| (1, reason);
    assert_eq!(filled, [Reason::Empty, Reason::Empty, Reason::Empty, Reason::Empty, Reason::Full].map(one));
    world.enter_all();
    world.check();
    world.finish();
}

/// Sends that cannot share an entry, of two parts each: messages run out.
#[test]
fn staged_messages_run_out() {
    let sizes = Sizes { sends: 1200, sockets: 18, leases: 1, ring: 2048, ..SIZES };
    let mut world = World::new(Start::new(sizes));
    let lease = world.take_lease(1000).expect("room in the arena");
    world.retain_lease(lease);
    for _ in 0..18 {
        let (socket, _) = stream(&mut world);
        for i in 0..64 {
            world
                .send_many(socket, i % 2 == 0, &[(lease, 0, 7), (lease, 100, 9)], Extra::default())
                .expect("a free record");
        }
    }
    let filled: Vec<_> = (0..18).map(|socket| world.fill(socket)).collect();
    assert_eq!(filled[15], (64, Reason::Empty));
    assert_eq!(filled[16], (0, Reason::Full));
    world.enter_all();
    world.check();
    world.finish();
}

/// What one iovec, one entry and one chain can hold.
#[test]
fn long_sends_are_split_and_short_ones_gathered() {
    let sizes = Sizes { arena: 1 << 27, sends: 200, leases: 200, ..SIZES };
    let mut world = World::new(Start { registered: 1 << 26, ..Start::new(sizes) });
    let (socket, _) = stream(&mut world);
    queue(&mut world, socket, 40 << 20);
    assert_eq!(world.fill(socket), (3, Reason::Empty));
    let (socket, fd) = stream(&mut world);
    queue_all(&mut world, socket, 5, 3 << 19);
    assert_eq!(world.fill(socket), (1, Reason::Empty), "two of them fit together");
    world.enter_all();
    world.check();
    // All of one and a part of the other.
    world.kernel.answer(fd, (3 << 19) + 1, true);
    learn(&mut world);
    world.check();
    world.finish();
    world.start.gathers = false;
    world.core.registered.gathers = false;
    world.kernel.view.registered.gathers = false;
    let (socket, _) = stream(&mut world);
    queue_all(&mut world, socket, 100, 100);
    assert_eq!(world.fill(socket), (64, Reason::Empty));
    world.finish();
}

/// The doorbell rings when there is a completion, and once.
#[test]
fn the_bell_rings_for_a_completion() {
    let mut world = separate(Mistake::None);
    let (socket, fd) = stream(&mut world);
    world.bell();
    queue(&mut world, socket, 1000);
    go(&mut world);
    world.kernel.ring_bells();
    assert_eq!(world.kernel.rung, 0);
    world.kernel.answer(fd, 1000, true);
    world.kernel.ring_bells();
    world.kernel.ring_bells();
    assert_eq!(world.kernel.rung, 1);
    learn(&mut world);
    world.bell();
    world.enter_all();
    assert!(world.kernel.armed());
    world.end_bell();
    world.enter_all();
    world.kernel.ring_bells();
    assert!(!world.kernel.armed());
    world.finish();
}

/// The kernel has memory for the poll alone: the write, when its turn comes, has nothing to wait for.
#[test]
fn half_a_bell_rings_at_once() {
    let mut world = separate(Mistake::None);
    world.bell();
    world.enter_some(1);
    assert!(world.kernel.armed());
    assert_eq!(world.kernel.rung, 0);
    world.enter_all();
    assert_eq!(world.kernel.rung, 1);
    world.core.ring_bell(RING_FD, PIPE_FD).unwrap(); // which is all that JavaScript knows of
    world.enter_all();
    world.end_bell();
    world.enter_all();
    world.kernel.ring_bells();
    assert_eq!(world.kernel.rung, 2, "the poll that is left is linked to nothing");
    assert!(!world.kernel.armed(), "a poll on its own ring would keep it alive");
    world.finish();
}

/// Parameters that do not fit the memory are refused.
#[test]
fn rings_that_do_not_fit_are_refused() {
    let world = World::new(Start::new(SIZES));
    let good = *world.kernel.rings.params();
    let mut memory = vec![0u64; SIZES.ring_bytes() as usize / 8];
    let mut entries = vec![Entry::default(); SIZES.ring as usize];
    let mut takes = |params: &Params, bytes: u64| {
        // SAFETY: the memory is aligned enough, large enough, and nobody else's.
        unsafe { Ring::new(memory.as_mut_ptr().cast(), bytes, &mut entries, params) }.is_some()
    };
    let bytes = SIZES.ring_bytes();
    assert!(takes(&good, bytes));
    assert!(!takes(&good, 4096));
    let change = |change: fn(&mut Params)| {
        let mut params = good;
        change(&mut params);
        params
    };
    for bad in [
        change(|params| params.sq_entries = 63),
        change(|params| params.sq_entries = 128),
        change(|params| params.cq_entries = 0),
        change(|params| params.sq.tail = 2),
        change(|params| params.cq.head = u32::MAX - 3),
        change(|params| params.cq.sixth += 4),
        change(|params| params.sq.seventh = u32::MAX - 3),
    ] {
        assert!(!takes(&bad, bytes), "{bad:?}");
    }
}
