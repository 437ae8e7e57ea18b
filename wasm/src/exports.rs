//! The functions that WebAssembly exports: integers in, one integer out, further results in the OUT region.
//!
//! Nothing is decided here. Every function is called from one thread: an instance belongs to one.

use crate::counters::Counters;
use crate::layout::{Layout, Sizes};
use crate::lease::Leases;
use crate::ledger::{Ledger, Parts};
use crate::queue::Withdrawn;
use crate::ring::{Entry, Params, Ring};
use crate::submit::Registered;
use crate::{seq, table, Fault};
use core::cmp::Ordering;
use core::ptr::{addr_of, addr_of_mut};
use core::slice::from_raw_parts_mut;
use wasm_bindgen::prelude::wasm_bindgen;

/// The version of this crate as one number: major, minor, patch, two decimal digits each.
#[wasm_bindgen]
pub fn version() -> u32 {
    100
}

static mut CORE: Option<Ledger<'static>> = None;
/// The OUT region. At an address that is known when this is compiled, unlike the others: every call writes it.
#[repr(align(4096))]
struct Out([u32; crate::layout::OUT_WORDS as usize]);
static mut OUT: Out = Out([0; crate::layout::OUT_WORDS as usize]);
static mut SIZES: Sizes = Sizes { arena: 0, leases: 0, sends: 0, sockets: 0, window: 0, ring: 0 };
static mut LAYOUT: Layout = Layout {
    counters: 0,
    events: 0,
    reaped: 0,
    leases: 0,
    sends: 0,
    sockets: 0,
    batch: 0,
    scratch: 0,
    blocks: 0,
    index: 0,
    windows: 0,
    rings: 0,
    entries: 0,
    operations: 0,
    staging: 0,
    end: 0,
};

#[inline(always)]
fn core() -> &'static mut Ledger<'static> {
    // SAFETY: one thread, and no export calls another, so this is the only reference.
    match unsafe { &mut *addr_of_mut!(CORE) } {
        Some(core) => core,
        None => table::trap(),
    }
}

#[inline(always)]
fn layout() -> &'static mut Layout {
    // SAFETY: as for `core`.
    unsafe { &mut *addr_of_mut!(LAYOUT) }
}

/// Writes results beyond the first.
#[inline(always)]
fn out<const N: usize>(words: [u32; N]) {
    const { assert!(N <= crate::layout::OUT_WORDS as usize) };
    // SAFETY: as for `core`; the words are there.
    unsafe { *addr_of_mut!(OUT.0).cast::<[u32; N]>() = words };
}

#[inline(always)]
fn code(result: Result<i32, Fault>) -> i32 {
    match result {
        Ok(value) => value,
        Err(fault) => fault as i32,
    }
}

#[inline(always)]
fn done(result: Result<(), Fault>) -> i32 {
    code(result.map(|()| 0))
}

fn heap_base() -> u32 {
    extern "C" {
        static __heap_base: u8;
    }
    // Only the address is taken; the linker defines it.
    core::ptr::addr_of!(__heap_base) as u32
}

#[inline]
fn join(lo: u32, hi: u32) -> u64 {
    (hi as u64) << 32 | lo as u64
}

#[inline]
fn saturate(value: u64) -> u32 {
    value.min(u32::MAX as u64) as u32
}

// Start

#[no_mangle]
extern "C" fn core_bytes(arena: u32, leases: u32, sends: u32, sockets: u32, window: u32, ring: u32) -> u32 {
    let sizes = Sizes { arena, leases, sends, sockets, window, ring };
    sizes.layout(heap_base()).map_or(0, |layout| layout.end as u32)
}

#[no_mangle]
extern "C" fn core_init(arena: u32, piece: u32, leases: u32, sends: u32, sockets: u32, window: u32, ring: u32) -> i32 {
    let sizes = Sizes { arena, leases, sends, sockets, window, ring };
    let Some(found) = sizes.layout(heap_base()) else { return Fault::Range as i32 };
    let pages = core::arch::wasm32::memory_size(0) as u64;
    if piece % crate::carve::PAGE != 0 || pages * (crate::carve::PAGE as u64) < found.end {
        return Fault::Range as i32;
    }
    // SAFETY: one thread; see `core`.
    if unsafe { (*addr_of_mut!(CORE)).is_some() } {
        return Fault::Busy as i32;
    }
    *layout() = found;
    // SAFETY: as for `core`.
    unsafe { *addr_of_mut!(SIZES) = sizes };
    // SAFETY: the layout gives every table its own aligned stretch above the heap base and below the end of the
    // memory, which was checked; the memory is zero, a valid state of every record.
    unsafe {
        let leases = Leases::new(
            from_raw_parts_mut(found.leases as *mut _, leases as usize),
            from_raw_parts_mut(found.blocks as *mut _, sizes.blocks() as usize),
            &mut *(found.index as *mut _),
            arena,
            piece,
        );
        let ledger = Ledger::new(Parts {
            leases,
            sockets: from_raw_parts_mut(found.sockets as *mut _, sockets as usize),
            sends: from_raw_parts_mut(found.sends as *mut _, sends as usize),
            events: from_raw_parts_mut(found.events as *mut _, sizes.events() as usize),
            reaped: from_raw_parts_mut(found.reaped as *mut _, sizes.reaped() as usize),
            windows: from_raw_parts_mut(found.windows as *mut _, (sockets * window) as usize),
            batch: from_raw_parts_mut(found.batch as *mut _, crate::batch::MESSAGES as usize),
            operations: from_raw_parts_mut(found.operations as *mut _, sizes.operations() as usize),
            staging: from_raw_parts_mut(found.staging as *mut _, sizes.staging() as usize),
            window,
            sends_at: found.sends,
            batch_at: found.batch,
            staging_at: found.staging,
        });
        *addr_of_mut!(CORE) = Some(ledger);
    }
    0
}

#[no_mangle]
extern "C" fn core_bases(core_lo: u32, core_hi: u32, arena_lo: u32, arena_hi: u32) {
    core().set_bases(join(core_lo, core_hi), join(arena_lo, arena_hi));
}

#[no_mangle]
extern "C" fn region(i: u32) -> u32 {
    let layout = layout();
    match i {
        0 => addr_of!(OUT) as u32,
        1 => layout.counters,
        2 => layout.events,
        3 => layout.leases,
        4 => layout.sends,
        5 => layout.sockets,
        6 => layout.batch,
        7 => layout.scratch,
        8 => layout.end as u32,
        9 => layout.rings,
        10 => layout.entries,
        11 => addr_of!(core().sends_out) as u32,
        _ => 0,
    }
}

// Serial arithmetic

#[no_mangle]
extern "C" fn seq_next(a: u32) -> u32 {
    seq::next(a)
}

#[no_mangle]
extern "C" fn seq_distance(from: u32, to: u32) -> u32 {
    seq::distance(from, to)
}

#[no_mangle]
extern "C" fn seq_contains(lo: u32, hi: u32, x: u32) -> i32 {
    seq::contains(lo, hi, x) as i32
}

#[no_mangle]
extern "C" fn seq_len(lo: u32, hi: u32) -> u32 {
    seq::len(lo, hi)
}

#[no_mangle]
extern "C" fn seq_compare(a: u32, b: u32) -> i32 {
    match seq::compare(a, b) {
        Some(Ordering::Less) => -1,
        Some(Ordering::Equal) => 0,
        Some(Ordering::Greater) => 1,
        None => 2,
    }
}

// Leases

fn out_lease(slot: u32) -> i32 {
    let lease = core().leases.record(slot);
    out([lease.generation, lease.offset, lease.bytes]);
    slot as i32
}

#[no_mangle]
extern "C" fn lease_take(bytes: u32, align: u32) -> i32 {
    code(core().leases.take(bytes, align).map(out_lease))
}

#[no_mangle]
extern "C" fn lease_cut(slot: u32, generation: u32, at: u32) -> i32 {
    code(core().leases.cut(slot, generation, at).map(out_lease))
}

#[no_mangle]
extern "C" fn lease_retain(slot: u32, generation: u32) -> i32 {
    done(core().leases.retain(slot, generation))
}

#[no_mangle]
extern "C" fn lease_release(slot: u32, generation: u32) -> i32 {
    code(core().leases.release(slot, generation).map(i32::from))
}

#[no_mangle]
extern "C" fn lease_consume(slot: u32, generation: u32) -> i32 {
    code(core().leases.consume(slot, generation).map(i32::from))
}

#[no_mangle]
extern "C" fn lease_lend(slot: u32, generation: u32) -> i32 {
    done(core().leases.lend(slot, generation))
}

#[no_mangle]
extern "C" fn lease_unlend(slot: u32, generation: u32) -> i32 {
    code(core().leases.unlend(slot, generation).map(i32::from))
}

#[no_mangle]
extern "C" fn lease_state(slot: u32, generation: u32) -> i32 {
    done(core().leases.get(slot, generation).map(|lease| {
        out([lease.generation, lease.offset, lease.bytes, lease.holds, lease.implicit, lease.sends]);
    }))
}

#[no_mangle]
extern "C" fn arena_state() -> i32 {
    let leases = &core().leases;
    out([leases.carve.free_bytes(), leases.carve.largest_free(), leases.carve.used_blocks(), leases.out()]);
    0
}

#[no_mangle]
extern "C" fn in_flight() -> i32 {
    let (loans, bytes) = core().leases.in_flight();
    out([bytes as u32, (bytes >> 32) as u32]);
    loans as i32
}

// Sockets

#[no_mangle]
extern "C" fn socket_new(kind: u32, max_in_flight_bytes: u32, segment_bytes: u32) -> i32 {
    code(core().socket_new(kind, max_in_flight_bytes, segment_bytes).map(|(slot, generation)| {
        out([generation]);
        slot as i32
    }))
}

#[no_mangle]
extern "C" fn socket_free(slot: u32, generation: u32) -> i32 {
    done(core().socket_free(slot, generation))
}

#[no_mangle]
extern "C" fn socket_limit(slot: u32, generation: u32, max_in_flight_bytes: u32) -> i32 {
    done(core().socket_limit(slot, generation, max_in_flight_bytes))
}

#[no_mangle]
extern "C" fn socket_set_next(slot: u32, generation: u32, id: u32) -> i32 {
    done(core().socket_set_next(slot, generation, id))
}

#[no_mangle]
extern "C" fn socket_state(slot: u32, generation: u32) -> i32 {
    done(core().socket(slot, generation).map(|socket| {
        out([
            socket.next,
            socket.oldest,
            socket.outstanding(),
            socket.queued(),
            saturate(socket.in_flight()),
            (socket.flags & crate::socket::SUSPECT != 0) as u32,
        ]);
    }))
}

#[no_mangle]
extern "C" fn socket_unsegmented(slot: u32, generation: u32) -> i32 {
    done(core().socket_unsegmented(slot, generation))
}

#[no_mangle]
extern "C" fn suspect(slot: u32, generation: u32, on: u32) -> i32 {
    done(core().suspect(slot, generation, on != 0))
}

// Sends

fn out_send(slot: u32) -> i32 {
    let core = core();
    out([core.send_record(slot).generation, core.name_at(slot)]);
    slot as i32
}

fn out_withdrawn(withdrawn: Withdrawn) {
    out([withdrawn.accepted, withdrawn.whole as u32]);
}

#[no_mangle]
extern "C" fn send_new(socket: u32, generation: u32, flags: u32, extra: u32) -> i32 {
    code(core().send_new(socket, generation, flags, extra).map(out_send))
}

#[no_mangle]
extern "C" fn send_lease(send: u32, generation: u32, lease: u32, lease_generation: u32, at: u32, bytes: u32) -> i32 {
    done(core().send_lease(send, generation, lease, lease_generation, at, bytes))
}

#[no_mangle]
extern "C" fn send_queue(send: u32, generation: u32) -> i32 {
    done(core().send_queue(send, generation))
}

#[no_mangle]
extern "C" fn send_one(
    socket: u32,
    generation: u32,
    flags: u32,
    extra: u32,
    lease: u32,
    lease_generation: u32,
    at: u32,
    bytes: u32,
) -> i32 {
    code(core().send_one(socket, generation, flags, extra, lease, lease_generation, at, bytes).map(out_send))
}

#[no_mangle]
extern "C" fn send_drop(send: u32, generation: u32) -> i32 {
    done(core().send_drop(send, generation))
}

#[no_mangle]
extern "C" fn send_cancel(send: u32, generation: u32, errno: u32) -> i32 {
    done(core().send_cancel(send, generation, errno).map(out_withdrawn))
}

// The kernel's answers. An id may have any 32 bits, -1 to -6 included, so ids are returned in OUT only.

#[no_mangle]
extern "C" fn accept(send: u32, generation: u32, bytes: u32, zero_copy: u32) -> i32 {
    done(core().accept(send, generation, bytes, zero_copy != 0).map(|(id, left)| out([id, left])))
}

#[no_mangle]
extern "C" fn take_id(socket: u32, generation: u32) -> i32 {
    done(core().take_id(socket, generation).map(|id| out([id])))
}

#[no_mangle]
extern "C" fn complete(socket: u32, generation: u32, lo: u32, hi: u32, copied: u32) -> i32 {
    code(core().complete(socket, generation, lo, hi, copied != 0).map(|resolution| {
        out([resolution.resolved, resolution.duplicate, resolution.unknown, resolution.adopted]);
        resolution.resolved as i32
    }))
}

#[no_mangle]
extern "C" fn events_ready() -> i32 {
    out_events(&core().events, layout().events)
}

#[no_mangle]
extern "C" fn events_take(n: u32) -> i32 {
    done(core().events_take(n))
}

/// Shows events of a ring that starts at `at`.
fn out_events(events: &crate::events::Events, at: u32) -> i32 {
    let (count, first) = events.ready();
    out([at + first * size_of::<crate::events::Event>() as u32]);
    count as i32
}

#[no_mangle]
extern "C" fn reaped_ready() -> i32 {
    out_events(&core().reaped, layout().reaped)
}

#[no_mangle]
extern "C" fn reaped_take(n: u32) -> i32 {
    done(core().reaped.skip(n))
}

// Batches

#[no_mangle]
extern "C" fn batch_fill(socket: u32, generation: u32, max: u32) -> i32 {
    code(core().batch_fill(socket, generation, max).map(|filled| {
        out([filled.zero_copy as u32, saturate(filled.bytes), filled.reason as u32]);
        filled.messages as i32
    }))
}

#[no_mangle]
extern "C" fn batch_done(socket: u32, generation: u32, count: u32) -> i32 {
    code(core().batch_done(socket, generation, count).map(|(queued, bytes)| {
        out([saturate(bytes)]);
        queued as i32
    }))
}

#[no_mangle]
extern "C" fn batch_copy(socket: u32, generation: u32) -> i32 {
    done(core().batch_copy(socket, generation))
}

#[no_mangle]
extern "C" fn batch_fail(socket: u32, generation: u32, errno: u32) -> i32 {
    code(core().batch_fail(socket, generation, errno).map(|(send, send_generation, withdrawn)| {
        out([send_generation, withdrawn.accepted, withdrawn.whole as u32]);
        send as i32
    }))
}

// The ring

/// Takes over the rings that the kernel has set up in the RINGS and ENTRIES regions; its answer is at `params`.
#[no_mangle]
extern "C" fn ring_start(params: u32) -> i32 {
    // SAFETY: as for `core`.
    let sizes = unsafe { &*addr_of!(SIZES) };
    let layout = layout();
    if core().ring.is_some() {
        return Fault::Busy as i32;
    }
    if sizes.ring == 0 || params % 8 != 0 || params as u64 + size_of::<Params>() as u64 > layout.end {
        return Fault::Range as i32;
    }
    // SAFETY: the parameters are inside the memory and plain integers. The regions belong to the ring alone, live as
    // long as the instance, and are as large as is said.
    let ring = unsafe {
        let entries = from_raw_parts_mut(layout.entries as *mut Entry, sizes.ring as usize);
        Ring::new(layout.rings as *mut u8, sizes.ring_bytes(), entries, &*(params as *const Params))
    };
    match ring {
        Some(ring) => {
            core().ring = Some(ring);
            0
        }
        None => Fault::Range as i32,
    }
}

#[no_mangle]
extern "C" fn ring_registered(bytes: u32, piece: u32, gathers: u32) {
    core().registered = Registered { bytes, piece, gathers: gathers != 0 };
}

#[no_mangle]
extern "C" fn ring_attach(socket: u32, generation: u32, fd: i32, registered: u32) -> i32 {
    done(core().ring_attach(socket, generation, fd, registered != 0))
}

#[no_mangle]
extern "C" fn ring_fill(socket: u32, generation: u32) -> i32 {
    code(core().ring_fill(socket, generation).map(|(count, reason)| {
        out([reason as u32]);
        count as i32
    }))
}

#[no_mangle]
extern "C" fn ring_publish() -> i32 {
    match &mut core().ring {
        Some(ring) => ring.publish() as i32,
        None => Fault::Busy as i32,
    }
}

#[no_mangle]
extern "C" fn ring_cut() {
    core().ring_cut();
}

#[no_mangle]
extern "C" fn ring_reap() -> i32 {
    let core = core();
    let result = core.ring_reap();
    let (flags, lost) = core.ring.as_ref().map_or((0, 0), |ring| (ring.flags(), ring.lost()));
    out([flags, core.events.count(), core.operations_out(), lost]);
    code(result.map(|count| count as i32))
}

#[no_mangle]
extern "C" fn ring_block(socket: u32, generation: u32) -> i32 {
    code(core().ring_block(socket, generation).map(i32::from))
}

#[no_mangle]
extern "C" fn ring_abandon(send: u32, generation: u32) -> i32 {
    done(core().ring_abandon(send, generation))
}

#[no_mangle]
extern "C" fn ring_cancel(op: u32, generation: u32) -> i32 {
    done(core().ring_cancel(op, generation))
}

#[no_mangle]
extern "C" fn ring_bell(ring_fd: i32, pipe_fd: i32) -> i32 {
    done(core().ring_bell(ring_fd, pipe_fd))
}

#[no_mangle]
#[allow(clippy::too_many_arguments)]
extern "C" fn ring_call(
    opcode: u32,
    ioprio: u32,
    fd: i32,
    addr_lo: u32,
    addr_hi: u32,
    len: u32,
    off_lo: u32,
    off_hi: u32,
    op_flags: u32,
    buf_index: u32,
) -> i32 {
    let entry = Entry {
        opcode: opcode as u8,
        ioprio: ioprio as u16,
        fd,
        addr: join(addr_lo, addr_hi),
        len,
        off: join(off_lo, off_hi),
        op_flags,
        buf_index: buf_index as u16,
        ..Entry::default()
    };
    code(core().ring_call(entry).map(|(op, generation)| {
        out([generation]);
        op as i32
    }))
}

#[no_mangle]
extern "C" fn send_copy(send: u32, generation: u32) -> i32 {
    done(core().send_copy(send, generation))
}

// Totals

/// Writes to the COUNTERS region.
fn out_counters<T>(counters: T) {
    const { assert!(size_of::<T>() <= size_of::<Counters>()) };
    // SAFETY: the region has room for `Counters`, is aligned to a page, and nothing else refers to it; `core()`
    // trapped if there is none.
    unsafe { *(layout().counters as *mut T) = counters };
}

#[no_mangle]
extern "C" fn core_totals() -> i32 {
    out_counters(core().counters());
    0
}

#[no_mangle]
extern "C" fn socket_totals(slot: u32, generation: u32) -> i32 {
    done(core().socket(slot, generation).map(|socket| out_counters(socket.tally.counters())))
}
