/**
 * Reads what `deno test --reporter=tap` prints.
 */
import type { Outcome } from "./rows.ts";

/** One test of the report. */
export interface TapTest {
  name: string;
  outcome: Outcome;
  why?: string;
}

const TEST = /^(ok|not ok) \d+ - (.*?)( # (?:SKIP|TODO).*)?$/;

/** See the module. Push lines; tests come out as soon as all is known of them. */
export class TapReader {
  readonly #found: (test: TapTest) => void;
  #failed: TapTest | undefined;
  /** The report says how many tests there were: it is whole. */
  complete = false;

  constructor(found: (test: TapTest) => void) {
    this.#found = found;
  }

  push(line: string): void {
    const test = TEST.exec(line);
    const details = this.#failed !== undefined && /^\s+\{"message":/.test(line);
    if (details) this.#failed!.why = JSON.parse(line).message;
    else if (test !== null || /^(#|\d+\.\.\d+)/.test(line)) this.end();
    if (/^\d+\.\.\d+/.test(line)) this.complete = true;
    if (test === null) return;
    const [, verdict, name, skipped] = test;
    const outcome = verdict !== "ok" ? "failed" : skipped ? "skipped" : "passed";
    const found: TapTest = { name, outcome };
    if (outcome === "failed") this.#failed = found;
    else this.#found(found);
  }

  /** Nothing more comes. */
  end(): void {
    if (this.#failed !== undefined) this.#found(this.#failed);
    this.#failed = undefined;
  }
}
