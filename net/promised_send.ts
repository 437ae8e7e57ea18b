/**
 * Who is told what becomes of a send, and the one that most sends have: somebody who awaits it.
 *
 * @module
 */
import { ERRNO } from "../ffi/errno.ts";
import type { Handle } from "../wasm/mod.ts";
import type { Endpoint } from "./endpoint.ts";
import { RingletError, systemError } from "./errors.ts";
import { onAbort } from "./on_abort.ts";
import { PendingReceipt, type Receipt } from "./receipt.ts";

/** Why a send failed. */
export interface SendFailure {
  /** An errno; 0 when it was given up by the program. */
  readonly errno: number;
  readonly syscall: string;
  /** The error itself where there is no errno. */
  readonly reason?: unknown;
}

/** Who is told what becomes of a send: either refused, or accepted or failed and then released. The owner of several has a place for each. */
export interface SendOwner {
  /** Lets `signal` give the send up while it is queued. */
  abortWith(signal: AbortSignal, id: Handle, place: number): void;
  /** The kernel took all bytes. */
  accepted(place: number): void;
  /** The kernel let go of the memory. */
  released(copied: boolean): void;
  /** Nothing was accepted; the leases are the program's again. */
  refused(failure: SendFailure, place: number): void;
  /** A part was accepted; `released` follows. */
  failed(failure: SendFailure, bytesAccepted: number, place: number): void;
}

/** What a send that failed says, to whomever; a signal's own reason where nothing was accepted. */
export function sendError(
  endpoint: Endpoint,
  bytes: number,
  { errno, syscall, reason }: SendFailure,
  signal: AbortSignal | undefined,
  part?: Receipt,
): unknown {
  // The kernel gave up what the program had given up.
  if (errno === ERRNO.ECANCELED && signal?.aborted) [errno, reason] = [0, signal.reason];
  if (errno === 0 && part === undefined) return reason;
  const { bytes: bytesAccepted, released } = part ?? { bytes: 0 };
  const what = `send ${bytes} bytes to ${endpoint.remoteText()}`;
  const details = { bytesAccepted, released, cause: reason };
  if (errno !== 0) return systemError(syscall, errno, what, details);
  return new RingletError("ECANCELED", `Cannot ${what}: it was given up after ${bytesAccepted}`, details);
}

let resolving: (receipt: Receipt) => void;
let rejecting: (reason: unknown) => void;
/** Takes what settles the promise that is being made: a closure for each promise would cost as much as the promise. */
function capture(resolve: (receipt: Receipt) => void, reject: (reason: unknown) => void): void {
  resolving = resolve;
  rejecting = reject;
}

/** See the module. */
export class PromisedSend implements SendOwner {
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

  abortWith(signal: AbortSignal, id: Handle): void {
    const stopListening = onAbort(signal, () => this.#endpoint.sends.giveUp([id], signal.reason));
    this.#patience = { signal, stopListening };
  }

  accepted(): void {
    this.#patience?.stopListening();
    this.#resolve(this.#receipt = new PendingReceipt(this.#bytes));
  }

  released(copied: boolean): void {
    this.#receipt!.settle(copied);
  }

  refused(failure: SendFailure): void {
    this.#fail(failure);
  }

  failed(failure: SendFailure, bytesAccepted: number): void {
    this.#receipt = new PendingReceipt(bytesAccepted);
    this.#fail(failure);
  }

  #fail(failure: SendFailure): void {
    this.#patience?.stopListening();
    this.#reject(sendError(this.#endpoint, this.#bytes, failure, this.#patience?.signal, this.#receipt));
  }
}
