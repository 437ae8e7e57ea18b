/**
 * Receipts: what a send answers, and when its memory is free again.
 *
 * @module
 */

/** How the kernel let go of the memory. */
export interface Release {
  /** `true` when the kernel copied the bytes, or some of them, instead of reading them in place. */
  readonly copied: boolean;
}

/** The kernel accepted a send. */
export interface Receipt {
  /** Bytes accepted: all of them. */
  readonly bytes: number;
  /**
   * Resolves when the kernel has let go of the memory: a lease without holds is back in the arena then, one with holds is the
   * program's again. Never rejects. It stays pending only when the kernel still held the memory when the socket was closed;
   * `stats()` then names the quarantined loans.
   */
  readonly released: Promise<Release>;
}

const COPIED: Release = Object.freeze({ copied: true });
const NOT_COPIED: Release = Object.freeze({ copied: false });
const RELEASED_COPIED = Promise.resolve(COPIED);
const RELEASED_NOT_COPIED = Promise.resolve(NOT_COPIED);

/** A release as a shared object. */
export function release(copied: boolean): Release {
  return copied ? COPIED : NOT_COPIED;
}

/** The receipt of a send; its promise is made only when somebody asks for it. */
export class PendingReceipt implements Receipt {
  readonly bytes: number;
  #released: Promise<Release> | undefined;
  #resolve: ((release: Release) => void) | undefined;

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  get released(): Promise<Release> {
    return this.#released ??= new Promise((resolve) => this.#resolve = resolve);
  }

  /** The kernel let go. */
  settle(copied: boolean): void {
    if (this.#resolve !== undefined) this.#resolve(release(copied));
    else this.#released ??= copied ? RELEASED_COPIED : RELEASED_NOT_COPIED;
  }
}
