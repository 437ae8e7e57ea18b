/**
 * The tables of `docs/speed.md`.
 *
 * @module
 */
import { promised, WAYS } from "./contenders.ts";
import { type Row, SPEED } from "./measure.ts";

/** Lines of a table with aligned columns, as `deno fmt` wants them. */
function table(lines: readonly (readonly string[])[]): string {
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  const text = (line: readonly string[]) => `| ${line.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  const [head, ...rest] = lines.map(text);
  return [head, rule, ...rest].join("\n");
}

function ratioText({ ratio, low, high, met }: Row): string {
  const interval = low === undefined || low === high ? "" : ` (${low.toFixed(2)}–${high!.toFixed(2)})`;
  return `${ratio.toFixed(2)}${interval}${met === false ? " ✗" : ""}`;
}

/** Ours ÷ C in a table of transports and sizes by ways and paths. */
function besideC(rows: readonly Row[]): string {
  const names = WAYS.flatMap((way) => [`uring ${way}`, promised(`uring ${way}`)]);
  const found = new Map<string, Map<string, Row>>();
  for (const row of rows) {
    const [label, name] = row.cell.split(": ");
    if (!found.has(label)) found.set(label, new Map());
    found.get(label)!.set(name, row);
  }
  const lines = [...found].map(([label, byName]) => [
    label,
    ...names.map((name) => byName.has(name) ? ratioText(byName.get(name)!) : ""),
  ]);
  return table([["ours ÷ C", ...names.map((name) => name.replace("uring ", ""))], ...lines]);
}

function others(rows: readonly Row[]): string {
  const lines = rows.map((row) => [
    row.cell,
    row.unit === SPEED.unit ? row.peerName : `${row.peerName}, ${row.unit || "ratios"}`,
    ratioText(row),
    row.target === undefined ? "" : `${row.bound} ${row.target}`,
  ]);
  return table([["Cell", "Beside", "Ratio", "Target"], ...lines]);
}

/** The rows that are compared with C, and all others that have a target. */
export function markdown(rows: readonly Row[]): string {
  const cells = new RegExp(`^[^:]+: uring (${WAYS.join("|")})(, promises)?$`);
  const c = rows.filter(({ cell, peerName }) => cells.test(cell) && peerName.startsWith("C "));
  const rest = rows.filter((row) => !c.includes(row) && row.target !== undefined);
  return [besideC(c), others(rest)].join("\n\n") + "\n";
}
