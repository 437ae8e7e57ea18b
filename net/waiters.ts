/**
 * A queue of promises that are served in order, and waiting that can be given up.
 *
 * @module
 */
import { onAbort } from "./on_abort.ts";

interface Waiter<T, R> {
  readonly request: T;
  readonly resolve: (value: R) => void;
  readonly reject: (reason: unknown) => void;
  readonly stop: () => void;
}

/** Waiting requests of type `T`, each answered by an `R`, first come, first served. */
export class Waiters<T, R> {
  readonly #queue = new Set<Waiter<T, R>>();
  readonly #onLeave: (() => void) | undefined;

  /** @param onLeave Called when a waiter gave up: the next one may want less. */
  constructor(onLeave?: () => void) {
    this.#onLeave = onLeave;
  }

  get size(): number {
    return this.#queue.size;
  }

  /** Waits until {@linkcode serve} or {@linkcode fail} answers; an aborted `signal` leaves the queue. */
  wait(request: T, signal?: AbortSignal): Promise<R> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise<R>((resolve, reject) => {
      const giveUp = () => {
        this.#leave(waiter).reject(signal!.reason);
        this.#onLeave?.();
      };
      const stop = signal === undefined ? () => {} : onAbort(signal, giveUp);
      const waiter: Waiter<T, R> = { request, resolve, reject, stop };
      this.#queue.add(waiter);
    });
  }

  /** Answers waiters from the front until `answer` has nothing (`undefined`) for one. One that throws is rejected. */
  serve(answer: (request: T) => R | undefined): void {
    for (const waiter of this.#queue) {
      let value: R | undefined;
      try {
        value = answer(waiter.request);
      } catch (error) {
        this.#leave(waiter).reject(error);
        continue;
      }
      if (value === undefined) return;
      this.#leave(waiter).resolve(value);
    }
  }

  /** Rejects every waiter. */
  fail(reason: unknown): void {
    for (const waiter of this.#queue) this.#leave(waiter).reject(reason);
  }

  #leave(waiter: Waiter<T, R>): Waiter<T, R> {
    this.#queue.delete(waiter);
    waiter.stop();
    return waiter;
  }
}

/** `promise`, unless `signal` is aborted first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const stop = signal.aborted ? () => {} : onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).then(stop);
  });
}

/** One at a time, in the order of the calls. */
export class Turn {
  readonly #waiting = new Waiters<void, true>();
  #taken = false;

  /** Nobody has it. */
  get free(): boolean {
    return !this.#taken;
  }

  /** Resolves when it is the caller's, who then calls {@linkcode leave}. */
  async take(signal?: AbortSignal): Promise<void> {
    if (this.#taken) await this.#waiting.wait(undefined, signal);
    this.#taken = true;
  }

  /** Passes it on. */
  leave(): void {
    this.#taken = this.#waiting.size > 0;
    let next: true | undefined = true;
    this.#waiting.serve(() => {
      const served = next;
      next = undefined;
      return served;
    });
  }

  /** Rejects those who wait. */
  fail(reason: unknown): void {
    this.#waiting.fail(reason);
  }
}
