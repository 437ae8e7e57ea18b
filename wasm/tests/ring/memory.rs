//! The core's memory as it is on WebAssembly: every table in one stretch, where [`Sizes::layout`] says.

use ringlet_core::layout::{Layout, Sizes};
use ringlet_core::lease::Leases;
use ringlet_core::ledger::{Ledger, Parts};
use ringlet_core::ring::{Entry, Ring};
use ringlet_core::seq::Kernel;
use std::alloc;

use super::rings::Rings;

/// Nothing is at address 0.
const START: u32 = 4096;
/// Rings start at a page.
const PAGE: usize = 4096;

pub struct Memory {
    at: *mut u8,
    layout: alloc::Layout,
    pub regions: Layout,
    sizes: Sizes,
}

impl Memory {
    pub fn new(sizes: Sizes) -> Self {
        let regions = sizes.layout(START).expect("sizes that fit");
        let layout = alloc::Layout::from_size_align(regions.end as usize, PAGE).expect("a layout");
        // SAFETY: it has a size.
        let at = unsafe { alloc::alloc_zeroed(layout) };
        assert!(!at.is_null(), "no memory");
        Memory { at, layout, regions, sizes }
    }

    /// Its machine address.
    pub fn base(&self) -> u64 {
        self.at as u64
    }

    /// A copy of what the kernel would read at a machine address.
    pub fn read<T: Copy>(&self, address: u64) -> T {
        let inside = self.base()..=self.base() + self.layout.size() as u64 - size_of::<T>() as u64;
        assert!(inside.contains(&address), "{address:#x} is outside the core's memory");
        assert_eq!(address % align_of::<T>() as u64, 0, "{address:#x} is not aligned");
        // SAFETY: inside and aligned, as was just checked; `T` is one of the kernel's structures of plain integers.
        unsafe { (address as *const T).read_volatile() }
    }

    /// # Safety
    ///
    /// Each table is asked for once, with its own type and size, and used no longer than this object lives.
    unsafe fn table<T>(&self, at: u32, n: u64) -> &'static mut [T] {
        // SAFETY: the layout gives every table an aligned stretch of its own; zero is a valid state of every record.
        unsafe { std::slice::from_raw_parts_mut(self.at.add(at as usize).cast(), n as usize) }
    }

    /// A core over the tables, its rings started where `first` says, and the kernel's side of the rings.
    ///
    /// # Safety
    ///
    /// To be called once; the core may not outlive this object.
    pub unsafe fn start(&self, piece: u32, first: (u32, u32), spread: u32) -> (Ledger<'static, Kernel>, Rings) {
        let Memory { regions, sizes, .. } = self;
        // SAFETY: every table once, as the caller promises.
        unsafe {
            let index = &mut self.table(regions.index, 1)[0];
            let blocks = self.table(regions.blocks, sizes.blocks());
            let leases = self.table(regions.leases, sizes.leases as u64);
            let mut core = Ledger::new(Parts {
                leases: Leases::new(leases, blocks, index, sizes.arena, piece),
                sockets: self.table(regions.sockets, sizes.sockets as u64),
                sends: self.table(regions.sends, sizes.sends as u64),
                events: self.table(regions.events, sizes.events()),
                reaped: self.table(regions.reaped, sizes.reaped()),
                windows: self.table(regions.windows, sizes.sockets as u64 * sizes.window as u64),
                batch: self.table(regions.batch, ringlet_core::batch::MESSAGES as u64),
                operations: self.table(regions.operations, sizes.operations() as u64),
                staging: self.table(regions.staging, sizes.staging() as u64),
                window: sizes.window,
                sends_at: regions.sends,
                batch_at: regions.batch,
                staging_at: regions.staging,
            });
            let rings = self.at.add(regions.rings as usize);
            let entries: &mut [Entry] = self.table(regions.entries, sizes.ring as u64);
            let kernel = Rings::new(rings, entries.as_ptr(), sizes, first, spread);
            core.ring = Ring::new(rings, sizes.ring_bytes(), entries, kernel.params());
            assert!(core.ring.is_some(), "the core did not take over the rings");
            (core, kernel)
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { alloc::dealloc(self.at, self.layout) };
    }
}
