//! Where everything is in the core's memory. Computed in one place.

use crate::batch::MESSAGES;
use crate::carve::{blocks_needed, Block, Index, PAGE};
use crate::counters::Counters;
use crate::events::Event;
use crate::lease::Lease;
use crate::send::{Mmsghdr, Send};
use crate::socket::Socket;

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
    }

    /// Block records.
    pub fn blocks(&self) -> u64 {
        blocks_needed(self.arena, self.leases)
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
            events: region(2 * sends * size_of::<Event>() as u64),
            leases: region(self.leases as u64 * size_of::<Lease>() as u64),
            sends: region(sends * size_of::<Send>() as u64),
            sockets: region(sockets * size_of::<Socket>() as u64),
            batch: region(MESSAGES as u64 * size_of::<Mmsghdr>() as u64),
            scratch: region(SCRATCH),
            blocks: region(self.blocks() * size_of::<Block>() as u64),
            index: region(size_of::<Index>() as u64),
            windows: region(sockets * self.window as u64 * 4),
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
    assert!(size_of::<Socket>() == 128);
    assert!(size_of::<Counters>() == 128);
};
