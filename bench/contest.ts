/**
 * Contenders that send the same payloads to the same place, and the pairs of them that become rows.
 *
 * @module
 */
import { type Cell, type Command, contender, type Job } from "./child.ts";
import { compete, type Metric, type Row, row, type Target } from "./measure.ts";
import type { Size } from "./options.ts";

/** Two contenders, by name, and what of them is compared. */
export type Pair = readonly [ours: string, peer: string, metric: Metric, target?: Target];

/** A cell and its pairs; pairs with a contender that is not there are left out. */
export interface Match {
  readonly cell: Cell;
  readonly pairs: readonly Pair[];
}

/** Starts the contenders and runs the matches one after another. */
export async function contest(
  job: Job,
  commands: ReadonlyMap<string, Command>,
  matches: readonly Match[],
  size: Size,
): Promise<Row[]> {
  const contenders = new Map([...commands].map(([name, command]) => [name, contender(command, job)]));
  const rows: Row[] = [];
  try {
    for (const [i, { cell, pairs }] of matches.entries()) {
      const warmUps = i === 0 ? size.warmUps : 1;
      const results = await compete(contenders, { ...cell, roundBytes: size.roundBytes }, { ...size, warmUps });
      for (const [name, peer, metric, target] of pairs) {
        const [ours, theirs] = [results.get(name), results.get(peer)];
        if (ours === undefined || theirs === undefined) continue;
        const label = `${cell.name}: ${name}`;
        rows.push(row(label, metric.unit, ours.map(metric.of), peer, theirs.map(metric.of), target));
      }
    }
  } finally {
    for (const contender of contenders.values()) await contender.close();
  }
  return rows;
}
