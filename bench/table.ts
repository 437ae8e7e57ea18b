/**
 * Rows as text.
 *
 * @module
 */
import type { Row } from "./measure.ts";

/** Lines of aligned columns; rows for the chart are not shown. */
export function* table(rows: readonly Row[]): Generator<string> {
  const cells = rows.filter(({ chart }) => !chart).map((row) => [
    row.cell,
    `${number(row.ours)} ${row.unit}`,
    row.peerName,
    number(row.peer),
    `${number(row.ratio)}x`,
    interval(row),
    row.target === undefined ? "" : `${row.met ? "met" : "MISSED"}: ${row.bound} ${row.target}x`,
  ]);
  const widths = cells.reduce(
    (widest, line) => widest.map((width, i) => Math.max(width, line[i].length)),
    Array(7).fill(0),
  );
  for (const line of cells) yield line.map((text, i) => text.padEnd(widths[i])).join("  ").trimEnd();
}

function interval({ low, high }: Row): string {
  return low === undefined || high === undefined ? "" : `${number(low)}..${number(high)}`;
}

function number(value: number): string {
  return value.toPrecision(value >= 100 ? 4 : 3);
}
