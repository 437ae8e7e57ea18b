//! The core of Ringlet: serial arithmetic, arena carving, leases, and the ledger of what the kernel holds.
//!
//! Everything here is plain Rust over slices that the caller provides: no heap, no operating system, no clock.
//! [`exports`] puts it behind integer functions in WebAssembly; the tests run the same code on the host.

pub mod batch;
pub mod carve;
pub mod counters;
pub mod events;
#[cfg(target_arch = "wasm32")]
pub mod exports;
mod ids;
pub mod layout;
pub mod lease;
pub mod ledger;
pub mod operation;
pub mod queue;
pub mod reap;
pub mod ring;
pub mod send;
pub mod seq;
pub mod socket;
#[cfg(not(target_arch = "wasm32"))]
pub mod store;
pub mod submit;
mod table;

/// Why an operation was refused. The numbers are what the exports return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Fault {
    /// Nothing fits now; it may later.
    NoRoom = -1,
    /// A fixed table is full.
    NoSlot = -2,
    /// No such slot, or another generation lives in it.
    Stale = -3,
    /// The program holds no claim to the lease.
    NotHeld = -4,
    /// An argument is out of bounds.
    Range = -5,
    /// Not in this state.
    Busy = -6,
}
