/**
 * `deno task bench [--quick] [--json] [udp] [tcp] [core] [memory]`: Ringlet beside what the runtimes and C offer, in ratios.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { deno } from "./child.ts";
import { core } from "./core_rows.ts";
import type { Row } from "./measure.ts";
import { memory } from "./memory.ts";
import { DEVICE, runInNamespace } from "./namespace.ts";
import { type BenchOptions, FULL, QUICK } from "./options.ts";
import { tcp } from "./tcp.ts";
import { udp } from "./udp.ts";

/** The parts, in the order they run. */
const PARTS: Record<string, (options: BenchOptions) => Promise<Row[]>> = { core, udp, tcp, memory };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    // Where this process is: not asked yet, in the namespace, or without one.
    namespace: { type: "string" },
  },
});
const unknown = positionals.find((name) => !(name in PARTS));
if (unknown !== undefined) {
  console.error(`There is no part "${unknown}": there are ${Object.keys(PARTS).join(", ")}`);
  process.exit(2);
}
process.exitCode = values.namespace === undefined ? await enter() : await run(values.namespace === "own");

/** Goes on in a namespace of its own, if it can have one. */
async function enter(): Promise<number> {
  const result = await runInNamespace(deno("main.ts", [...process.argv.slice(2), "--namespace=own"]));
  if (typeof result === "number") return result;
  console.error(`SKIP UDP: no network namespace (${result.message})`);
  return await run(false);
}

async function run(own: boolean): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "ringlet-bench-"));
  const rows: Row[] = [];
  try {
    const options = { ...(values.quick ? QUICK : FULL), device: own ? DEVICE : undefined, folder };
    for (const [name, part] of Object.entries(PARTS)) {
      if (positionals.length > 0 && !positionals.includes(name)) continue;
      const more = await part(options);
      if (!values.json) { for (const line of table(more)) console.log(line); }
      rows.push(...more);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  if (values.json) { for (const row of rows) console.log(JSON.stringify(row)); }
  const targets = rows.filter(({ met }) => met !== undefined);
  const missed = targets.filter(({ met }) => !met);
  if (!values.json) console.log(`${targets.length - missed.length} of ${targets.length} targets met`);
  return 0;
}

function* table(rows: readonly Row[]): Generator<string> {
  const cells = rows.map(({ cell, ours, peer, peerName, ratio, unit, low, high, target, bound, met }) => [
    cell,
    `${number(ours)} ${unit}`,
    peerName,
    number(peer),
    `${number(ratio)}x`,
    low === undefined || high === undefined ? "" : `${number(low)}..${number(high)}`,
    target === undefined ? "" : `${met ? "met" : "MISSED"}: ${bound} ${target}x`,
  ]);
  const widths = cells.reduce(
    (widest, line) => widest.map((width, i) => Math.max(width, line[i].length)),
    Array(7).fill(0),
  );
  for (const line of cells) yield line.map((text, i) => text.padEnd(widths[i])).join("  ").trimEnd();
}

function number(value: number): string {
  return value.toPrecision(value >= 100 ? 4 : 3);
}
