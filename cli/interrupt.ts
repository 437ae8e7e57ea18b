/**
 * Ctrl-C: the first asks everything to end in an orderly way, the second ends at once.
 *
 * @module
 */
import process from "node:process";
import { CommandError, EXIT } from "./failure.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const DONE = { SIGINT: "Interrupted", SIGTERM: "Terminated" } as const;

/** Listens to signals until it is disposed of. */
export class Interrupt implements Disposable {
  readonly #controller = new AbortController();
  readonly #listener = (name: string): void => {
    const outcome = name as (typeof SIGNALS)[number];
    if (this.signal.aborted) process.exit(EXIT[outcome].code);
    this.#controller.abort(new CommandError(outcome, DONE[outcome]));
  };

  constructor() {
    for (const name of SIGNALS) process.on(name, this.#listener);
  }

  /** Aborted by the first signal; its reason is a `CommandError` with the exit code. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const name of SIGNALS) process.off(name, this.#listener);
  }
}
