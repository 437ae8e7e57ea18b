/**
 * Leases: pieces of the arena in the program's hands.
 *
 * @module
 */
import type { Arena } from "./arena.ts";
import { RingletError } from "./errors.ts";
import { integer } from "./validate.ts";

/** Where a lease is: see the lease contract. */
export type LeaseState = "free" | "leased" | "lent";

/**
 * A piece of the arena, held by the program: `free → leased → lent → free`.
 *
 * A send consumes the lease: when the kernel lets go of it, the memory goes back to the arena by itself. {@linkcode retain} adds
 * a hold, so that it comes back to the program instead, or can be lent to several sends at once.
 *
 * @example
 * ```ts
 * import { open } from "@ringlet/ringlet";
 * import { assertEquals } from "@std/assert";
 *
 * await using io = await open({ arenaBytes: 1 << 20 });
 * const lease = await io.lease(1000);
 * lease.bytes.fill(7);
 * assertEquals(lease.byteLength, 1000);
 * lease.release();
 * assertEquals(lease.state, "free");
 * ```
 */
export class Lease {
  /** @ignore */
  readonly arena: Arena;
  /** @ignore */
  readonly slot: number;
  /** @ignore */
  readonly generation: number;
  /** @ignore */
  readonly offset: number;
  /** @ignore Sends that wait and will have it: see `Arena.pledge`. */
  pledges = 0;
  #byteLength: number;
  #bytes: Uint8Array<ArrayBuffer> | undefined;

  /** @ignore Leases come from `io.lease()` and `io.tryLease()`. */
  constructor(arena: Arena, slot: number, generation: number, offset: number, byteLength: number) {
    this.arena = arena;
    this.slot = slot;
    this.generation = generation;
    this.offset = offset;
    this.#byteLength = byteLength;
  }

  /** The length in bytes. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /**
   * The memory itself. Do not keep the view beyond the lease: the memory gets another owner. Do not write to it while it is
   * lent. To keep the content, copy it out with `lease.bytes.slice()` (`structuredClone` would clone the whole arena).
   *
   * @throws {RingletError} `ERR_LEASE_RELEASED` or `ERR_LEASE_LENT` when the program holds no claim on it any more.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (!this.arena.claimed(this)) throw this.notHeld("read");
    return this.#bytes ??= this.arena.bytes.subarray(this.offset, this.offset + this.#byteLength);
  }

  /** `leased` while the program holds it, `lent` while the kernel does, `free` when it went back to the arena. */
  get state(): LeaseState {
    return this.arena.state(this);
  }

  /**
   * Adds a hold: the lease can then be sent several times, at once or one after another, and stays with the program until the hold
   * ends with {@linkcode release} or `using`.
   *
   * @returns The lease itself.
   * @throws {RingletError} `ERR_LEASE_RELEASED` or `ERR_LEASE_LENT` when the program holds no claim on it any more.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using udp = await io.bindUdp({ hostname: "127.0.0.1" });
   * using lease = (await io.lease(1000)).retain();
   * for (let i = 0; i < 3; i++) {
   *   const receipt = await udp.send(lease, { to: udp.localAddr });
   *   await receipt.released;
   * }
   * assertEquals(lease.state, "leased");
   * ```
   */
  retain(): this {
    this.arena.retain(this);
    return this;
  }

  /**
   * Ends one hold, or gives the lease back to the arena when there is none. A lease that is lent goes back when the kernel
   * lets go.
   *
   * @throws {RingletError} `ERR_LEASE_RELEASED` or `ERR_LEASE_LENT` when the program holds no claim on it any more.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * const lease = await io.lease(1000);
   * lease.release();
   * assertEquals(lease.state, "free");
   * ```
   */
  release(): void {
    this.arena.release(this);
  }

  /**
   * Cuts the lease in two: this one keeps the first `at` bytes.
   *
   * @param at Where to cut, in bytes: 1 to `byteLength - 1`.
   * @returns A lease of the rest. The memory goes back to the arena when both have.
   * @throws {RingletError} `ERR_OUT_OF_RANGE`; `ERR_LEASE_LENT`, `ERR_LEASE_HELD` (retained) or `ERR_LEASE_RELEASED` when it is
   * not simply leased.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * using header = await io.lease(1000);
   * using payload = header.cut(20);
   * assertEquals([header.byteLength, payload.byteLength], [20, 980]);
   * ```
   */
  cut(at: number): Lease {
    const rest = this.arena.cut(this, integer("at", at, 1, this.#byteLength - 1));
    this.#byteLength = at;
    this.#bytes = undefined;
    return rest;
  }

  /**
   * Splits the lease into segments of `segmentBytes`; the last may be shorter.
   *
   * @param segmentBytes The length of a segment in bytes.
   * @returns This lease, cut to the first segment, and a lease for each other one.
   * @throws {RingletError} As {@linkcode cut} does; `ERR_TABLE_FULL`. Nothing has changed then.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * const segments = (await io.lease(3000)).split(1400);
   * assertEquals(segments.map((segment) => segment.byteLength), [1400, 1400, 200]);
   * for (const segment of segments) segment.release();
   * ```
   */
  split(segmentBytes: number): Lease[] {
    integer("segmentBytes", segmentBytes, 1, this.#byteLength);
    this.arena.requireSpare(Math.ceil(this.#byteLength / segmentBytes) - 1);
    const segments: Lease[] = [this];
    for (;;) {
      const last = segments[segments.length - 1];
      if (last.byteLength <= segmentBytes) return segments;
      segments.push(last.cut(segmentBytes));
    }
  }

  /** Ends a hold, like {@linkcode release}, but does nothing when the program has none. */
  [Symbol.dispose](): void {
    if (this.arena.claimed(this)) this.arena.release(this);
  }

  /** @ignore The error for a use without a claim. */
  notHeld(action: string): RingletError {
    const { state } = this;
    if (state === "lent") {
      return new RingletError("ERR_LEASE_LENT", `Cannot ${action} the lease: it is lent to the kernel`, {
        advice: "call retain() before sending a lease that is still needed",
      });
    }
    if (state === "leased") {
      return new RingletError("ERR_LEASE_HELD", `Cannot ${action} the lease: it is retained`, {
        advice: "release its holds first",
      });
    }
    return new RingletError("ERR_LEASE_RELEASED", `Cannot ${action} the lease: it went back to the arena`, {
      advice: "take a new one with io.lease()",
    });
  }
}
