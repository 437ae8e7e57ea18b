import { CoreError, faultError, type Noun } from "./errors.ts";
import type { CoreExports } from "./exports.ts";
import { type Handle, handleGeneration, handleSlot, makeHandle } from "./handle.ts";
import { fixedMemory, instantiate, memoryBytes } from "./instance.ts";
import { COUNTERS, EVENT, FAULT, REGION, SEND_FLAG, SOCKET_COUNTERS, SOCKET_KIND } from "./layout.ts";
import { checkInteger, checkNames, checkOptions, type CoreOptions } from "./options.ts";
import { type Sequence, sequence } from "./sequence.ts";
import type {
  Accepted,
  DrainHandler,
  Failed,
  LeaseState,
  LendOptions,
  Regions,
  Resolution,
  SocketOptions,
} from "./types.ts";
import { type CoreStats, readCounters, type SocketStats } from "./stats.ts";

const SOCKET_OPTIONS = ["kind", "maxInFlightBytes"] as const satisfies (keyof SocketOptions)[];
const LEND_OPTIONS = ["at", "bytes", "zeroCopy"] as const satisfies (keyof LendOptions)[];

/**
 * Leases, sockets and sends, and who waits for what. Make one with {@linkcode createCore}.
 *
 * @example
 * ```ts
 * import { createCore } from "@ringlet/ringlet/core";
 * import { assertEquals } from "@std/assert";
 *
 * const core = createCore({ arenaBytes: 65_536 });
 * assertEquals(core.seq.next(4_294_967_295), 0);
 * ```
 */
export class Core {
  /** The memory of the tables. It never grows. */
  readonly memory: WebAssembly.Memory;
  /** The raw functions, for hot paths. */
  readonly raw: CoreExports;
  /** Serial arithmetic. */
  readonly seq: Sequence;
  /** The memory as bytes. */
  readonly u8: Uint8Array<ArrayBuffer>;
  /** The memory as unsigned words. */
  readonly u32: Uint32Array<ArrayBuffer>;
  /** The memory as signed words. */
  readonly i32: Int32Array<ArrayBuffer>;
  /** Index in `u32` of the first of 16 words with further results of raw functions. */
  readonly out: number;
  /** Byte addresses of the regions. */
  readonly regions: Readonly<Regions>;
  readonly #maxLeases: number;
  #draining = false;

  /** @internal Use {@linkcode createCore}. */
  constructor(memory: WebAssembly.Memory, raw: CoreExports, maxLeases: number) {
    this.memory = memory;
    this.raw = raw;
    this.#maxLeases = maxLeases;
    this.seq = sequence(raw);
    const buffer = memory.buffer as ArrayBuffer;
    this.u8 = new Uint8Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    const regions = {} as Regions;
    for (const name of Object.keys(REGION) as (keyof Regions)[]) {
      regions[name] = raw.region(REGION[name]) >>> 0;
    }
    this.regions = regions;
    this.out = regions.OUT / 4;
  }

  /**
   * Carves a lease out of the arena.
   *
   * @param bytes from 1 to the size of a piece (or of the arena)
   * @param align a power of two from 64 to the arena
   * @returns its handle, or `undefined` if nothing fits now
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * core.take(100);
   * const page = core.take(4_096, 4_096)!;
   * assertEquals(core.describe(page).offset, 4_096);
   * assertEquals(core.take(65_536), undefined);
   * ```
   */
  take(bytes: number, align = 64): Handle | undefined {
    checkInteger("take a lease", "bytes", bytes, 1, 0xffff_ffff);
    checkInteger("take a lease", "align", align, 1, 2 ** 31);
    const slot = this.raw.lease_take(bytes, align);
    if (slot === FAULT.NO_ROOM) return undefined;
    if (slot < 0) throw faultError(slot, `take a lease of ${bytes} bytes, aligned to ${align}`, "lease");
    return makeHandle(slot, this.u32[this.out]);
  }

  /**
   * Adds a hold, so that the lease outlives its sends and can be lent to several at once.
   *
   * @param lease that the program holds
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const lease = core.take(10)!;
   * core.retain(lease);
   * assertEquals(core.release(lease), false); // the hold it was taken with is left
   * assertEquals(core.release(lease), true);
   * ```
   */
  retain(lease: Handle): void {
    const [slot, generation] = split(lease, "retain a lease", "lease");
    check(this.raw.lease_retain(slot, generation), "retain a lease", "lease");
  }

  /**
   * Ends one hold.
   *
   * @param lease that the program holds
   * @returns whether the lease went back to the arena: no hold and no send is left
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assert } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * assert(core.release(core.take(10)!));
   * ```
   */
  release(lease: Handle): boolean {
    const [slot, generation] = split(lease, "release a lease", "lease");
    return check(this.raw.lease_release(slot, generation), "release a lease", "lease") === 1;
  }

  /**
   * Cuts a lease in two: it keeps `[0, at)`, a new lease gets the rest. Memory goes back when both have.
   *
   * @param lease neither lent nor retained
   * @param at a byte inside it
   * @returns the second part
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const head = core.take(1_000)!;
   * const tail = core.cut(head, 300);
   * assertEquals([core.describe(head).bytes, core.describe(tail).bytes], [300, 700]);
   * assertEquals(core.describe(tail).offset, 300);
   * ```
   */
  cut(lease: Handle, at: number): Handle {
    checkInteger("cut a lease", "at", at, 0, 0xffff_ffff);
    const [slot, generation] = split(lease, "cut a lease", "lease");
    const rest = check(this.raw.lease_cut(slot, generation, at), `cut a lease at byte ${at}`, "lease");
    return makeHandle(rest, this.u32[this.out]);
  }

  /**
   * Cuts a lease into segments of equal size; the last may be shorter.
   *
   * @param lease neither lent nor retained; it becomes the first segment
   * @param segmentBytes of each
   * @returns all segments in order
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const segments = core.split(core.take(3_000)!, 1_400);
   * assertEquals(segments.map((segment) => core.describe(segment).bytes), [1_400, 1_400, 200]);
   * ```
   */
  split(lease: Handle, segmentBytes: number): Handle[] {
    checkInteger("split a lease", "segmentBytes", segmentBytes, 1, 0xffff_ffff);
    const segments = [lease];
    let left = this.describe(lease).bytes;
    // All or nothing: half a split could not be undone.
    if (Math.ceil(left / segmentBytes) - 1 > this.spareLeases) {
      throw faultError(FAULT.NO_SLOT, `split a lease of ${left} bytes`, "lease");
    }
    for (; left > segmentBytes; left -= segmentBytes) {
      segments.push(this.cut(segments[segments.length - 1], segmentBytes));
    }
    return segments;
  }

  /** Leases that there can be besides those that are out. */
  get spareLeases(): number {
    this.raw.arena_state();
    return this.#maxLeases - this.u32[this.out + 3];
  }

  /**
   * Where a lease is and who claims it.
   *
   * @param lease that is not given back
   * @returns its state now
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const state = core.describe(core.take(10)!);
   * assertEquals(state, { offset: 0, bytes: 10, holds: 0, implicit: true, sends: 0 });
   * ```
   */
  describe(lease: Handle): LeaseState {
    const [slot, generation] = split(lease, "describe a lease", "lease");
    check(this.raw.lease_state(slot, generation), "describe a lease", "lease");
    const { u32, out } = this;
    return {
      offset: u32[out + 1],
      bytes: u32[out + 2],
      holds: u32[out + 3],
      implicit: u32[out + 4] === 1,
      sends: u32[out + 5],
    };
  }

  /**
   * A new socket: a queue of sends, and ids counted from 0.
   *
   * @param options its kind and limit
   * @returns its handle
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const socket = core.socket({ kind: "datagram" });
   * assertEquals(core.socketStats(socket).nextId, 0);
   * ```
   */
  socket(options: SocketOptions = {}): Handle {
    const { kind = "stream", maxInFlightBytes = 0xffff_ffff } = checkNames("make a socket", options, SOCKET_OPTIONS);
    if (kind !== "stream" && kind !== "datagram") {
      throw new CoreError(
        "ERR_INVALID_ARG",
        `Cannot make a socket: kind is ${String(kind)}, it must be "stream" or "datagram"`,
      );
    }
    checkInteger("make a socket", "maxInFlightBytes", maxInFlightBytes, 0, 0xffff_ffff);
    const number = kind === "stream" ? SOCKET_KIND.STREAM : SOCKET_KIND.DATAGRAM;
    const slot = check(this.raw.socket_new(number, maxInFlightBytes, 0), "make a socket", "socket");
    return makeHandle(slot, this.u32[this.out]);
  }

  /**
   * Forgets a socket.
   *
   * @param socket with nothing queued and nothing outstanding
   *
   * @example
   * ```ts
   * import { CoreError, createCore } from "@ringlet/ringlet/core";
   * import { assertThrows } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const socket = core.socket();
   * core.closeSocket(socket);
   * assertThrows(() => core.closeSocket(socket), CoreError);
   * ```
   */
  closeSocket(socket: Handle): void {
    const [slot, generation] = split(socket, "close a socket", "socket");
    check(this.raw.socket_free(slot, generation), "close a socket", "socket");
  }

  /**
   * Lends a lease to a send, which joins its socket's queue. The hold that the lease was taken with is consumed, so
   * the lease goes back to the arena once the send is released, unless it was retained.
   *
   * @param socket to send on
   * @param lease that the program holds
   * @param options which part of it, and how
   * @returns the send
   *
   * @example
   * ```ts
   * import { CoreError, createCore } from "@ringlet/ringlet/core";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const socket = core.socket();
   * const lease = core.take(100)!;
   * core.lend(socket, lease);
   * const error = assertThrows(() => core.lend(socket, lease), CoreError);
   * assertEquals(error.code, "ERR_LEASE_NOT_HELD"); // retain it to lend it twice
   * ```
   */
  lend(socket: Handle, lease: Handle, options: LendOptions = {}): Handle {
    const [slot, generation] = split(socket, "lend a lease", "socket");
    check(this.raw.socket_state(slot, generation), "lend a lease to this socket", "socket");
    const [leaseSlot, leaseGeneration] = split(lease, "lend a lease", "lease");
    const { at = 0, zeroCopy = true } = checkNames("lend a lease", options, LEND_OPTIONS);
    checkInteger("lend a lease", "at", at, 0, 0xffff_ffff);
    const bytes = options.bytes ?? this.describe(lease).bytes - at;
    checkInteger("lend a lease", "bytes", bytes, 1, 0xffff_ffff);
    const flags = zeroCopy ? SEND_FLAG.ZERO_COPY : 0;
    const send = this.raw.send_one(slot, generation, flags, 0, leaseSlot, leaseGeneration, at, bytes);
    check(send, `lend ${bytes} bytes of a lease from byte ${at} on`, "lease");
    return makeHandle(send, this.u32[this.out]);
  }

  /**
   * The transport took bytes of a send, the first in its socket's queue.
   *
   * @param send the handle that {@linkcode Core.lend} returned
   * @param bytes how many, at most what is left; a datagram is taken whole
   * @param zeroCopy whether the memory stays lent until the id is completed; else the bytes were copied
   * @returns the id and what is left, or `undefined` if all ids of the socket's window are outstanding
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const send = core.lend(core.socket(), core.take(100)!);
   * assertEquals(core.accept(send, 60), { id: 0, left: 40 });
   * assertEquals(core.accept(send, 40, false), { id: undefined, left: 0 });
   * ```
   */
  accept(send: Handle, bytes: number, zeroCopy = true): Accepted | undefined {
    checkInteger("accept bytes of a send", "bytes", bytes, 0, 0xffff_ffff);
    const [slot, generation] = split(send, "accept bytes of a send", "send");
    const code = this.raw.accept(slot, generation, bytes, zeroCopy ? 1 : 0);
    if (code === FAULT.NO_ROOM) return undefined;
    check(code, `accept ${bytes} bytes of a send`, "send");
    return { id: zeroCopy ? this.u32[this.out] : undefined, left: this.u32[this.out + 1] };
  }

  /**
   * The transport refused a send, or the program gives it up while it is queued.
   *
   * @param send that is queued
   * @returns what had been accepted; if that is nothing, the lease is the program's as before
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const lease = core.take(100)!;
   * const send = core.lend(core.socket(), lease);
   * assertEquals(core.fail(send), { bytesAccepted: 0, whole: true });
   * assertEquals(core.describe(lease).implicit, true);
   * ```
   */
  fail(send: Handle): Failed {
    const [slot, generation] = split(send, "fail a send", "send");
    check(this.raw.send_cancel(slot, generation, 0), "fail a send", "send");
    return { bytesAccepted: this.u32[this.out], whole: this.u32[this.out + 1] === 1 };
  }

  /**
   * The transport is done with the ids of an inclusive range. It may wrap, span several sends, and come in any order.
   *
   * @param socket whose ids they are
   * @param lo first id
   * @param hi last id
   * @param copied whether the transport copied the bytes after all
   * @returns what the range held
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const socket = core.socket();
   * core.accept(core.lend(socket, core.take(100)!), 100);
   * assertEquals(core.complete(socket, 4_294_967_295, 0, false), { resolved: 1, duplicate: 0, unknown: 1, adopted: 0 });
   * ```
   */
  complete(socket: Handle, lo: number, hi: number, copied: boolean): Resolution {
    checkInteger("complete ids", "lo", lo, 0, 0xffff_ffff);
    checkInteger("complete ids", "hi", hi, 0, 0xffff_ffff);
    const [slot, generation] = split(socket, "complete ids", "socket");
    check(this.raw.complete(slot, generation, lo, hi, copied ? 1 : 0), "complete ids", "socket");
    const { u32, out } = this;
    return { resolved: u32[out], duplicate: u32[out + 1], unknown: u32[out + 2], adopted: u32[out + 3] };
  }

  /**
   * A failed send took an id all the same; its completion will come and release nothing.
   *
   * @param socket whose next id it was
   * @returns the id, or `undefined` if all ids of the window are outstanding
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const socket = core.socket();
   * assertEquals(core.takeId(socket), 0);
   * assertEquals(core.socketStats(socket).nextId, 1);
   * ```
   */
  takeId(socket: Handle): number | undefined {
    const [slot, generation] = split(socket, "take an id", "socket");
    const code = this.raw.take_id(slot, generation);
    if (code === FAULT.NO_ROOM) return undefined;
    check(code, "take an id", "socket");
    return this.u32[this.out];
  }

  /**
   * Hands out the events that have come up, oldest first, and forgets them.
   *
   * @param handler called for each; it may use the core, but not drain it
   * @returns how many there were
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const send = core.lend(core.socket(), core.take(100)!);
   * core.accept(send, 100, false);
   * const events: unknown[] = [];
   * core.drain((event, which, value) => events.push([event, which === send, value]));
   * assertEquals(events, [["accepted", true, 100], ["released", true, 1]]);
   * ```
   */
  drain(handler: DrainHandler): number {
    if (this.#draining) throw new CoreError("ERR_BUSY", "Cannot drain events: a handler of the same core is running");
    this.#draining = true;
    const { raw, u32, out } = this;
    let total = 0;
    try {
      for (let ready = raw.events_ready(); ready > 0; ready = raw.events_ready()) {
        let at = u32[out] / 4;
        let done = 0;
        try {
          while (done < ready) {
            done++;
            const send = makeHandle(u32[at + 1], u32[at + 2]);
            handler(u32[at] === EVENT.ACCEPTED ? "accepted" : "released", send, u32[at + 3]);
            at += 4;
          }
        } finally {
          // What the handler has seen is taken even if it threw: no event comes twice.
          raw.events_take(done);
          total += done;
        }
      }
    } finally {
      this.#draining = false;
    }
    return total;
  }

  /**
   * Totals, and the state now. Walks all leases: for reports, not for every send.
   *
   * @returns counts since the start
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * core.lend(core.socket(), core.take(100)!);
   * const { lent, released, inFlight, inFlightBytes } = core.stats();
   * assertEquals([lent, released, inFlight, inFlightBytes], [1, 0, 1, 100]);
   * ```
   */
  stats(): CoreStats {
    const { raw, u32, out, regions } = this;
    raw.core_totals();
    const counters = readCounters(u32, regions.COUNTERS, COUNTERS);
    const inFlight = raw.in_flight();
    const inFlightBytes = u32[out] + u32[out + 1] * 2 ** 32;
    raw.arena_state();
    return {
      ...counters,
      inFlight,
      inFlightBytes,
      leases: u32[out + 3],
      freeBytes: u32[out],
      largestFreeBytes: u32[out + 1],
    };
  }

  /**
   * Totals of one socket, and its state now.
   *
   * @param socket that is not closed
   * @returns counts since it was made
   *
   * @example
   * ```ts
   * import { createCore } from "@ringlet/ringlet/core";
   * import { assertEquals } from "@std/assert";
   *
   * const core = createCore({ arenaBytes: 65_536 });
   * const socket = core.socket();
   * core.lend(socket, core.take(100)!);
   * assertEquals(core.socketStats(socket).queued, 1);
   * ```
   */
  socketStats(socket: Handle): SocketStats {
    const [slot, generation] = split(socket, "describe a socket", "socket");
    const { raw, u32, out, regions } = this;
    check(raw.socket_totals(slot, generation), "describe a socket", "socket");
    raw.socket_state(slot, generation);
    return {
      ...readCounters(u32, regions.COUNTERS, SOCKET_COUNTERS),
      nextId: u32[out],
      idsOutstanding: u32[out + 2],
      queued: u32[out + 3],
      inFlightBytes: u32[out + 4],
    };
  }
}

/**
 * Makes a core.
 *
 * @param options how large it is
 * @returns a core with an empty arena
 *
 * @example
 * ```ts
 * import { createCore } from "@ringlet/ringlet/core";
 * import { assertEquals } from "@std/assert";
 *
 * const core = createCore({ arenaBytes: 64 << 20 });
 * assertEquals(core.stats().freeBytes, 64 << 20);
 * ```
 */
export function createCore(options: CoreOptions): Core {
  const checked = checkOptions(options);
  const { arenaBytes, maxLeases, maxSends, maxSockets, windowIds, ringEntries, pieceBytes } = checked;
  const needed = memoryBytes(arenaBytes, maxLeases, maxSends, maxSockets, windowIds, ringEntries);
  if (needed === 0) {
    throw new CoreError(
      "ERR_OUT_OF_RANGE",
      "Cannot create a core: its tables do not fit in 4 GiB; lower maxSockets × windowIds, maxSends or maxLeases",
    );
  }
  const memory = checked.memory ?? fixedMemory(needed);
  const given = memory.buffer.byteLength;
  if (given < needed) {
    throw new CoreError("ERR_OUT_OF_RANGE", `Cannot create a core: memory has ${given} bytes, ${needed} are needed`);
  }
  const raw = instantiate(memory);
  const status = raw.core_init(arenaBytes, pieceBytes, maxLeases, maxSends, maxSockets, windowIds, ringEntries);
  check(status, "create a core", "lease");
  return new Core(memory, raw, maxLeases);
}

function split(handle: Handle, action: string, noun: Noun): [slot: number, generation: number] {
  if (typeof handle !== "number" || !Number.isSafeInteger(handle) || handle < 0) {
    throw new CoreError("ERR_INVALID_ARG", `Cannot ${action}: ${String(handle)} is no handle of a ${noun}`);
  }
  return [handleSlot(handle), handleGeneration(handle)];
}

function check(code: number, action: string, noun: Noun): number {
  if (code < 0) throw faultError(code, action, noun);
  return code;
}
