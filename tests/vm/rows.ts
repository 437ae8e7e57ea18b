/**
 * What a run on one kernel tells, one JSON line each.
 */

/** What became of a test. */
export type Outcome = "passed" | "failed" | "skipped";

/** One test. */
export interface TestRow {
  readonly kind: "test";
  readonly suite: string;
  readonly name: string;
  readonly outcome: Outcome;
  /** Since the test before. */
  readonly seconds?: number;
  /** Why it was skipped, or what is wrong; with `again` what was wrong before. */
  readonly why?: string;
  /** It failed, and passed when it was run once more: this row comes after that of the failure, and in its place. */
  readonly again?: boolean;
}

/** What `open()` says of one engine on this kernel. */
export interface FindingRow {
  readonly kind: "finding";
  readonly asked: string;
  /** The engine that was got; `undefined` when it was refused. */
  readonly name?: string;
  readonly reason: string;
  readonly capabilities?: Readonly<Record<string, boolean | number>>;
}

/** What the run is on. */
export interface KernelRow {
  readonly kind: "kernel";
  readonly release: string;
  readonly version: string;
}

/** How long a suite took. */
export interface SuiteRow {
  readonly kind: "suite";
  readonly suite: string;
  readonly seconds: number;
}

/** The run came to its end. */
export interface EndRow {
  readonly kind: "end";
}

/** Any row. */
export type Row = TestRow | FindingRow | KernelRow | SuiteRow | EndRow;

/** Reads rows from lines; what is no row is passed to `other`. */
export function parseRow(line: string, other: (line: string) => void = () => {}): Row | undefined {
  const text = line.trim();
  try {
    if (text.startsWith("{")) return JSON.parse(text);
  } catch {
    // A line that was cut off.
  }
  if (text !== "") other(text);
  return undefined;
}
