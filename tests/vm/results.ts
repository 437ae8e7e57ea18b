/**
 * What all runs told, added up.
 */
import type { Run } from "./guest.ts";
import type { FindingRow, Outcome, TestRow } from "./rows.ts";

/** Numbers of tests. */
export type Count = Record<Outcome, number>;

/** One kernel, and what became of it. */
export interface Result {
  /** Name of its line. */
  readonly name: string;
  /** Release and package; empty where there is none. */
  readonly kernel: string;
  /** Why it was not run, or not to its end. */
  readonly missing?: string;
  readonly run?: Run;
}

/** A count of nothing. */
export function noCount(): Count {
  return { passed: 0, failed: 0, skipped: 0 };
}

/** The tests of a result for which `wanted` holds. */
export function testsOf({ run }: Result, wanted: (test: TestRow) => boolean = () => true): TestRow[] {
  const tests = (run?.rows ?? []).filter((row) => row.kind === "test");
  const nameOf = ({ suite, name }: TestRow) => `${suite}: ${name}`;
  const mended = new Set(tests.filter(({ again }) => again).map(nameOf));
  return tests.filter((test) => test.outcome !== "failed" || !mended.has(nameOf(test))).filter(wanted);
}

/** Counts tests. */
export function countOf(tests: readonly TestRow[]): Count {
  const count = noCount();
  for (const { outcome } of tests) count[outcome] += 1;
  return count;
}

/** All of a result: its tests, what was wrong with the run itself, and a run that could not be. */
export function totalOf(result: Result): Count {
  const count = countOf(testsOf(result));
  count.failed += result.run?.troubles.length ?? 0;
  if (result.missing !== undefined) count.skipped += 1;
  return count;
}

/** The sum of counts. */
export function sum(counts: readonly Count[]): Count {
  const total = noCount();
  for (const count of counts) for (const key of ["passed", "failed", "skipped"] as const) total[key] += count[key];
  return total;
}

/** What `open()` said when it was asked for an engine. */
export function finding({ run }: Result, asked: string): FindingRow | undefined {
  return run?.rows.filter((row) => row.kind === "finding").find((row) => row.asked === asked);
}

/** The engine that a test is about, by the end of its name. */
export function engineOf({ name }: TestRow): string | undefined {
  return /\[(uring|errqueue|copy)\]$/.exec(name)?.[1];
}
