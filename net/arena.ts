/**
 * The arena: the one region that leases are carved from, and those who wait for room in it.
 *
 * @module
 */
import { type Core, layout } from "../wasm/mod.ts";
import { RingletError } from "./errors.ts";
import { Lease, type LeaseState } from "./lease.ts";
import { integer, notAborted } from "./validate.ts";
import { Waiters } from "./waiters.ts";

const { FAULT, LEASE } = layout;
/** Fields of a lease's record, as indices of words. */
const WORD = {
  size: LEASE.BYTES / 4,
  byteLength: LEASE.LENGTH / 4,
  generation: LEASE.GENERATION / 4,
  holds: LEASE.HOLDS / 4,
  sends: LEASE.SENDS / 4,
  implicit: LEASE.IMPLICIT / 4,
} as const;

/** Granule of the arena and smallest alignment, in bytes. */
const GRANULE_BYTES = 64;

/** What `io.lease()` takes besides a length. */
export interface LeaseOptions {
  /** A power of two; 64 by default. 4096 gives whole pages. */
  alignBytes?: number;
}

interface LeaseRequest {
  readonly byteLength: number;
  readonly alignBytes: number;
}

/** What the arena tells in `stats()`. */
export interface ArenaStats {
  /** Size of the arena. */
  bytes: number;
  /** Free bytes, in whatever pieces. */
  freeBytes: number;
  /** The largest free piece. */
  largestFreeBytes: number;
  /** Leases that exist. */
  leases: number;
  /** Requests that wait for room. */
  waiting: number;
  /** Leases that the program dropped without returning them. Their memory is never reclaimed. */
  forgotten: number;
}

/** The arena of one `open()`. */
export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #core: Core;
  /** Index of the first lease record in the core's words. */
  readonly #leases: number;
  readonly #waiters = new Waiters<LeaseRequest, Lease>(() => this.serve());
  readonly #forgotten: FinalizationRegistry<readonly [slot: number, generation: number]>;
  #forgottenCount = 0;
  #closed = false;

  /** @param onForgotten Told the length of a lease that was garbage collected unreturned. */
  constructor(core: Core, arenaBytes: number, onForgotten: (byteLength: number) => void) {
    this.#core = core;
    this.#leases = core.regions.LEASES / 4;
    const pages = arenaBytes / 65_536;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.bytes = new Uint8Array(this.memory.buffer as ArrayBuffer);
    this.#forgotten = new FinalizationRegistry(([slot, generation]) => {
      if (this.#closed || !this.#claimed(slot, generation)) return;
      this.#forgottenCount += 1;
      onForgotten(core.u32[this.#record(slot) + WORD.byteLength]);
    });
  }

  /** A lease now, or `undefined` when there is no room or others wait for it. */
  tryLease(byteLength: number, options: LeaseOptions = {}): Lease | undefined {
    const request = this.#request(byteLength, options);
    return this.#waiters.size > 0 ? undefined : this.#take(request);
  }

  /** A lease as soon as there is room, in the order of the calls. */
  async lease(byteLength: number, options: LeaseOptions & { signal?: AbortSignal } = {}): Promise<Lease> {
    const request = this.#request(byteLength, options);
    notAborted(options.signal);
    return (this.#waiters.size === 0 ? this.#take(request) : undefined) ??
      await this.#waiters.wait(request, options.signal);
  }

  #request(byteLength: number, options: LeaseOptions): LeaseRequest {
    if (this.#closed) throw new RingletError("ERR_CLOSED", "Cannot lease: io is closed");
    integer("byteLength", byteLength, 1, this.bytes.length);
    const alignBytes = integer("alignBytes", options.alignBytes ?? GRANULE_BYTES, 1, this.bytes.length);
    if (!Number.isInteger(Math.log2(alignBytes))) {
      throw new RingletError("ERR_OUT_OF_RANGE", `alignBytes must be a power of two: current value is ${alignBytes}`);
    }
    return { byteLength, alignBytes };
  }

  #take({ byteLength, alignBytes }: LeaseRequest): Lease | undefined {
    const slot = this.#core.raw.lease_take(byteLength, alignBytes);
    if (slot >= 0) return this.#made(slot);
    if (slot === FAULT.NO_ROOM || slot === FAULT.NO_SLOT) return undefined;
    throw new RingletError(
      "ERR_OUT_OF_RANGE",
      `Cannot lease ${byteLength} bytes aligned to ${alignBytes}: they never fit`,
    );
  }

  #made(slot: number): Lease {
    const { u32, out } = this.#core;
    const lease = new Lease(this, slot, u32[out], u32[out + 1], u32[out + 2]);
    this.#forgotten.register(lease, [slot, lease.generation]);
    return lease;
  }

  /** Gives those who wait what has become free. */
  serve(): void {
    if (this.#waiters.size > 0) this.#waiters.serve((request) => this.#take(request));
  }

  retain(lease: Lease): void {
    this.requireUnpledged(lease, "retain");
    if (this.#core.raw.lease_retain(lease.slot, lease.generation) < 0) throw lease.notHeld("retain");
  }

  release(lease: Lease): void {
    this.requireUnpledged(lease, "release");
    const result = this.#core.raw.lease_release(lease.slot, lease.generation);
    if (result < 0) throw lease.notHeld("release");
    if (result === 1) this.serve();
  }

  /**
   * Pledges leases to a send that has to wait: for the program they are lent from now on. Answers what ends the pledge, once the
   * send has them or was given up.
   *
   * @throws {RingletError} when the program holds no claim on one of them.
   */
  pledge(leases: readonly Lease[]): () => void {
    const { raw } = this.#core;
    const pledged: Lease[] = [];
    const end = () => {
      for (const lease of pledged.splice(0)) {
        lease.pledges -= 1;
        if (raw.lease_release(lease.slot, lease.generation) === 1) this.serve();
      }
    };
    for (const lease of leases) {
      if (!this.claimed(lease) || raw.lease_retain(lease.slot, lease.generation) < 0) {
        end();
        throw lease.notHeld("send");
      }
      lease.pledges += 1;
      pledged.push(lease);
    }
    return end;
  }

  /** Runs what the leases are pledged to: it may do with them what the program could before. */
  redeem<T>(pledged: readonly Lease[], use: () => T): T {
    for (const lease of pledged) lease.pledges -= 1;
    try {
      return use();
    } finally {
      for (const lease of pledged) lease.pledges += 1;
    }
  }

  /** Whether the program still has the claim that it took the lease with, which the next send consumes. */
  unconsumed(lease: Lease): boolean {
    return this.#core.u32[this.#record(lease.slot) + WORD.implicit] !== 0 && this.claimed(lease);
  }

  /** Takes that claim, for sends that were accepted though the first one, which had it, was refused. */
  consume(lease: Lease): void {
    if (this.unconsumed(lease) && this.#core.raw.lease_consume(lease.slot, lease.generation) === 1) this.serve();
  }

  /** Refuses what needs `n` further leases, before half of it is done, if there cannot be so many. */
  requireSpare(n: number): void {
    if (n > this.#core.spareLeases) throw tableFull("maxLeases");
  }

  cut(lease: Lease, at: number): Lease {
    const slot = this.#core.raw.lease_cut(lease.slot, lease.generation, at);
    if (slot >= 0) return this.#made(slot);
    if (slot === FAULT.NO_SLOT) throw tableFull("maxLeases");
    throw lease.notHeld("cut");
  }

  /** Lends the whole lease for a receive; ends with {@linkcode handBack}. */
  lend(lease: Lease): void {
    if (lease.arena !== this) throw foreign();
    if (lease.pledges > 0) throw lease.notHeld("receive into");
    if (this.#core.raw.lease_lend(lease.slot, lease.generation) < 0) throw lease.notHeld("receive into");
  }

  handBack(lease: Lease): void {
    if (this.#core.raw.lease_unlend(lease.slot, lease.generation) === 1) this.serve();
  }

  /** Whether the program has a claim on the lease. */
  claimed(lease: Lease): boolean {
    return this.#claimed(lease.slot, lease.generation, lease.pledges);
  }

  /** Refuses what needs a claim when all that there are belong to sends that wait. */
  requireUnpledged(lease: Lease, action: string): void {
    if (lease.pledges > 0 && !this.claimed(lease)) throw lease.notHeld(action);
  }

  state(lease: Lease): LeaseState {
    const { u32 } = this.#core;
    const at = this.#record(lease.slot);
    if (u32[at + WORD.generation] !== lease.generation) return "free";
    return u32[at + WORD.sends] + lease.pledges > 0 ? "lent" : "leased";
  }

  /** A pledge is a hold that is not the program's, and has the lease's own claim. */
  #claimed(slot: number, generation: number, pledges = 0): boolean {
    const { u32 } = this.#core;
    const at = this.#record(slot);
    if (u32[at + WORD.generation] !== generation) return false;
    return u32[at + WORD.holds] > pledges || pledges === 0 && u32[at + WORD.implicit] !== 0;
  }

  /** Index of a lease's record in the core's words. */
  #record(slot: number): number {
    return this.#leases + slot * WORD.size;
  }

  stats(): ArenaStats {
    const { raw, u32, out } = this.#core;
    raw.arena_state();
    return {
      bytes: this.bytes.length,
      freeBytes: u32[out],
      largestFreeBytes: u32[out + 1],
      leases: u32[out + 3],
      waiting: this.#waiters.size,
      forgotten: this.#forgottenCount,
    };
  }

  close(): void {
    this.#closed = true;
    this.#waiters.fail(new RingletError("ERR_CLOSED", "Cannot lease: io was closed"));
  }
}

/** The error for a lease of another `open()`. */
export function foreign(): RingletError {
  return new RingletError("ERR_LEASE_FOREIGN", "Cannot use the lease: it belongs to another io's arena");
}

/** The error for a table that was sized too small at `open()`. */
export function tableFull(option: string): RingletError {
  return new RingletError("ERR_TABLE_FULL", `Cannot go on: every record is in use`, {
    advice: `pass a larger ${option} to open()`,
  });
}
