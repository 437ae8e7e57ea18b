/**
 * How long a silent peer is waited for.
 *
 * @module
 */
import { clearTimeout, setTimeout } from "node:timers";
import { CommandError } from "./failure.ts";

/** A time limit that every sign of life puts off. */
export class Patience implements Disposable {
  /** Aborted when nothing came for too long, or with the parent. */
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param parent A signal that ends the wait, too. */
  constructor(parent: AbortSignal) {
    this.signal = AbortSignal.any([parent, this.#controller.signal]);
  }

  /** From now on, and from each {@linkcode touch} on, `what` must come within so many seconds. */
  expect(what: string, seconds: number): void {
    clearTimeout(this.#timer);
    const onTimeout = () => this.#controller.abort(new CommandError("failed", `No ${what} for ${seconds} s`));
    this.#timer = setTimeout(onTimeout, seconds * 1000);
  }

  /** A sign of life. */
  touch(): void {
    this.#timer?.refresh();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
