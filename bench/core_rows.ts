/**
 * The rows of the core, with their targets.
 *
 * @module
 */
import { run } from "./core.ts";
import type { Row } from "./measure.ts";
import type { BenchOptions } from "./options.ts";

/** Multiples of an empty call that a cell, by the start of its name, should cost at most. */
const TARGETS: Record<string, number> = { ledger: 8, carve: 20 };

/** See the module. */
// deno-lint-ignore require-await -- like the other parts
export async function core({ quick }: BenchOptions): Promise<Row[]> {
  return run(quick).map((row) => {
    const name = Object.keys(TARGETS).find((name) => row.cell.startsWith(name));
    if (name === undefined) return row;
    return { ...row, target: TARGETS[name], bound: "at most", met: row.ratio <= TARGETS[name] };
  });
}
