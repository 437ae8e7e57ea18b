//! What happened to sends: a ring that JavaScript reads in place.

use crate::table::Table;
use crate::Fault;

/// The kernel took the last byte; `value` is how many there were.
pub const ACCEPTED: u32 = 1;
/// The kernel let go of the memory; `value` is 1 if any part was copied.
pub const RELEASED: u32 = 2;
/// The kernel refused a send, which is in its queue again; `value` is the errno.
pub const FAILED: u32 = 3;
/// A socket (in the place of the send) can take more from its queue.
pub const READY: u32 = 4;
/// An operation (in the place of the send) is done; `value` is its result.
pub const CALLED: u32 = 5;
/// The same, and more will come of the operation.
pub const CALLED_MORE: u32 = 6;
/// A reaped send left its queue with nothing accepted, and its leases are as before; `value` is the errno.
pub const REFUSED: u32 = 7;
/// A reaped send left its queue with a part accepted, and its release follows; `value` is the errno.
pub const CUT: u32 = 8;

/// One event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// What happened.
    pub kind: u32,
    /// To which send, socket or operation.
    pub send: u32,
    /// Its generation.
    pub generation: u32,
    /// See the kinds.
    pub value: u32,
}

/// The ring. It cannot overflow: a send is accepted once and released once, and its record is reused only after the
/// release was taken. With an io_uring there is more to tell, without end if nobody looks: no completion is taken
/// without room for what it may bring ([`Events::has_room_beyond`]).
#[derive(Debug)]
pub struct Events<'a> {
    ring: Table<'a, Event>,
    first: u32,
    count: u32,
}

impl<'a> Events<'a> {
    /// An empty ring.
    pub fn new(ring: &'a mut [Event]) -> Self {
        Events { ring: Table(ring), first: 0, count: 0 }
    }

    /// Appends an event.
    #[inline]
    pub fn push(&mut self, event: Event) {
        let mut at = self.first + self.count;
        if at >= self.ring.len() {
            at -= self.ring.len();
        }
        self.ring[at] = event;
        self.count += 1;
    }

    /// How many events can be read in one piece, and the index of the first.
    #[inline]
    pub fn ready(&self) -> (u32, u32) {
        (self.count.min(self.ring.len() - self.first), self.first)
    }

    /// How many events there are.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether `reserved` more events leave a place free.
    #[inline]
    pub fn has_room_beyond(&self, reserved: u32) -> bool {
        self.count + reserved < self.ring.len()
    }

    /// Event `i` from the oldest.
    #[inline]
    pub fn peek(&self, i: u32) -> Event {
        let mut at = self.first + i;
        if at >= self.ring.len() {
            at -= self.ring.len();
        }
        self.ring[at]
    }

    /// Drops the `n` oldest events.
    #[inline]
    pub fn skip(&mut self, n: u32) -> Result<(), Fault> {
        if n > self.count {
            return Err(Fault::Range);
        }
        self.count -= n;
        self.first += n;
        if self.count == 0 {
            self.first = 0; // the places used last are in the cache
        } else if self.first >= self.ring.len() {
            self.first -= self.ring.len();
        }
        Ok(())
    }
}
