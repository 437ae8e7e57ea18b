/**
 * Sends that nobody awaits one by one: the arena bounds how many are in flight, and the first failure stops the rest.
 *
 * @module
 */
import type { Io, Lease, Receipt } from "../mod.ts";

/** See the module. */
export class Outbox {
  /** Sends whose memory the kernel has given back, by what it did with it. */
  copied = 0;
  notCopied = 0;
  readonly #io: Io;
  readonly #post: (lease: Lease) => Promise<Receipt>;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #onAccepted: (bytes: number) => void;
  readonly #open = new Set<Promise<void>>();
  #failure: unknown;

  /**
   * @param post How a lease is sent.
   * @param signal Ends the wait for room.
   * @param onAccepted Told how many bytes the kernel has just accepted.
   */
  constructor(
    io: Io,
    post: (lease: Lease) => Promise<Receipt>,
    signal: AbortSignal,
    onAccepted: (bytes: number) => void,
  ) {
    this.#io = io;
    this.#post = post;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
    this.#onAccepted = onAccepted;
  }

  /** A lease to fill and {@linkcode send}, as soon as there is room. */
  lease(byteLength: number): Promise<Lease> {
    return this.#io.lease(byteLength, { signal: this.#signal });
  }

  /** Sends a lease. What becomes of it is known after {@linkcode settled}. */
  send(lease: Lease): void {
    const settling = this.#follow(lease).finally(() => this.#open.delete(settling));
    this.#open.add(settling);
  }

  /** Sends a few bytes in a lease of their own. */
  async sendBytes(bytes: Uint8Array): Promise<void> {
    const lease = await this.lease(bytes.length);
    lease.bytes.set(bytes);
    this.send(lease);
  }

  async #follow(lease: Lease): Promise<void> {
    try {
      const receipt = await this.#post(lease);
      this.#onAccepted(receipt.bytes);
      const { copied } = await receipt.released;
      if (copied) this.copied += 1;
      else this.notCopied += 1;
    } catch (error) {
      lease[Symbol.dispose]();
      this.#failure ??= error;
      this.#stop.abort(error);
    }
  }

  /** Resolves when the kernel has given everything back; rejects with the first failure. */
  async settled(): Promise<void> {
    await Promise.all(this.#open);
    if (this.#failure !== undefined) throw this.#failure;
  }
}
