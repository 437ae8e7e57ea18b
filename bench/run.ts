/**
 * Runs parts of the benchmark, prints their rows, and leaves them in `rows.json` of a folder.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import type { Row } from "./measure.ts";
import { DEVICE } from "./namespace.ts";
import { FULL, QUICK } from "./options.ts";
import { PARTS } from "./parts.ts";
import { table } from "./table.ts";

/** What it is told, as JSON. */
export interface RunOptions {
  readonly parts: readonly string[];
  readonly quick: boolean;
  /** Somebody else prints the rows. */
  readonly json: boolean;
  readonly folder: string;
  /** The C ceiling's program. */
  readonly ceiling?: string;
  /** This is in a network namespace of its own. */
  readonly own: boolean;
}

const { parts, quick, json, folder, ceiling, own }: RunOptions = JSON.parse(process.argv[2]);
const options = { ...(quick ? QUICK : FULL), device: own ? DEVICE : undefined, ceiling };
const rows: Record<string, Row[]> = {};
for (const part of parts) {
  rows[part] = [];
  await PARTS[part](options, (more) => {
    rows[part].push(...more);
    if (!json) { for (const line of table(more)) console.log(line); }
  });
}
await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
if (!json) {
  const targets = Object.values(rows).flat().filter(({ met }) => met !== undefined);
  console.log(`${targets.filter(({ met }) => met).length} of ${targets.length} targets met`);
}
