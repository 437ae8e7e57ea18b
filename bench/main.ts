/**
 * `deno task bench [--quick] [--json] [--save] [PART…]`: Ringlet beside what the runtimes and C offer, in ratios.
 *
 * This side sets up and keeps; `run.ts` measures, in a network namespace if there may be one.
 *
 * @module
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { deno } from "./child.ts";
import { compileCeiling } from "./compile.ts";
import type { Row } from "./measure.ts";
import { runInNamespace, runOutside } from "./namespace.ts";
import { PARTS } from "./parts.ts";
import type { RunOptions } from "./run.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    save: { type: "boolean", default: false },
  },
});
process.exitCode = misuse() ?? await main();

function misuse(): number | undefined {
  const unknown = positionals.find((name) => !(name in PARTS));
  if (unknown !== undefined) {
    console.error(`There is no part "${unknown}": there are ${Object.keys(PARTS).join(", ")}`);
    return 2;
  }
  if (values.quick && values.save) {
    console.error("Numbers of --quick are not worth keeping: --save goes without it");
    return 2;
  }
}

async function main(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "ringlet-bench-"));
  try {
    const parts = Object.keys(PARTS).filter((name) => positionals.length === 0 || positionals.includes(name));
    const code = await measure({ ...values, parts, folder, ceiling: await compileCeiling(folder) });
    if (code !== 0) return code;
    const rows: Record<string, Row[]> = JSON.parse(await readFile(join(folder, "rows.json"), "utf8"));
    if (values.json) { for (const row of Object.values(rows).flat()) console.log(JSON.stringify(row)); }
    if (values.save) {
      const { save } = await import("./save.ts");
      await save(rows);
    }
    return 0;
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function measure(options: Omit<RunOptions, "own">): Promise<number> {
  const command = (own: boolean) => {
    const run: RunOptions = { ...options, own };
    return deno("run.ts", [JSON.stringify(run)], ["--v8-flags=--expose-gc"]);
  };
  const result = await runInNamespace(command(true));
  if (typeof result === "number") return result;
  console.error(`SKIP UDP: no network namespace (${result.message})`);
  return await runOutside(command(false));
}
