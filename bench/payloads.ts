/**
 * Payloads of a benchmark: so many that they do not stay in the cache, and written anew before each send.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import type { Io } from "../net/io.ts";
import type { Lease } from "../net/lease.ts";
import { Clock, type Contender } from "./measure.ts";

/** Where Linux describes the caches of the first processor. */
const CACHES = "/sys/devices/system/cpu/cpu0/cache";
/** Assumed where it does not. */
const USUAL_CACHE_BYTES = 32 << 20;
/** Payloads that stay in the cache, for comparison. */
const HOT_PAYLOADS = 32;

/** Size of the largest cache. */
export function lastLevelCacheBytes(): number {
  try {
    const sizes = readdirSync(CACHES).filter((name) => name.startsWith("index"))
      .map((name) => parseInt(readFileSync(`${CACHES}/${name}/size`, "utf8")) * 1024);
    return Math.max(...sizes);
  } catch {
    return USUAL_CACHE_BYTES;
  }
}

/** When payloads are written. */
export type Writing =
  /** All of them off the clock, then all are sent: what sending costs. */
  | "before"
  /** A batch at a time, on the clock: what a program that does nothing else sees. */
  | "within";

/** How a cell uses its payloads. */
export interface Rotation {
  readonly bytes: number;
  /** How many there are. */
  readonly count: number;
  readonly writing: Writing;
  /** Bytes that a round sends at least. */
  readonly roundBytes: number;
}

/** Payloads that rotate over twice the last-level cache. */
export function cold(bytes: number, roundBytes: number, writing: Writing = "before"): Rotation {
  return { bytes, count: Math.ceil(2 * lastLevelCacheBytes() / bytes / HOT_PAYLOADS) * HOT_PAYLOADS, writing, roundBytes };
}

/** Payloads that stay in the cache. */
export function hot(bytes: number, roundBytes: number): Rotation {
  return { bytes, count: HOT_PAYLOADS, writing: "before", roundBytes };
}

/** A place to send from: a ring of payloads, and a way to send a range of them. */
export interface Sender {
  readonly name: string;
  payload(i: number): Uint8Array;
  /** Sends `count` payloads from `from` on; resolves when they may be written again. */
  send(from: number, count: number): Promise<void>;
  close(): Promise<void> | void;
}

/** Payloads written and sent at a time by {@linkcode Writing} `within`. */
export const BATCH = 32;

/** Makes a contender of a sender. */
export function contender(sender: Sender, rotation: Rotation): Contender {
  const { bytes, count, writing, roundBytes } = rotation;
  let stamp = 0;
  const write = (from: number, n: number) => {
    for (let i = from; i < from + n; i++) sender.payload(i).fill(stamp);
    stamp = (stamp + 1) & 255;
  };
  const pass = async (clock: Clock) => {
    if (writing === "before") {
      write(0, count);
      await clock.time(count * bytes, () => sender.send(0, count));
      return;
    }
    await clock.time(count * bytes, async () => {
      for (let at = 0; at < count; at += BATCH) {
        write(at, BATCH);
        await sender.send(at, BATCH);
      }
    });
  };
  return {
    name: sender.name,
    round: async () => {
      const clock = new Clock();
      while (clock.round.bytes < roundBytes) await pass(clock);
      return clock.round;
    },
    close: () => sender.close(),
  };
}

/** Payloads in ordinary memory. */
export function buffers({ bytes, count }: Rotation): Uint8Array[] {
  const memory = new Uint8Array(bytes * count);
  return Array.from({ length: count }, (_, i) => memory.subarray(i * bytes, (i + 1) * bytes));
}

/** Size of an arena that has room for a {@linkcode Leases}. */
export function arenaBytes({ bytes, count }: Rotation): number {
  return (bytes + 64) * (count + 2 * BATCH);
}

/**
 * Payloads in leases. A send consumes its lease, so a new one is taken for each, on the clock; the arena answers with the memory
 * that became free last, and the ring around it keeps that from being used before all the rest.
 */
export class Leases {
  readonly #io: Io;
  readonly #bytes: number;
  readonly #ring: Lease[];

  constructor(io: Io, { bytes, count }: Rotation) {
    this.#io = io;
    this.#bytes = bytes;
    this.#ring = Array.from({ length: count }, () => this.#take());
  }

  #take(): Lease {
    const lease = this.#io.tryLease(this.#bytes);
    if (lease === undefined) throw new Error("the arena is too small for the benchmark");
    return lease;
  }

  at(i: number): Lease {
    return this.#ring[i];
  }

  /** New leases in the place of those that were sent. */
  renew(from: number, count: number): void {
    for (let i = from; i < from + count; i++) this.#ring[i] = this.#take();
  }

  release(): void {
    for (const lease of this.#ring) lease.release();
  }
}
