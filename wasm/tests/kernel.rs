//! The core in conversation with a simulated kernel: nothing is released early, nothing twice, and nothing is lost.
//!
//! The same conversation is then held by two cores that make the historic mistakes (an index that jumps from
//! 4294967295 to 1; a range walked by `<=`). They must lose buffers, or this test could not see that we do not.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use ringlet_core::events;
use ringlet_core::layout::Sizes;
use ringlet_core::ledger::Ledger;
use ringlet_core::send::SEGMENT_CONTROL_BYTES;
use ringlet_core::seq::{Counting, Kernel};
use ringlet_core::store::Store;
use std::collections::{HashMap, VecDeque};

/// `sendmsg_idx` of an SPDK before v25.05.
#[derive(Debug)]
struct JumpsToOne;

impl Counting for JumpsToOne {
    fn next(id: u32) -> u32 {
        if id == u32::MAX {
            1
        } else {
            id + 1
        }
    }

    fn walk(lo: u32, hi: u32, visit: impl FnMut(u32)) {
        Kernel::walk(lo, hi, visit);
    }
}

/// `for (i = lo; i <= hi; i++)`, in wider numbers so that it ends.
#[derive(Debug)]
struct WalksByOrder;

impl Counting for WalksByOrder {
    fn next(id: u32) -> u32 {
        Kernel::next(id)
    }

    fn walk(lo: u32, hi: u32, mut visit: impl FnMut(u32)) {
        let mut id = lo as u64;
        while id <= hi as u64 {
            visit(id as u32);
            id += 1;
        }
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A send of so many leases, accepted in so many parts; a train, in so many segments or one less.
    Send { leases: u32, parts: u32 },
    /// A failed call that takes an id, which the program knows.
    FailKnown,
    /// A failed call that takes an id, which the completion shows.
    FailSuspected,
    /// The kernel finishes so many ids, from the newest or the oldest, in one range.
    Finish { count: u32, newest: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u32..4, 1u32..4).prop_map(|(leases, parts)| Step::Send { leases, parts }),
        1 => Just(Step::FailKnown),
        1 => Just(Step::FailSuspected),
        4 => (1u32..9, any::<bool>()).prop_map(|(count, newest)| Step::Finish { count, newest }),
    ]
}

const WINDOW: u32 = 64;
const LEASE_BYTES: u32 = 64;

/// Ids as a kernel counts them, and what it holds.
struct Simulated<'a, C: Counting> {
    core: Ledger<'a, C>,
    socket: (u32, u32),
    /// It is a datagram socket whose trains go segment by segment.
    trains: bool,
    next: u32,
    /// Ids that are not completed, in runs without holes, oldest first; with the send that they stand for.
    held: VecDeque<(u32, Option<u32>)>,
    /// How many ids of a send are not completed.
    parts: HashMap<u32, u32>,
    accepted: u64,
    released: u64,
}

impl<C: Counting> Simulated<'_, C> {
    /// Ids from the oldest that is not completed on: no call is made while they fill the window.
    fn span(&self) -> u32 {
        self.held.front().map_or(0, |&(oldest, _)| self.next.wrapping_sub(oldest))
    }

    /// One send; every part of it takes an id.
    fn send(&mut self, leases: u32, parts: u32) -> Result<(), String> {
        let mut left = leases * LEASE_BYTES;
        let (mut parts, mut part, mut extra) = (parts.min(leases), LEASE_BYTES, 0);
        if self.trains {
            part = left.div_ceil(parts);
            parts = left.div_ceil(part);
            extra = (SEGMENT_CONTROL_BYTES as u32) << 8 | part << 16;
        }
        if self.span() + parts > WINDOW {
            return Ok(());
        }
        let (socket, generation) = self.socket;
        let say = |fault| format!("refused: {fault:?}");
        let send = self.core.send_new(socket, generation, 1, extra).map_err(say)?;
        let send_generation = self.core.send_record(send).generation;
        for _ in 0..leases {
            let lease = self.core.leases.take(LEASE_BYTES, 64).map_err(say)?;
            let lease_generation = self.core.leases.record(lease).generation;
            self.core.send_lease(send, send_generation, lease, lease_generation, 0, LEASE_BYTES).map_err(say)?;
        }
        self.core.send_queue(send, send_generation).map_err(say)?;
        self.parts.insert(send, parts);
        for i in 1..=parts {
            let bytes = if i == parts { left } else { part };
            left -= bytes;
            self.core.accept(send, send_generation, bytes, true).map_err(say)?;
            self.held.push_back((self.next, Some(send)));
            self.next = self.next.wrapping_add(1);
        }
        Ok(())
    }

    /// A call that fails and takes an id all the same.
    fn fail(&mut self, known: bool) -> Result<(), String> {
        let (socket, generation) = self.socket;
        if self.span() == WINDOW {
            return Ok(());
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        if known {
            self.core.take_id(socket, generation).map_err(|fault| format!("refused: {fault:?}"))?;
            self.held.push_back((id, None));
            return Ok(());
        }
        // The kernel queues that completion at once, merged with what it has just finished before it.
        let suspect = |core: &mut Ledger<C>, on| core.suspect(socket, generation, on).expect("a socket");
        suspect(&mut self.core, true);
        let result = match self.held.back().copied() {
            Some((last, owner)) if last == id.wrapping_sub(1) => {
                self.held.pop_back();
                self.finished(owner);
                self.complete(last, id)
            }
            _ => self.complete(id, id),
        };
        suspect(&mut self.core, false);
        result
    }

    /// Completes a run of ids in one range.
    fn finish(&mut self, count: u32, newest: bool) -> Result<(), String> {
        let mut range: Option<(u32, u32)> = None;
        for _ in 0..count {
            let at = if newest { self.held.back() } else { self.held.front() };
            let Some(&(id, owner)) = at else { break };
            range = match range {
                None => Some((id, id)),
                Some((lo, hi)) if newest && id == lo.wrapping_sub(1) => Some((id, hi)),
                Some((lo, hi)) if !newest && id == hi.wrapping_add(1) => Some((lo, id)),
                Some(_) => break,
            };
            if newest {
                self.held.pop_back();
            } else {
                self.held.pop_front();
            }
            self.finished(owner);
        }
        match range {
            None => Ok(()),
            Some((lo, hi)) => self.complete(lo, hi),
        }
    }

    fn finished(&mut self, owner: Option<u32>) {
        if let Some(parts) = owner.and_then(|send| self.parts.get_mut(&send)) {
            *parts -= 1;
        }
    }

    fn complete(&mut self, lo: u32, hi: u32) -> Result<(), String> {
        let (socket, generation) = self.socket;
        let found = self.core.complete(socket, generation, lo, hi, false).expect("a socket");
        let ids = hi.wrapping_sub(lo).wrapping_add(1);
        if found.resolved != ids {
            return Err(format!("[{lo}, {hi}]: {found:?}"));
        }
        Ok(())
    }

    /// Takes events: a release is early if the kernel still holds a part.
    fn events(&mut self) -> Result<(), String> {
        while self.core.events.count() > 0 {
            let event = self.core.events.peek(0);
            if event.kind == events::ACCEPTED {
                self.accepted += 1;
            } else {
                self.released += 1;
                match self.parts.remove(&event.send) {
                    Some(0) => {}
                    left => return Err(format!("send {} released early: {left:?}", event.send)),
                }
            }
            self.core.events_take(1).expect("an event");
        }
        Ok(())
    }
}

/// Holds a conversation, after which nothing may be out. A strict one ends at the first thing that goes wrong; the
/// other goes on, as a program with the mistake would, and only asks what was lost.
fn converse<C: Counting>((first_id, trains): (u32, bool), steps: &[Step], strict: bool) -> Result<(), String> {
    let sizes = Sizes { arena: 1 << 16, leases: 256, sends: 128, sockets: 1, window: WINDOW, ring: 0 };
    let mut store = Store::new(sizes);
    let mut core = store.ledger::<C>(0);
    // A datagram is taken whole; parts need a stream, or trains.
    let socket = core.socket_new(trains as u32, u32::MAX, 0).expect("a socket");
    core.socket_unsegmented(socket.0, socket.1).expect("a socket");
    core.socket_set_next(socket.0, socket.1, first_id).expect("an idle socket");
    let mut kernel = Simulated {
        core,
        socket,
        trains,
        next: first_id,
        held: VecDeque::new(),
        parts: HashMap::new(),
        accepted: 0,
        released: 0,
    };
    for step in steps.iter().chain([&Step::Finish { count: WINDOW, newest: false }]) {
        let result = match *step {
            Step::Send { leases, parts } => kernel.send(leases, parts),
            Step::FailKnown => kernel.fail(true),
            Step::FailSuspected => kernel.fail(false),
            Step::Finish { count, newest } => kernel.finish(count, newest),
        };
        let result = result.and_then(|()| kernel.events());
        if strict {
            result?;
        }
    }
    while !kernel.held.is_empty() {
        let result = kernel.finish(WINDOW, false).and_then(|()| kernel.events());
        if strict {
            result?;
        }
    }
    let (loans, _) = kernel.core.leases.in_flight();
    let counters = kernel.core.counters();
    assert_eq!(counters.lent, counters.released + loans as u64, "even a core that loses buffers counts them");
    if loans != 0 {
        return Err(format!("lost {loans} buffers of {}", counters.lent));
    }
    if strict && (kernel.accepted != kernel.released || kernel.core.leases.out() != 0) {
        return Err(format!("{} accepted, {} released", kernel.accepted, kernel.released));
    }
    Ok(())
}

fn conversations() -> impl Strategy<Value = ((u32, bool), Vec<Step>)> {
    (((0u32..60).prop_map(|back| 0u32.wrapping_sub(back)), any::<bool>()), vec(step(), 1..200))
}

#[test]
fn nothing_is_lost() {
    let mut runner = TestRunner::new(Config { cases: 2_000, ..Config::default() });
    runner
        .run(&conversations(), |(start, steps)| converse::<Kernel>(start, &steps, true).map_err(TestCaseError::fail))
        .unwrap_or_else(|error| panic!("{error}"));
}

/// The same test over a core with a mistake must fail, and the buffers it loses must be seen.
fn loses_buffers<C: Counting + std::fmt::Debug>() {
    let mut runner = TestRunner::new(Config { cases: 2_000, failure_persistence: None, ..Config::default() });
    let result =
        runner.run(&conversations(), |(start, steps)| converse::<C>(start, &steps, false).map_err(TestCaseError::fail));
    match result {
        Err(TestError::Fail(reason, ((first_id, _), steps))) => {
            println!("from id {first_id}, {} steps: {reason}", steps.len());
            assert!(reason.message().starts_with("lost "), "{reason}");
        }
        other => panic!("the control was not caught: {other:?}"),
    }
}

#[test]
fn control_jumping_from_the_largest_id_to_one_loses_buffers() {
    loses_buffers::<JumpsToOne>();
}

#[test]
fn control_walking_ranges_by_order_loses_buffers() {
    loses_buffers::<WalksByOrder>();
}

/// The smallest case of each, spelled out.
#[test]
fn one_wrap() {
    let steps = [Step::Send { leases: 1, parts: 1 }, Step::Send { leases: 1, parts: 1 }];
    let start = (u32::MAX, false);
    assert_eq!(converse::<Kernel>(start, &steps, true), Ok(()));
    assert_eq!(converse::<JumpsToOne>(start, &steps, false), Err("lost 1 buffers of 2".into()));
    assert_eq!(converse::<WalksByOrder>(start, &steps, false), Err("lost 2 buffers of 2".into()));
}

/// The same in the middle of a train.
#[test]
fn one_wrap_between_two_segments() {
    let steps = [Step::Send { leases: 2, parts: 2 }];
    let start = (u32::MAX, true);
    assert_eq!(converse::<Kernel>(start, &steps, true), Ok(()));
    assert_eq!(converse::<JumpsToOne>(start, &steps, false), Err("lost 2 buffers of 2".into()));
    assert_eq!(converse::<WalksByOrder>(start, &steps, false), Err("lost 2 buffers of 2".into()));
}
