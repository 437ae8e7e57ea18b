/**
 * Which sends of a socket ask for zero-copy.
 *
 * Asking costs: pages are pinned, and a notification comes back. It pays from about 10 KiB on, and never where the kernel copies
 * anyway (loopback, a device without scatter-gather). So a socket whose completions keep saying "copied" stops asking, and asks
 * again after a while, ever more seldom as long as the answer stays the same; never for good.
 *
 * @module
 */

/** `auto` follows the completions, `always` asks for every send from the threshold on, `never` copies. */
export type ZeroCopyMode = "auto" | "always" | "never";

/** Payloads from this size on are worth pinning: the measured break-even is between 8 and 16 KiB. */
export const DEFAULT_THRESHOLD_BYTES = 10 * 1024;
/** So many sends copied in a row stop the asking. */
const COPIED_TO_STOP = 16;
/** When asking again, so many are enough. */
const COPIED_TO_STOP_AGAIN = 2;
/** Sends to copy before asking again: at first, and at most. */
const FIRST_PAUSE_SENDS = 256;
const LONGEST_PAUSE_SENDS = 16_384;

/** What `stats()` tells about it. */
export interface ZeroCopyStats {
  /** As it was asked for. */
  mode: ZeroCopyMode;
  /** Payloads below this size are copied. */
  thresholdBytes: number;
  /** Whether a large send would ask for zero-copy now. */
  asking: boolean;
  /** How often the socket stopped asking because the kernel copied anyway. */
  stopped: number;
  /** Sends left before it asks again. */
  pauseSends: number;
}

/** The decision, and what it learns from. */
export class ZeroCopyPolicy {
  readonly #mode: ZeroCopyMode;
  readonly #thresholdBytes: number;
  #copiedInARow = 0;
  #pauseSends = 0;
  #nextPauseSends = FIRST_PAUSE_SENDS;
  #stopped = 0;

  constructor(mode: ZeroCopyMode, thresholdBytes: number) {
    this.#mode = mode;
    this.#thresholdBytes = thresholdBytes;
  }

  /** Whether a send of so many bytes asks for zero-copy. */
  wants(bytes: number): boolean {
    if (this.#mode === "never" || bytes < this.#thresholdBytes) return false;
    if (this.#pauseSends === 0) return true;
    this.#pauseSends -= 1;
    return false;
  }

  /** Learns from a notification for `sends` sends. */
  learn(sends: number, copied: boolean): void {
    if (this.#mode !== "auto") return;
    if (!copied) {
      this.#copiedInARow = 0;
      this.#pauseSends = 0;
      this.#nextPauseSends = FIRST_PAUSE_SENDS;
      return;
    }
    this.#copiedInARow += sends;
    if (this.#copiedInARow < COPIED_TO_STOP || this.#pauseSends > 0) return;
    this.#stopped += 1;
    this.#pauseSends = this.#nextPauseSends;
    this.#nextPauseSends = Math.min(this.#nextPauseSends * 2, LONGEST_PAUSE_SENDS);
    this.#copiedInARow = COPIED_TO_STOP - COPIED_TO_STOP_AGAIN;
  }

  stats(): ZeroCopyStats {
    return {
      mode: this.#mode,
      thresholdBytes: this.#thresholdBytes,
      asking: this.#mode !== "never" && this.#pauseSends === 0,
      stopped: this.#stopped,
      pauseSends: this.#pauseSends,
    };
  }
}
