/**
 * Offsets and numbers that both sides of the core agree on. A test compares them with the compiled core.
 * @module
 */

/** Results beyond the first: 16 words in the OUT region. */
export const OUT_WORDS = 16;

/** Refusals, as the raw exports return them. */
export const FAULT = {
  /** Nothing fits now; it may later. */
  NO_ROOM: -1,
  /** A fixed table is full. */
  NO_SLOT: -2,
  /** No such slot, or another generation lives in it. */
  STALE: -3,
  /** The program holds no claim to the lease. */
  NOT_HELD: -4,
  /** An argument is out of bounds. */
  RANGE: -5,
  /** Not in this state. */
  BUSY: -6,
} as const satisfies Record<string, number>;

/** Regions of the core's memory, as `region(i)` numbers them. */
export const REGION = {
  OUT: 0,
  COUNTERS: 1,
  EVENTS: 2,
  LEASES: 3,
  SENDS: 4,
  SOCKETS: 5,
  BATCH: 6,
  SCRATCH: 7,
  END: 8,
  RINGS: 9,
  ENTRIES: 10,
  SENDS_OUT: 11,
} as const satisfies Record<string, number>;

/** Bytes of the SCRATCH region, which the core never touches. */
export const SCRATCH_BYTES = 65_536;

/** Kinds of events. */
export const EVENT = {
  /** The kernel took the last byte; the value is how many there were. */
  ACCEPTED: 1,
  /** The kernel let go of the memory; the value is 1 if any part was copied. */
  RELEASED: 2,
  /** Ring: the kernel refused a send, which is in its queue again; the value is the errno. */
  FAILED: 3,
  /** Ring: a socket (in the place of the send) can take more from its queue. */
  READY: 4,
  /** Ring: an operation (in the place of the send) is done; the value is its result. */
  CALLED: 5,
  /** Ring: the same, and more will come of it. */
  CALLED_MORE: 6,
  /** A reaped send left its queue with nothing accepted, and its leases are as before; the value is the errno. */
  REFUSED: 7,
  /** A reaped send left its queue with a part accepted, and its release follows; the value is the errno. */
  CUT: 8,
} as const satisfies Record<string, number>;

/** Bytes of an event: kind, send slot, send generation, value, as u32. */
export const EVENT_BYTES = 16;

/** Byte offsets in a lease record. */
export const LEASE = {
  BYTES: 32,
  OFFSET: 0,
  LENGTH: 4,
  GENERATION: 8,
  HOLDS: 12,
  SENDS: 16,
  BLOCK: 20,
  IMPLICIT: 24,
  LINK: 28,
} as const satisfies Record<string, number>;

/** Byte offsets in a send record. `MSGHDR`, `IOVECS`, `NAME` and `CONTROL` have the form of 64-bit Linux. */
export const SEND = {
  BYTES: 640,
  GENERATION: 0,
  STATE: 4,
  SOCKET: 8,
  SOCKET_GENERATION: 12,
  REFS: 16,
  FLAGS: 20,
  LENGTH: 24,
  LEFT: 28,
  COPIED: 32,
  LEASE_COUNT: 36,
  CONSUMED: 40,
  POSITION: 44,
  LINK: 48,
  BACK: 52,
  LEASES: 56,
  MSGHDR: 120,
  IOVECS: 176,
  NAME: 432,
  CONTROL: 464,
  SEGMENT: 600,
  MAX_LEASES: 16,
  NAME_BYTES: 32,
  CONTROL_BYTES: 136,
} as const satisfies Record<string, number>;

/** States of a send record. */
export const SEND_STATE = {
  FREE: 0,
  OPEN: 1,
  QUEUED: 2,
  ACCEPTED: 3,
  RELEASED: 4,
  SUBMITTED: 5,
} as const satisfies Record<string, number>;

/** Flags of a send record; `ZERO_COPY`, `REAPED` and `AT_ONCE` may be asked for. */
export const SEND_FLAG = {
  ZERO_COPY: 1,
  COPIED: 2,
  REAPED: 4,
  FAILED: 8,
  GIVEN_UP: 16,
  AT_ONCE: 32,
  AS_TRAIN: 64,
} as const satisfies Record<string, number>;

/** Byte offsets in a socket record. `TALLY` and what follows is what the core counts, in its own form: see `socket_totals`. */
export const SOCKET = {
  BYTES: 192,
  GENERATION: 0,
  FLAGS: 4,
  NEXT: 8,
  OLDEST: 12,
  FIRST: 16,
  HEAD: 20,
  TAIL: 24,
  LIMIT: 28,
  CHAIN: 32,
  FIRST_OP: 36,
  LAST_OP: 40,
  ERROR: 44,
  ERROR_SEND: 48,
  SENDS: 52,
  SUBMITTED: 56,
  TALLY: 64,
  IDS_COPIED: 112,
  IDS_NOT_COPIED: 120,
  FD: 160,
} as const satisfies Record<string, number>;

/** Kinds of sockets. */
export const SOCKET_KIND = { STREAM: 0, DATAGRAM: 1 } as const satisfies Record<string, number>;

/** Bytes of one message of a batch, and the offset of the byte count the kernel writes into it. */
export const BATCH = {
  MESSAGES: 1024,
  BYTES: 64,
  LENGTH: 56,
} as const satisfies Record<string, number>;

/** Why `batch_fill` answered 0, and why `ring_fill` took no more. */
export const BATCH_REASON = {
  EMPTY: 0,
  WINDOW: 1,
  LIMIT: 2,
  CHAIN: 3,
  FULL: 4,
} as const satisfies Record<string, number>;

/** Numbers of io_uring that the core knows by itself, under the kernel's names. */
export const RING = {
  IORING_OP_POLL_ADD: 6,
  IORING_OP_SENDMSG: 9,
  IORING_OP_ASYNC_CANCEL: 14,
  IORING_OP_WRITE: 23,
  IORING_OP_SEND: 26,
  IORING_OP_SEND_ZC: 47,
  IORING_OP_SENDMSG_ZC: 48,
  IOSQE_FIXED_FILE: 1,
  IOSQE_IO_LINK: 4,
  IOSQE_IO_HARDLINK: 8,
  IOSQE_CQE_SKIP_SUCCESS: 64,
  IORING_RECVSEND_FIXED_BUF: 4,
  IORING_SEND_ZC_REPORT_USAGE: 8,
  IORING_CQE_F_MORE: 2,
  IORING_CQE_F_NOTIF: 8,
  MSG_WAITALL: 0x100,
  MSG_NOSIGNAL: 0x4000,
  IORING_ASYNC_CANCEL_ALL: 1,
} as const satisfies Record<string, number>;

/** Slot of an operation whose completions nobody waits for. */
export const NOBODY = 0xffff_ffff;

/** Completions for each submission entry of the ring. */
export const COMPLETIONS_PER_ENTRY = 4;

/** Totals that `core_totals` leaves in the COUNTERS region: u64 each, in this order. */
export const COUNTERS = [
  "lent",
  "released",
  "sends",
  "accepted",
  "failed",
  "bytesAccepted",
  "bytesZeroCopy",
  "notifications",
  "idsCopied",
  "idsNotCopied",
  "idsTaken",
  "idsDuplicate",
  "idsUnknown",
  "staleHandles",
  "maxInFlight",
  "maxInFlightBytes",
  "lateCompletions",
] as const satisfies readonly string[];

/** Totals that `socket_totals` leaves in the COUNTERS region: u64 each, in this order. */
export const SOCKET_COUNTERS = [
  "sends",
  "accepted",
  "bytesAccepted",
  "bytesZeroCopy",
  "idsCopied",
  "idsNotCopied",
  "idsTaken",
  "idsDuplicate",
  "idsUnknown",
  "notifications",
] as const satisfies readonly string[];
