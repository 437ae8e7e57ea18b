/**
 * One cell: contenders that send the same payloads to the same place, and the pairs of them that become rows.
 *
 * @module
 */
import { type Cell, type Command, contender, type Destination } from "./child.ts";
import { compete, type Metric, type Row, row, type Target } from "./measure.ts";
import type { Size } from "./options.ts";

/** Two contenders, by name, and what of them is compared. */
export type Pair = readonly [ours: string, peer: string, metric: Metric, target?: Target];

/** Runs a cell; pairs with a contender that is not there are left out. */
export async function contest(
  cell: Cell,
  to: Destination,
  commands: ReadonlyMap<string, Command>,
  pairs: readonly Pair[],
  size: Size,
): Promise<Row[]> {
  const contenders = new Map([...commands].map(([name, command]) => [name, contender(command, cell, to, size.roundBytes)]));
  const results = await compete(contenders, size);
  return pairs.flatMap(([name, peer, metric, target]) => {
    const [ours, theirs] = [results.get(name), results.get(peer)];
    if (ours === undefined || theirs === undefined) return [];
    return [row(`${cell.name}: ${name}`, metric.unit, ours.map(metric.of), peer, theirs.map(metric.of), target)];
  });
}
