/**
 * The raw functions of the core. All take and return 32-bit integers; a negative result is a fault, except where an
 * unsigned value is returned (`>>> 0` makes it one). Further results are in the OUT region, named after "OUT:".
 * @module
 */

/** What the WebAssembly instance exports. */
export interface CoreExports {
  /** Bytes of memory needed for tables of these sizes (unsigned), 0 if they do not fit. Needs no start. */
  core_bytes(
    arena: number,
    leases: number,
    sends: number,
    sockets: number,
    window: number,
    ring: number,
  ): number;
  /** Starts the core in zero-filled memory. Once. */
  core_init(
    arena: number,
    piece: number,
    leases: number,
    sends: number,
    sockets: number,
    window: number,
    ring: number,
  ): number;
  /** Machine addresses of both memories, for the pointers in messages. Before the first send. */
  core_bases(coreLo: number, coreHi: number, arenaLo: number, arenaHi: number): void;
  /** Byte address of a region (unsigned). */
  region(i: number): number;

  /** The id after `a` (unsigned). */
  seq_next(a: number): number;
  /** Steps from one id to another (unsigned). */
  seq_distance(from: number, to: number): number;
  /** 1 if `x` is in the inclusive range, which may wrap. */
  seq_contains(lo: number, hi: number, x: number): number;
  /** Ids in the inclusive range (unsigned); 0 stands for 2^32. */
  seq_len(lo: number, hi: number): number;
  /** RFC 1982: -1, 0, 1, and 2 where the order is undefined. */
  seq_compare(a: number, b: number): number;

  /** A new lease: its slot. OUT: generation, offset, bytes. */
  lease_take(bytes: number, align: number): number;
  /** Cuts a lease at a byte; the slot of the second part. OUT: generation, offset, bytes. */
  lease_cut(slot: number, generation: number, at: number): number;
  /** Adds an explicit hold. */
  lease_retain(slot: number, generation: number): number;
  /** Ends a hold; 1 if the lease went back to the arena. */
  lease_release(slot: number, generation: number): number;
  /** Ends the hold that a send would consume; 1 if the lease went back to the arena. */
  lease_consume(slot: number, generation: number): number;
  /** Lends a lease to a receive. */
  lease_lend(slot: number, generation: number): number;
  /** Ends a receive; 1 if the lease went back to the arena. */
  lease_unlend(slot: number, generation: number): number;
  /** OUT: generation, offset, bytes, holds, implicit, sends. */
  lease_state(slot: number, generation: number): number;
  /** OUT: free bytes, largest free block, blocks used, leases out. */
  arena_state(): number;
  /** Loans, counted by walking the lease records. OUT: bytes lent, low and high word. */
  in_flight(): number;

  /**
   * A new socket: its slot. What no control message speaks of the kernel cuts into segments of `segmentBytes`, unless that is 0.
   * OUT: generation.
   */
  socket_new(kind: number, maxInFlightBytes: number, segmentBytes: number): number;
  /** Forgets an idle socket. */
  socket_free(slot: number, generation: number): number;
  /** Changes the byte limit; 0xFFFFFFFF for none. */
  socket_limit(slot: number, generation: number, maxInFlightBytes: number): number;
  /** The kernel takes no trains of a socket: from now on they go segment by segment. */
  socket_unsegmented(slot: number, generation: number): number;
  /** Sets the next id of an idle socket. For tests. */
  socket_set_next(slot: number, generation: number, id: number): number;
  /** OUT: next id, oldest id, ids outstanding, queued sends, in-flight bytes, suspect. */
  socket_state(slot: number, generation: number): number;
  /** Writes the totals of a socket to the COUNTERS region. */
  socket_totals(slot: number, generation: number): number;
  /** Writes the totals of everything to the COUNTERS region. */
  core_totals(): number;
  /** Whether a failed call may have taken an id that a completion will show. */
  suspect(slot: number, generation: number, on: number): number;

  /**
   * A new send without leases: its slot. OUT: generation, byte address of the name. `extra`: bytes of the name in the lowest 8 bits,
   * then 8 bits with the bytes of control messages, then 16 with those of a segment of a train, or 0. The caller writes name and
   * control messages into the record, the one that has a train segmented last.
   */
  send_new(socket: number, generation: number, flags: number, extra: number): number;
  /** Adds part of a lease to an open send. */
  send_lease(
    send: number,
    generation: number,
    lease: number,
    leaseGeneration: number,
    at: number,
    bytes: number,
  ): number;
  /** Queues an open send. */
  send_queue(send: number, generation: number): number;
  /** The three above at once: the slot. OUT: generation, byte address of the name. */
  send_one(
    socket: number,
    generation: number,
    flags: number,
    extra: number,
    lease: number,
    leaseGeneration: number,
    at: number,
    bytes: number,
  ): number;
  /** Undoes an open send. */
  send_drop(send: number, generation: number): number;
  /** Takes a send out of its queue; `errno` is for the event of a reaped one. OUT: bytes accepted, whole. */
  send_cancel(send: number, generation: number, errno: number): number;

  /** The kernel took bytes of the send at the head of its queue. OUT: id, bytes left. */
  accept(send: number, generation: number, bytes: number, zeroCopy: number): number;
  /** A failed send took the socket's next id. OUT: id. */
  take_id(socket: number, generation: number): number;
  /** The kernel is done with a range of ids: how many were resolved. OUT: resolved, duplicate, unknown, adopted. */
  complete(socket: number, generation: number, lo: number, hi: number, copied: number): number;
  /** Events that can be read in one piece. OUT: byte address of the first. */
  events_ready(): number;
  /** Consumes events. */
  events_take(n: number): number;
  /** `events_ready` for the events of reaped sends, which are kept apart. */
  reaped_ready(): number;
  /** Consumes these. */
  reaped_take(n: number): number;

  /** Lays out messages from the head of a queue: how many. OUT: zero-copy, bytes, reason for none. */
  batch_fill(socket: number, generation: number, max: number): number;
  /** The kernel took so many messages: sends left in the queue. OUT: bytes accepted. */
  batch_done(socket: number, generation: number, count: number): number;
  /** The send at the head goes as a copy from here on. */
  batch_copy(socket: number, generation: number): number;
  /** The send at the head failed with `errno`: its slot. OUT: its generation, bytes accepted, whole. */
  batch_fail(socket: number, generation: number, errno: number): number;

  /** Takes over the rings that the kernel has set up in RINGS and ENTRIES; its `struct io_uring_params` is at `params`. */
  ring_start(params: number): number;
  /** What of the arena is registered: bytes from its start, bytes of a buffer (0: one for all), whether buffers take several iovecs. */
  ring_registered(bytes: number, piece: number, gathers: number): void;
  /**
   * Tells the ring a socket's descriptor, and whether that is registered at the socket's slot. From now on datagrams may go into it at
   * once.
   */
  ring_attach(socket: number, generation: number, fd: number, registered: number): number;
  /** Prepares entries for the head of a queue: how many. OUT: reason for not more. */
  ring_fill(socket: number, generation: number): number;
  /** Lets the kernel see what was prepared: entries that it has to take. */
  ring_publish(): number;
  /** The kernel did not take all that was published: the rest of a chain that it took in part is cancelled. */
  ring_cut(): void;
  /** Takes completions: how many. OUT: flags of the submission ring, events, operations that are not over, completions lost. */
  ring_reap(): number;
  /** Lets a socket wait until less is in flight; 0 when nothing is. */
  ring_block(socket: number, generation: number): number;
  /** Cancels a send that the ring has. A FAILED event follows, or it succeeds. */
  ring_abandon(send: number, generation: number): number;
  /** Cancels an operation of `ring_call`. */
  ring_cancel(operation: number, generation: number): number;
  /** Prepares a byte for a pipe, to be written when the ring has a completion. */
  ring_bell(ringFd: number, pipeFd: number): number;
  /** Prepares any other operation: its slot. OUT: its generation. CALLED events tell what became of it. */
  ring_call(
    opcode: number,
    ioprio: number,
    fd: number,
    addrLo: number,
    addrHi: number,
    len: number,
    offLo: number,
    offHi: number,
    opFlags: number,
    bufIndex: number,
  ): number;
  /** A queued send asks for a copy from here on. */
  send_copy(send: number, generation: number): number;

  /** Version of the crate. */
  version(): number;
}
