//! Serial arithmetic on free-running 32-bit ids, as the kernel counts them: 4294967295 is followed by 0.

use core::cmp::Ordering;

/// The id after `a`.
#[inline]
pub const fn next(a: u32) -> u32 {
    a.wrapping_add(1)
}

/// How many steps lead from `from` to `to`.
#[inline]
pub const fn distance(from: u32, to: u32) -> u32 {
    to.wrapping_sub(from)
}

/// Whether `x` lies in the inclusive range `[lo, hi]`, which may wrap. With `lo == next(hi)` it holds every id.
#[inline]
pub const fn contains(lo: u32, hi: u32, x: u32) -> bool {
    distance(lo, x) <= distance(lo, hi)
}

/// How many ids the inclusive range `[lo, hi]` has; 0 stands for all 2^32.
#[inline]
pub const fn len(lo: u32, hi: u32) -> u32 {
    distance(lo, hi).wrapping_add(1)
}

/// Comparison as in RFC 1982; `None` where it leaves the order undefined (exactly half the circle apart).
#[inline]
pub const fn compare(a: u32, b: u32) -> Option<Ordering> {
    match distance(a, b) {
        0 => Some(Ordering::Equal),
        0x8000_0000 => None,
        1..=0x7fff_ffff => Some(Ordering::Less),
        _ => Some(Ordering::Greater),
    }
}

/// How ids are counted and ranges walked. A parameter of the ledger only so that tests can put the mistakes of other
/// systems in its place and watch them lose buffers.
pub trait Counting {
    /// The id after `id`.
    fn next(id: u32) -> u32;
    /// Visits every id of the inclusive range `[lo, hi]`.
    fn walk(lo: u32, hi: u32, visit: impl FnMut(u32));
}

/// As the kernel counts.
#[derive(Clone, Copy, Debug)]
pub struct Kernel;

impl Counting for Kernel {
    #[inline]
    fn next(id: u32) -> u32 {
        next(id)
    }

    /// By equality: `id <= hi` never ends, or never starts, where a range wraps.
    #[inline]
    fn walk(lo: u32, hi: u32, mut visit: impl FnMut(u32)) {
        let mut id = lo;
        loop {
            visit(id);
            if id == hi {
                return;
            }
            id = next(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_as_the_kernel_does() {
        assert_eq!(next(u32::MAX), 0);
        assert_eq!(distance(4_294_967_293, 4), 7);
        assert_eq!(len(4_294_967_293, 4), 8);
        assert_eq!(len(5, 4), 0);
        assert!(contains(4_294_967_293, 4, 0));
        assert!(!contains(4_294_967_293, 4, 5));
        assert!(contains(5, 4, 4) && contains(5, 4, 5) && contains(5, 4, 77));
    }

    #[test]
    fn compares_as_rfc_1982() {
        assert_eq!(compare(0, 1), Some(Ordering::Less));
        assert_eq!(compare(u32::MAX, 0), Some(Ordering::Less));
        assert_eq!(compare(0, u32::MAX), Some(Ordering::Greater));
        assert_eq!(compare(7, 7), Some(Ordering::Equal));
        assert_eq!(compare(0, 0x8000_0000), None);
        assert_eq!(compare(0x8000_0000, 0), None);
    }
}
