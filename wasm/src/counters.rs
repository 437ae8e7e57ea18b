//! What the core counts, since the start and never down.

/// Totals over everything. The order is part of the interface.
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
    /// Completions of operations that were over.
    pub late_completions: u64,
}

/// Totals of one socket. The order is part of the interface.
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

/// What a socket counts as it goes: nothing twice, and nothing that follows from the rest.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Tally {
    /// Sends that entered the queue.
    pub queued: u64,
    /// Sends that left it.
    pub left: u64,
    /// Those of them that left it before their last byte was accepted.
    pub failed: u64,
    /// Bytes accepted as copies.
    pub bytes_copied: u64,
    /// Bytes accepted as loans.
    pub bytes_lent: u64,
    /// Those of them whose sends were released.
    pub bytes_released: u64,
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

impl Tally {
    /// Adds another socket's.
    pub fn add(&mut self, other: &Tally) {
        self.queued += other.queued;
        self.left += other.left;
        self.failed += other.failed;
        self.bytes_copied += other.bytes_copied;
        self.bytes_lent += other.bytes_lent;
        self.bytes_released += other.bytes_released;
        self.ids_copied += other.ids_copied;
        self.ids_not_copied += other.ids_not_copied;
        self.ids_taken += other.ids_taken;
        self.ids_duplicate += other.ids_duplicate;
        self.ids_unknown += other.ids_unknown;
        self.notifications += other.notifications;
    }

    /// In the form that JavaScript reads.
    pub fn counters(&self) -> SocketCounters {
        SocketCounters {
            sends: self.queued,
            accepted: self.left - self.failed,
            bytes_accepted: self.bytes_copied + self.bytes_lent,
            bytes_zero_copy: self.bytes_lent,
            ids_copied: self.ids_copied,
            ids_not_copied: self.ids_not_copied,
            ids_taken: self.ids_taken,
            ids_duplicate: self.ids_duplicate,
            ids_unknown: self.ids_unknown,
            notifications: self.notifications,
        }
    }
}
