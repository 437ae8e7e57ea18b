/**
 * Who is told what becomes of a send: a promise, or the batch queue.
 *
 * @module
 */
import { ERRNO } from "../ffi/errno.ts";
import type { Endpoint } from "./endpoint.ts";
import { RingletError, systemError } from "./errors.ts";
import { PendingReceipt, type Receipt } from "./receipt.ts";

/** The owner of a send in flight. Each send ends with exactly one of `released` and `refused`. */
export interface SendOwner {
  /** The kernel took all bytes. */
  accepted(id: number, bytes: number): void;
  /** The kernel let go of the memory. */
  released(id: number, copied: boolean): void;
  /** Nothing was accepted; the leases are the program's again. */
  refused(id: number, failure: SendFailure): void;
  /** A part was accepted; `released` follows. */
  failed(id: number, failure: SendFailure, bytesAccepted: number): void;
}

/** Why a send failed. */
export interface SendFailure {
  /** An errno; 0 when it was given up by the program. */
  readonly errno: number;
  readonly syscall: string;
  /** The error itself where there is no errno. */
  readonly reason?: unknown;
}

/** A send that somebody awaits. */
export class PromisedSend implements SendOwner {
  readonly promise: Promise<Receipt>;
  readonly #endpoint: Endpoint;
  readonly #bytes: number;
  #resolve!: (receipt: Receipt) => void;
  #reject!: (reason: unknown) => void;
  #receipt: PendingReceipt | undefined;
  #signal: AbortSignal | undefined;
  #stopListening: (() => void) | undefined;

  constructor(endpoint: Endpoint, bytes: number) {
    this.#endpoint = endpoint;
    this.#bytes = bytes;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Lets `signal` give the send up while it is queued. */
  abortWith(signal: AbortSignal, id: number): void {
    const onAbort = () => this.#endpoint.giveUp(id, signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#signal = signal;
    this.#stopListening = () => signal.removeEventListener("abort", onAbort);
  }

  accepted(): void {
    this.#stopListening?.();
    this.#resolve(this.#receipt = new PendingReceipt(this.#bytes));
  }

  released(_id: number, copied: boolean): void {
    this.#receipt!.settle(copied);
  }

  refused(_id: number, failure: SendFailure): void {
    this.#stopListening?.();
    failure = this.#asGivenUp(failure);
    this.#reject(failure.errno === 0 ? failure.reason : this.#error(failure));
  }

  failed(_id: number, failure: SendFailure, bytesAccepted: number): void {
    this.#stopListening?.();
    this.#receipt = new PendingReceipt(bytesAccepted);
    this.#reject(this.#error(this.#asGivenUp(failure), bytesAccepted, this.#receipt.released));
  }

  /** A send that the kernel gave up because the program had. */
  #asGivenUp(failure: SendFailure): SendFailure {
    if (failure.errno !== ERRNO.ECANCELED || !this.#signal?.aborted) return failure;
    return { errno: 0, syscall: failure.syscall, reason: this.#signal.reason };
  }

  #error({ errno, syscall, reason }: SendFailure, bytesAccepted = 0, released?: Promise<unknown>): Error {
    const what = `send ${this.#bytes} bytes to ${this.#endpoint.remoteText()}`;
    const details = { bytesAccepted, released, cause: reason };
    if (errno !== 0) return systemError(syscall, errno, what, details);
    return new RingletError("ECANCELED", `Cannot ${what}: it was given up after ${bytesAccepted}`, details);
  }
}

/** What `reap` reports about a send of `trySend`. */
export type SendEvent = "accepted" | "released" | "failed" | "refused";

/** Takes the events of `trySend`'s sends. */
export type ReapHandler = (id: number, event: SendEvent, value: number) => void;

const EVENTS: readonly SendEvent[] = ["accepted", "released", "failed", "refused"];

/** Events of batch sends until `reap` takes them. Sized once; {@linkcode BatchSends.full} keeps it from overflowing. */
export class BatchSends implements SendOwner {
  readonly #limit: number;
  readonly #capacity: number;
  #ids: Float64Array | undefined;
  #kinds: Uint8Array | undefined;
  #values: Uint32Array | undefined;
  #head = 0;
  #size = 0;

  /** @param maxSends How many sends can be in flight at once; each has at most three events. */
  constructor(maxSends: number) {
    this.#limit = maxSends;
    this.#capacity = 4 * maxSends;
  }

  /** So many events wait for `reap` that no more sends are taken. */
  get full(): boolean {
    return this.#size >= this.#limit;
  }

  accepted(id: number, bytes: number): void {
    this.#push(id, 0, bytes);
  }

  released(id: number, copied: boolean): void {
    this.#push(id, 1, copied ? 1 : 0);
  }

  failed(id: number, failure: SendFailure): void {
    this.#push(id, 2, failure.errno);
  }

  refused(id: number, failure: SendFailure): void {
    this.#push(id, 3, failure.errno);
  }

  #push(id: number, kind: number, value: number): void {
    this.#ids ??= new Float64Array(this.#capacity);
    this.#kinds ??= new Uint8Array(this.#capacity);
    this.#values ??= new Uint32Array(this.#capacity);
    const at = (this.#head + this.#size) % this.#capacity;
    this.#ids[at] = id;
    this.#kinds[at] = kind;
    this.#values[at] = value;
    this.#size += 1;
  }

  /** Hands every event to `handler`, which may send again. Answers how many there were. */
  drain(handler: ReapHandler): number {
    let count = 0;
    for (; this.#size > 0; count++) {
      const at = this.#head;
      this.#head = (at + 1) % this.#capacity;
      this.#size -= 1;
      handler(this.#ids![at], EVENTS[this.#kinds![at]], this.#values![at]);
    }
    return count;
  }
}
