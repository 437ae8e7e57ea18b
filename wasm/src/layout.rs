//! Where everything is in the core's memory. Computed in one place.

use crate::batch::MESSAGES;
use crate::carve::{blocks_needed, Block, Index, PAGE};
use crate::counters::Counters;
use crate::events::Event;
use crate::lease::Lease;
use crate::operation::Operation;
use crate::ring::{ring_bytes, Entry};
use crate::send::{Iovec, Mmsghdr, Send};
use crate::socket::Socket;
use crate::submit::IOVECS;

/// Sizes of the tables.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of the arena.
    pub arena: u32,
    /// Leases at once.
    pub leases: u32,
    /// Sends at once.
    pub sends: u32,
    /// Sockets at once.
    pub sockets: u32,
    /// Ids per socket.
    pub window: u32,
    /// Entries of the submission ring; 0 for no ring.
    pub ring: u32,
}

/// Words of the OUT region.
pub const OUT_WORDS: u32 = 16;
/// Bytes of the scratch region.
pub const SCRATCH: u64 = 65_536;
/// Tables start at multiples of this.
const ALIGN: u64 = 4096;

/// Byte addresses of the regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Totals.
    pub counters: u32,
    /// The event ring.
    pub events: u32,
    /// That of reaped sends.
    pub reaped: u32,
    /// Lease records.
    pub leases: u32,
    /// Send records.
    pub sends: u32,
    /// Socket records.
    pub sockets: u32,
    /// Messages of one batch.
    pub batch: u32,
    /// Room for the caller.
    pub scratch: u32,
    /// Block records.
    pub blocks: u32,
    /// The index of free blocks.
    pub index: u32,
    /// Id windows.
    pub windows: u32,
    /// The rings, as the kernel lays them out.
    pub rings: u32,
    /// Submission entries.
    pub entries: u32,
    /// Operation records.
    pub operations: u32,
    /// Staged iovecs.
    pub staging: u32,
    /// Bytes of memory in all, a multiple of 64 KiB; as u64, for 4 GiB is possible.
    pub end: u64,
}

impl Sizes {
    /// Whether every size is one that the core can work with.
    pub fn valid(&self) -> bool {
        let table = |n: u32| (1..=1 << 24).contains(&n);
        self.arena >= PAGE
            && self.arena % PAGE == 0
            && table(self.leases)
            && table(self.sends)
            && table(self.sockets)
            && self.window.is_power_of_two()
            && self.window <= 1 << 20
            && (self.ring == 0 || self.ring.is_power_of_two() && self.ring <= 1 << 15)
    }

    /// Block records.
    pub fn blocks(&self) -> u64 {
        blocks_needed(self.arena, self.leases)
    }

    /// Completions that the ring has room for.
    pub fn completions(&self) -> u32 {
        4 * self.ring
    }

    /// Bytes of the rings without the entries.
    pub fn ring_bytes(&self) -> u64 {
        if self.ring == 0 {
            return 0;
        }
        ring_bytes(self.ring, self.completions()).next_multiple_of(ALIGN)
    }

    /// Operations of the ring: one for every send, a receive and an accept or a poll for every socket.
    pub fn operations(&self) -> u32 {
        if self.ring == 0 {
            return 0;
        }
        self.sends + 2 * self.sockets + 16
    }

    /// Events.
    pub fn events(&self) -> u64 {
        let (sends, sockets) = (self.sends as u64, self.sockets as u64);
        if self.ring == 0 {
            return 2 * sends;
        }
        3 * sends + 2 * sockets + 2 * self.operations() as u64
    }

    /// Events of reaped sends: none is taken while there are as many events as records, and each brings two at most.
    pub fn reaped(&self) -> u64 {
        3 * self.sends as u64 + 1
    }

    /// Iovecs to stage.
    pub fn staging(&self) -> u32 {
        IOVECS
    }

    /// Lays the tables out from `start` on; `None` if a size is bad or they do not fit in 4 GiB.
    pub fn layout(&self, start: u32) -> Option<Layout> {
        if !self.valid() {
            return None;
        }
        let mut end = start as u64;
        let mut region = |bytes: u64| {
            let at = end.div_ceil(ALIGN) * ALIGN;
            end = at + bytes;
            at as u32
        };
        let sends = self.sends as u64;
        let sockets = self.sockets as u64;
        let layout = Layout {
            counters: region(size_of::<Counters>() as u64),
            events: region(self.events() * size_of::<Event>() as u64),
            reaped: region(self.reaped() * size_of::<Event>() as u64),
            leases: region(self.leases as u64 * size_of::<Lease>() as u64),
            sends: region(sends * size_of::<Send>() as u64),
            sockets: region(sockets * size_of::<Socket>() as u64),
            batch: region(MESSAGES as u64 * size_of::<Mmsghdr>() as u64),
            scratch: region(SCRATCH),
            blocks: region(self.blocks() * size_of::<Block>() as u64),
            index: region(size_of::<Index>() as u64),
            windows: region(sockets * self.window as u64 * 4),
            rings: region(self.ring_bytes()),
            entries: region(self.ring as u64 * size_of::<Entry>() as u64),
            operations: region(self.operations() as u64 * size_of::<Operation>() as u64),
            staging: region(self.staging() as u64 * size_of::<Iovec>() as u64),
            end: 0,
        };
        let end = end.div_ceil(PAGE as u64) * PAGE as u64;
        // Every address above was below `end`, so none was cut short if this holds. The last page stays out:
        // its end would not fit an address.
        (end < 1 << 32).then_some(Layout { end, ..layout })
    }
}

const _: () = {
    assert!(size_of::<Lease>() == 32);
    assert!(size_of::<Block>() == 32);
    assert!(size_of::<Event>() == 16);
    assert!(size_of::<Socket>() == 192);
    assert!(size_of::<Operation>() == 32);
    assert!(size_of::<Counters>() == 136);
};
