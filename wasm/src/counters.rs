//! What the core counts, since the start and never down.

/// Totals over everything. The order is part of the interface: JavaScript reads them in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Loans begun: times a lease went from no send to one.
    pub lent: u64,
    /// Loans ended.
    pub released: u64,
    /// Sends queued.
    pub sends: u64,
    /// Sends accepted to the last byte.
    pub accepted: u64,
    /// Sends that left their queue before that: failed or cancelled.
    pub failed: u64,
    /// Bytes accepted.
    pub bytes_accepted: u64,
    /// Those of them that were lent rather than copied at once.
    pub bytes_zero_copy: u64,
    /// Completions looked at, whatever they said.
    pub notifications: u64,
    /// Ids resolved as copied after all.
    pub ids_copied: u64,
    /// Ids resolved without a copy.
    pub ids_not_copied: u64,
    /// Ids taken by sends that failed.
    pub ids_taken: u64,
    /// Ids completed twice.
    pub ids_duplicate: u64,
    /// Ids completed that nobody was waiting for.
    pub ids_unknown: u64,
    /// Handles refused because their slot has moved on.
    pub stale_handles: u64,
    /// Most loans out at once.
    pub max_in_flight: u64,
    /// Most bytes lent at once.
    pub max_in_flight_bytes: u64,
}

/// Totals of one socket, in the order JavaScript reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SocketCounters {
    /// Sends queued.
    pub sends: u64,
    /// Sends accepted to the last byte.
    pub accepted: u64,
    /// Bytes accepted.
    pub bytes_accepted: u64,
    /// Those of them that were lent.
    pub bytes_zero_copy: u64,
    /// Ids resolved as copied after all.
    pub ids_copied: u64,
    /// Ids resolved without a copy.
    pub ids_not_copied: u64,
    /// Ids taken by sends that failed.
    pub ids_taken: u64,
    /// Ids completed twice.
    pub ids_duplicate: u64,
    /// Ids completed that nobody was waiting for.
    pub ids_unknown: u64,
    /// Completions looked at.
    pub notifications: u64,
}
