//! What other programs do with completions, done to the core on their way to it. Somebody must notice, or these tests
//! could not see that the core does not.

use crate::machine::records::Extra;
use crate::machine::request::{Mistake, Mood, EAGAIN, ECANCELED, ENOMEM};
use crate::machine::{Start, ARENA_BASE};
use crate::spelled_out::{datagram, go, learn, queue, separate, stream, train};
use crate::{run, start, steps};
use proptest::test_runner::{Config, TestError, TestRunner};
use ringlet_core::Fault;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// What a panic says.
fn complaint(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the control was not caught");
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).expect("a message")
}

/// A send that a failed link cancelled is notified of late, when its operation belongs to another send.
fn late_notification(mistake: Mistake) {
    let mut world = separate(mistake);
    let (socket, fd) = stream(&mut world);
    queue(&mut world, socket, 1000);
    queue(&mut world, socket, 1000);
    go(&mut world);
    world.kernel.answer(fd, -EAGAIN, false);
    world.kernel.answer(fd, -ECANCELED, false);
    learn(&mut world);
    go(&mut world);
    world.kernel.answer(fd, 1000, true);
    world.reap();
    world.kernel.notify_oldest(true);
    learn(&mut world);
    world.check();
    assert_eq!(world.core.late, 1);
    world.finish();
}

#[test]
fn a_late_notification_changes_nothing() {
    late_notification(Mistake::None);
}

#[test]
fn control_a_late_notification_without_its_generation_releases_early() {
    assert_eq!(complaint(|| late_notification(Mistake::IgnoresGenerations)), "released early");
}

/// A send is released by its notification.
fn release(mistake: Mistake) {
    let mut world = separate(mistake);
    let (socket, fd) = stream(&mut world);
    queue(&mut world, socket, 1000);
    go(&mut world);
    world.kernel.answer(fd, 1000, true);
    learn(&mut world);
    assert_eq!(world.core.leases.in_flight(), (1, 1000));
    world.finish();
}

#[test]
fn the_notification_releases() {
    release(Mistake::None);
}

#[test]
fn control_releasing_with_the_result_is_early() {
    assert_eq!(complaint(|| release(Mistake::ReleasesWithTheResult)), "released early");
}

/// A send fails, and its notification is still to come: whether the program gets memory back that the kernel holds.
fn gives_back_early(mistake: Mistake) -> bool {
    let mut world = separate(mistake);
    let (socket, fd) = stream(&mut world);
    let send = queue(&mut world, socket, 1000);
    go(&mut world);
    world.kernel.answer(fd, -ENOMEM, true);
    world.core.ring_reap().expect("a ring");
    let back = world.core.send_cancel(send, 1, 0);
    assert!(world.kernel.holds(ARENA_BASE, ARENA_BASE + 1000));
    match back {
        Ok(withdrawn) => withdrawn.whole,
        Err(fault) => {
            assert_eq!(fault, Fault::Busy);
            false
        }
    }
}

#[test]
fn a_failed_send_waits_for_its_notification() {
    assert!(!gives_back_early(Mistake::None));
}

#[test]
fn control_deciding_by_the_result_gives_back_early() {
    assert!(gives_back_early(Mistake::DecidesByResult));
}

/// The kernel has memory for the first link of a chain, and then for the others.
fn cut(mistake: Mistake) {
    let mut world = separate(mistake);
    let (socket, _) = stream(&mut world);
    queue(&mut world, socket, 1000);
    queue(&mut world, socket, 1000);
    world.fill_wanted();
    world.enter_some(1);
    world.enter_all();
    world.finish();
}

#[test]
fn the_rest_of_a_cut_chain_does_not_run() {
    cut(Mistake::None);
}

#[test]
fn control_the_rest_of_a_chain_that_nobody_cuts_runs() {
    assert_eq!(complaint(|| cut(Mistake::NeverCuts)), "two chains of one stream");
}

/// A train goes segment by segment: its lease comes back when all of it went.
fn advance(mistake: Mistake) {
    let mut world = separate(mistake);
    let (socket, fd) = datagram(&mut world);
    world.unsegment(socket);
    train(&mut world, socket, &[3000], Extra::train(1000));
    for _ in 0..3 {
        go(&mut world);
        world.kernel.answer(fd, 1000, true);
        world.reap();
        world.kernel.notify_oldest(false);
        learn(&mut world);
    }
    assert_eq!(world.core.leases.in_flight(), (0, 0));
    world.finish();
}

#[test]
fn a_train_comes_back_when_all_of_it_went() {
    advance(Mistake::None);
}

#[test]
fn control_advancing_by_a_train_instead_of_a_segment_releases_early() {
    let complaint = complaint(|| advance(Mistake::AdvancesByTrains));
    assert!(complaint.contains("an event that nobody expects"), "{complaint}");
}

/// The random steps, with a mistake, must fail.
fn is_noticed(mistake: Mistake) {
    let mut runner =
        TestRunner::new(Config { cases: 2000, failure_persistence: None, max_shrink_iters: 500, ..Config::default() });
    let result = runner.run(&(start(), steps()), |(start, steps)| {
        run(Start { mistake, mood: Mood::Mixed, ..start }, &steps);
        Ok(())
    });
    match result {
        Err(TestError::Fail(reason, (_, steps))) => println!("{} steps: {reason}", steps.len()),
        other => panic!("the control was not caught: {other:?}"),
    }
}

#[test]
fn control_ignoring_generations_is_noticed() {
    is_noticed(Mistake::IgnoresGenerations);
}

#[test]
fn control_deciding_by_the_result_is_noticed() {
    is_noticed(Mistake::DecidesByResult);
}

#[test]
fn control_releasing_with_the_result_is_noticed() {
    is_noticed(Mistake::ReleasesWithTheResult);
}

#[test]
fn control_advancing_by_trains_is_noticed() {
    is_noticed(Mistake::AdvancesByTrains);
}

#[test]
fn control_never_cutting_is_noticed() {
    is_noticed(Mistake::NeverCuts);
}
