/**
 * Sends of `trySend`: nobody is told what becomes of them; `reap` reads it where the core has written it.
 *
 * @module
 */
import { type Core, layout } from "../wasm/mod.ts";

const { EVENT, EVENT_BYTES } = layout;

/** What `reap` reports about a send of `trySend`. */
export type SendEvent = "accepted" | "released" | "failed" | "refused";

/** Takes the events of `trySend`'s sends. */
export type ReapHandler = (id: number, event: SendEvent, value: number) => void;

const NAMES: SendEvent[] = [];
NAMES[EVENT.ACCEPTED] = "accepted";
NAMES[EVENT.RELEASED] = "released";
NAMES[EVENT.CUT] = "failed";
NAMES[EVENT.REFUSED] = "refused";

/** Numbers of sends are small integers, which JavaScript engines keep without a box. */
const NUMBER_BITS = 30;

/** See the module. */
export class BatchSends {
  readonly #core: Core;
  /** Bits of a number that name the record; the others tell its uses apart. */
  readonly #slotBits: number;
  #draining = false;

  /** @param maxSends How many sends can be in flight at once. */
  constructor(core: Core, maxSends: number) {
    this.#core = core;
    this.#slotBits = Math.ceil(Math.log2(maxSends));
  }

  /** The program's number of a send: no other that is in flight has it. */
  numberOf(slot: number, generation: number): number {
    return (generation << this.#slotBits | slot) & (2 ** NUMBER_BITS - 1);
  }

  /** Whether there are events. */
  get ready(): boolean {
    return this.#core.raw.reaped_ready() > 0;
  }

  /** Hands every event to `handler`, which may send again. Answers how many there were; 0 to the handler itself. */
  drain(handler: ReapHandler): number {
    if (this.#draining) return 0;
    this.#draining = true;
    const { raw, u32, out } = this.#core;
    let count = 0;
    try {
      for (let ready = raw.reaped_ready(); ready > 0; ready = raw.reaped_ready()) {
        let told = 0;
        try {
          for (let at = u32[out] >>> 2; told < ready; at += EVENT_BYTES / 4) {
            told += 1;
            handler(this.numberOf(u32[at + 1], u32[at + 2]), NAMES[u32[at]], u32[at + 3]);
          }
        } finally {
          raw.reaped_take(told); // even if the handler threw: no event comes twice
          count += told;
        }
      }
    } finally {
      this.#draining = false;
    }
    return count;
  }
}
