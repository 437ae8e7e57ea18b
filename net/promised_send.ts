/**
 * A send that somebody awaits: who is told what becomes of it.
 *
 * @module
 */
import { ERRNO } from "../ffi/errno.ts";
import type { Endpoint } from "./endpoint.ts";
import { RingletError, systemError } from "./errors.ts";
import { PendingReceipt, type Receipt } from "./receipt.ts";

/** Why a send failed. */
export interface SendFailure {
  /** An errno; 0 when it was given up by the program. */
  readonly errno: number;
  readonly syscall: string;
  /** The error itself where there is no errno. */
  readonly reason?: unknown;
}

let resolving: (receipt: Receipt) => void;
let rejecting: (reason: unknown) => void;
/** Takes what settles the promise that is being made: a closure for each promise would cost as much as the promise. */
function capture(resolve: (receipt: Receipt) => void, reject: (reason: unknown) => void): void {
  resolving = resolve;
  rejecting = reject;
}

/** See the module. It ends with exactly one of {@linkcode PromisedSend.released} and {@linkcode PromisedSend.refused}. */
export class PromisedSend {
  readonly promise: Promise<Receipt>;
  readonly #endpoint: Endpoint;
  readonly #bytes: number;
  readonly #resolve: (receipt: Receipt) => void;
  readonly #reject: (reason: unknown) => void;
  #receipt: PendingReceipt | undefined;
  #patience: { readonly signal: AbortSignal; readonly stopListening: () => void } | undefined;

  constructor(endpoint: Endpoint, bytes: number) {
    this.#endpoint = endpoint;
    this.#bytes = bytes;
    this.promise = new Promise(capture);
    this.#resolve = resolving;
    this.#reject = rejecting;
  }

  /** Lets `signal` give the send up while it is queued. */
  abortWith(signal: AbortSignal, id: number): void {
    const onAbort = () => this.#endpoint.giveUp(id, signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#patience = { signal, stopListening: () => signal.removeEventListener("abort", onAbort) };
  }

  /** The kernel took all bytes. */
  accepted(): void {
    this.#patience?.stopListening();
    this.#resolve(this.#receipt = new PendingReceipt(this.#bytes));
  }

  /** The kernel let go of the memory. */
  released(copied: boolean): void {
    this.#receipt!.settle(copied);
  }

  /** Nothing was accepted; the leases are the program's again. */
  refused(failure: SendFailure): void {
    this.#patience?.stopListening();
    failure = this.#asGivenUp(failure);
    this.#reject(failure.errno === 0 ? failure.reason : this.#error(failure));
  }

  /** A part was accepted; `released` follows. */
  failed(failure: SendFailure, bytesAccepted: number): void {
    this.#patience?.stopListening();
    this.#receipt = new PendingReceipt(bytesAccepted);
    this.#reject(this.#error(this.#asGivenUp(failure), bytesAccepted, this.#receipt.released));
  }

  /** A send that the kernel gave up because the program had. */
  #asGivenUp(failure: SendFailure): SendFailure {
    const signal = this.#patience?.signal;
    if (failure.errno !== ERRNO.ECANCELED || !signal?.aborted) return failure;
    return { errno: 0, syscall: failure.syscall, reason: signal.reason };
  }

  #error({ errno, syscall, reason }: SendFailure, bytesAccepted = 0, released?: Promise<unknown>): Error {
    const what = `send ${this.#bytes} bytes to ${this.#endpoint.remoteText()}`;
    const details = { bytesAccepted, released, cause: reason };
    if (errno !== 0) return systemError(syscall, errno, what, details);
    return new RingletError("ECANCELED", `Cannot ${what}: it was given up after ${bytesAccepted}`, details);
  }
}
