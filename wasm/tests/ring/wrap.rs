//! The counts of the rings go through 2^32 without anybody noticing.

use crate::machine::{Start, World};
use ringlet_core::layout::Sizes;
use ringlet_core::ring::{Completion, Entry};

const SIZES: Sizes = Sizes { arena: 65_536, leases: 1, sends: 1, sockets: 1, window: 1, ring: 4 };

fn entry(user_data: u64) -> Entry {
    Entry { user_data, ..Entry::default() }
}

#[test]
fn entries_wrap() {
    for spread in [4, 64] {
        let mut world = World::new(Start { first: (u32::MAX - 9, 0), spread, ..Start::new(SIZES) });
        let (kernel, ring) = (&mut world.kernel.rings, world.core.ring.as_mut().expect("a ring"));
        let mut next = 0;
        for round in 0..20 {
            let n = round % 5;
            assert_eq!((ring.pending(), ring.room()), (0, 4));
            (0..n).for_each(|i| ring.push(entry(next + i)));
            assert_eq!((ring.pending() as u64, ring.room() as u64), (n, 4 - n));
            assert_eq!(kernel.next(), None, "not published yet");
            assert_eq!(ring.publish() as u64, n);
            for i in 0..n {
                assert_eq!(kernel.next(), Some(entry(next + i)));
                assert_eq!(ring.pending() as u64, n - i - 1);
            }
            assert_eq!(kernel.next(), None);
            next += n;
        }
    }
}

#[test]
fn an_entry_too_many_is_for_the_caller_to_prevent() {
    let mut world = World::new(Start { first: (u32::MAX - 1, 0), ..Start::new(SIZES) });
    let (kernel, ring) = (&mut world.kernel.rings, world.core.ring.as_mut().expect("a ring"));
    (0..4).for_each(|i| ring.push(entry(i)));
    assert_eq!(ring.room(), 0);
    ring.publish();
    assert_eq!(kernel.next(), Some(entry(0)));
    assert_eq!(ring.room(), 1);
    ring.push(entry(4));
    ring.publish();
    let rest: Vec<_> = std::iter::from_fn(|| kernel.next()).map(|entry| entry.user_data).collect();
    assert_eq!(rest, [1, 2, 3, 4]);
}

#[test]
fn completions_wrap() {
    for spread in [4, 64] {
        let mut world = World::new(Start { first: (0, u32::MAX - 20), spread, ..Start::new(SIZES) });
        let (kernel, ring) = (&mut world.kernel.rings, world.core.ring.as_mut().expect("a ring"));
        let mut next = 0u64;
        for round in 0..20 {
            assert_eq!(ring.ready(), 0);
            // More than the 16 places, now and then.
            let n = round % 20;
            (0..n).for_each(|i| kernel.post(Completion { user_data: next + i, result: -1, flags: round as u32 }));
            let mut taken = 0;
            while taken < n {
                for left in (0..ring.ready()).rev() {
                    assert_eq!(ring.take(), Completion { user_data: next, result: -1, flags: round as u32 });
                    assert_eq!(ring.ready(), left, "it is taken once");
                    (next, taken) = (next + 1, taken + 1);
                }
                assert!(taken == n || ring.flags() != 0, "the rest waits");
                assert!(kernel.readable(), "the places are the kernel's only when they are given back");
                ring.release();
                kernel.flush();
            }
            assert!(kernel.idle());
            assert_eq!(ring.flags(), 0);
        }
    }
}
