//! Single conversations about trains: who segments them, and what becomes of those that come only half of the way.

use crate::machine::records::Extra;
use crate::machine::request::{Mistake, EAGAIN, ECANCELED, EIO, ENOBUFS};
use crate::machine::{Start, World};
use crate::spelled_out::{datagram, go, learn, queue, separate, train, SIZES};
use ringlet_core::batch::Reason;
use ringlet_core::events::{Event, ACCEPTED, FAILED, READY, RELEASED};
use ringlet_core::layout::Sizes;
use ringlet_core::ring;
use ringlet_core::send::{AT_ONCE, QUEUED, SUBMITTED, ZERO_COPY};

/// A world with a socket that the kernel takes no trains of, as the program knows.
fn unsegmented() -> (World, u32, i32) {
    let mut world = separate(Mistake::None);
    let (socket, fd) = datagram(&mut world);
    world.unsegment(socket);
    (world, socket, fd)
}

/// How many bytes of which leases the kernel was given last.
fn lengths(world: &World, fd: i32) -> Vec<u64> {
    world.kernel.oldest(fd).parts.iter().map(|part| part.len).collect()
}

/// Gives the kernel what is queued, and has it take all of the oldest of a socket, which it holds.
fn take(world: &mut World, fd: i32) {
    go(world);
    let bytes = world.kernel.oldest(fd).bytes();
    world.kernel.answer(fd, bytes as i32, true);
    learn(world);
    world.check();
}

fn events(world: &World) -> Vec<Event> {
    (0..world.core.events.count()).map(|i| world.core.events.peek(i)).collect()
}

#[test]
fn a_train_is_one_message() {
    let mut world = separate(Mistake::None);
    let (socket, fd) = datagram(&mut world);
    train(&mut world, socket, &[700, 800], Extra { name: 16, control: 2, ..Extra::train(400) });
    go(&mut world);
    assert_eq!((lengths(&world, fd), world.kernel.oldest(fd).segment), (vec![700, 800], 400));
    world.finish();
    assert_eq!(world.core.counters().notifications, 1);
}

/// What the socket cuts by itself is an entry without a message; segments that go one by one keep all their control messages.
#[test]
fn a_socket_may_cut_by_itself() {
    for control in [0, 2] {
        let mut world = separate(Mistake::None);
        let socket = world.new_socket(true, u32::MAX, 400);
        let fd = world.model.socket(socket).fd;
        let extra = Extra { control, segment: 400, ..Extra::default() };
        train(&mut world, socket, &[1000], extra);
        go(&mut world);
        let request = world.kernel.oldest(fd);
        assert_eq!((request.segment, request.message.is_some()), (400, control != 0));
        world.kernel.answer(fd, -EIO, false);
        learn(&mut world);
        assert_eq!(world.seen.trains_refused, 1);
        for expected in [400, 400, 200] {
            go(&mut world);
            assert_eq!(lengths(&world, fd), [expected]);
            assert_eq!(world.kernel.oldest(fd).message.expect("a message").control_len, 24 * control as u64);
            take(&mut world, fd);
        }
        world.finish();
    }
}

/// Each segment is a message of its own, with the other control messages, and may begin and end in any lease.
#[test]
fn segments_cross_leases() {
    let (mut world, socket, fd) = unsegmented();
    train(&mut world, socket, &[700, 200, 1100, 600], Extra { name: 28, control: 2, ..Extra::train(1000) });
    for expected in [vec![700, 200, 100], vec![1000], vec![600]] {
        go(&mut world);
        assert_eq!(lengths(&world, fd), expected);
        assert_eq!(world.kernel.oldest(fd).message.expect("a message").control_len, 48);
        take(&mut world, fd);
    }
    assert_eq!(world.core.leases.in_flight().0, 4, "the kernel holds three segments");
    world.finish();
    assert_eq!(world.core.counters().notifications, 3);
}

/// What is no longer than a segment goes as it is, without the message that would have it segmented.
#[test]
fn a_single_segment_is_a_datagram() {
    for segment in [1000, 1001, u16::MAX as u32] {
        let (mut world, socket, fd) = unsegmented();
        train(&mut world, socket, &[1000], Extra::train(segment));
        go(&mut world);
        assert_eq!((lengths(&world, fd), world.kernel.oldest(fd).segment), (vec![1000], 0));
        world.finish();
        assert_eq!((world.core.counters().accepted, world.core.counters().notifications), (1, 1));
    }
}

/// The buffer that is named is the one of the segment, not of what the train began with, nor of the rest of it.
#[test]
fn segments_have_the_buffers_of_their_own_leases() {
    let mut world = World::new(Start { piece: 1 << 16, ..Start::new(SIZES) });
    let (socket, fd) = datagram(&mut world);
    world.unsegment(socket);
    train(&mut world, socket, &[1 << 16, 1000, 1000], Extra::train(1 << 15));
    for buffer in [0, 0, 1] {
        go(&mut world);
        let entry = world.kernel.oldest(fd).entry;
        assert_eq!((entry.ioprio & ring::FIXED_BUF, entry.buf_index), (ring::FIXED_BUF, buffer));
        take(&mut world, fd);
    }
    world.finish();
}

/// Three trains are on their way when the kernel refuses the first, and then the others: all go segment by segment.
#[test]
fn trains_on_their_way_are_refused_too() {
    let mut world = separate(Mistake::None);
    let (socket, fd) = datagram(&mut world);
    for _ in 0..3 {
        train(&mut world, socket, &[3000], Extra::train(1000));
    }
    go(&mut world);
    for more in [false, true, false] {
        world.kernel.answer(fd, -EIO, more);
        learn(&mut world);
        world.check();
    }
    world.kernel.notify_oldest(false);
    learn(&mut world);
    assert_eq!((world.seen.trains_refused, world.seen.trains_refused_later), (3, 2));
    world.finish();
    assert_eq!((world.seen.trains, world.seen.segments), (3, 9));
    assert_eq!(world.core.counters().notifications, 9);
}

/// What the kernel took as one before it refused another stays taken.
#[test]
fn trains_on_their_way_may_arrive() {
    let mut world = separate(Mistake::None);
    let (socket, fd) = datagram(&mut world);
    let sends = [0, 1].map(|_| train(&mut world, socket, &[3000], Extra::train(1000)));
    go(&mut world);
    world.kernel.answer(fd, -EIO, false);
    learn(&mut world);
    take(&mut world, fd);
    assert_eq!(sends.map(|send| world.core.send_record(send).left), [3000, 0]);
    world.finish();
    assert_eq!((world.seen.trains, world.seen.segments), (2, 3));
}

/// A segment that fails is tried again, and no other. The rest may be copies.
#[test]
fn a_segment_that_fails_goes_again() {
    let (mut world, socket, fd) = unsegmented();
    let send = train(&mut world, socket, &[2500], Extra::train(1000));
    take(&mut world, fd);
    go(&mut world);
    let asked = world.kernel.oldest(fd).parts.clone();
    world.kernel.answer(fd, -ENOBUFS, false);
    learn(&mut world);
    world.copy(send);
    go(&mut world);
    assert_eq!((&world.kernel.oldest(fd).parts, world.kernel.oldest(fd).zero_copy()), (&asked, false));
    world.finish();
    let counters = world.core.counters();
    assert_eq!((counters.bytes_accepted, counters.bytes_zero_copy, counters.notifications), (2500, 1000, 1));
}

/// Half of a train is out when somebody takes it back: the leases follow when the kernel lets go of that half.
#[test]
fn half_a_train_is_cancelled() {
    let (mut world, socket, fd) = unsegmented();
    let send = train(&mut world, socket, &[1000, 1000], Extra::train(900));
    take(&mut world, fd);
    take(&mut world, fd);
    world.cancel(send);
    assert_eq!((world.seen.trains_cut, world.core.leases.in_flight().0), (1, 2));
    world.kernel.notify_oldest(false);
    learn(&mut world);
    assert_eq!(world.core.leases.in_flight().0, 2);
    world.kernel.notify_oldest(false);
    world.reap();
    assert_eq!(events(&world), [Event { kind: RELEASED, send, generation: 1, value: 0 }]);
    world.finish();
    assert_eq!((world.core.counters().failed, world.core.counters().bytes_accepted), (1, 1800));
}

/// Whoever gave a train up is told between two segments. The last segment makes it whole.
#[test]
fn a_train_that_was_given_up_stops_at_a_segment() {
    for (segments, expected) in [(3, (FAILED, ECANCELED as u32)), (1, (ACCEPTED, 1000))] {
        let (mut world, socket, fd) = unsegmented();
        let send = train(&mut world, socket, &[1000 * segments], Extra::train(1000));
        go(&mut world);
        world.abandon(send);
        world.kernel.answer(fd, 1000, true);
        world.reap();
        let (kind, value) = expected;
        assert_eq!(events(&world), [Event { kind, send, generation: 1, value }]);
        world.finish();
    }
}

/// A datagram that was given up fails by itself, for a reason that would have it tried again: it is not.
#[test]
fn a_datagram_that_was_given_up_is_not_tried_again() {
    for (errno, more) in [(EIO, false), (EIO, true), (EAGAIN, false)] {
        let mut world = separate(Mistake::None);
        let (socket, fd) = datagram(&mut world);
        let send = train(&mut world, socket, &[3000], Extra::train(1000));
        go(&mut world);
        world.abandon(send);
        world.kernel.answer(fd, -errno, more);
        world.reap();
        if more {
            world.kernel.notify_oldest(false);
            world.reap();
        }
        assert_eq!(events(&world), [Event { kind: FAILED, send, generation: 1, value: ECANCELED as u32 }]);
        world.cancel(send);
        world.finish();
        assert_eq!((world.core.counters().failed, world.seen.trains_refused), (1, 0));
    }
}

/// What trains have in flight comes back only when all of them are out, so nobody who waits for that may come before them.
#[test]
fn a_train_that_has_begun_does_not_wait_for_the_limit() {
    let mut world = separate(Mistake::None);
    let socket = world.new_socket(true, 1500, 0);
    let fd = world.model.socket(socket).fd;
    world.unsegment(socket);
    let first = train(&mut world, socket, &[2000], Extra::train(500));
    go(&mut world);
    let second = queue(&mut world, socket, 600);
    go(&mut world);
    // The segment is out, the other datagram is not: it has to wait, and behind the train.
    world.kernel.answer(fd, 500, true);
    world.reap();
    world.kernel.answer(fd, -ENOBUFS, false);
    world.kernel.notify_oldest(false);
    world.reap();
    let ready = Event { kind: READY, send: socket, generation: 1, value: 0 };
    assert_eq!(events(&world), [ready, Event { kind: FAILED, send: second, generation: 1, value: ENOBUFS as u32 }]);
    world.core.socket_limit(socket, 1, 1000).expect("a socket");
    world.model.socket(socket).limit = 1000;
    assert_eq!(world.fill(socket), (1, Reason::Limit));
    assert_eq!([first, second].map(|send| world.core.send_record(send).state), [SUBMITTED, QUEUED]);
    world.finish();
}

/// A train that cannot go as one waits in the queue, where its segments go from.
#[test]
fn segments_do_not_go_at_once() {
    let (mut world, socket, _) = unsegmented();
    let lease = world.take_lease(3000).expect("room in the arena");
    world.send_with(socket, ZERO_COPY | AT_ONCE, (lease, 0, 3000), Extra::train(1000)).expect("a free record");
    assert_eq!(world.seen.at_once, 0);
    world.finish();
    assert_eq!(world.seen.segments, 3);
}

/// Segments of many parts: iovecs run out before anything else does.
#[test]
fn staged_segments_run_out() {
    let mut world = World::new(Start::new(Sizes { sends: 300, leases: 1, ring: 512, ..SIZES }));
    let (socket, _) = datagram(&mut world);
    world.unsegment(socket);
    let lease = world.take_lease(1000).expect("room in the arena");
    world.retain_lease(lease);
    let parts: Vec<_> = (0..16).map(|i| (lease, 10 * i, 5 + i)).collect();
    for _ in 0..300 {
        world.send_many(socket, true, &parts, Extra::train(60_000)).expect("a free record");
    }
    assert_eq!(world.fill(socket), (256, Reason::Full));
    world.enter_all();
    world.check();
    world.finish();
}
