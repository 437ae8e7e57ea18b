/**
 * What is kept of a run: `docs/speed.json` with all rows, the chart `docs/speed.svg`, and the tables of `docs/speed.md`. Parts that
 * did not run stay as they were.
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { cpus, release } from "node:os";
import { fileURLToPath } from "node:url";
import { lastLevelCacheBytes } from "./cache.ts";
import { chart } from "./chart.ts";
import { markdown } from "./markdown.ts";
import type { Row } from "./measure.ts";

/** Rows of one part, and where and when they were measured. */
interface Kept {
  readonly day: string;
  readonly machine: string;
  readonly rows: readonly Row[];
}

/** The place of generated text in `speed.md`. */
const [BEGIN, END] = ["<!-- generated: deno task bench --save -->", "<!-- end -->"];

function docs(name: string): string {
  return fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
}

function machine(): string {
  const processors = cpus();
  const cache = `${lastLevelCacheBytes() / 2 ** 20} MiB of last-level cache`;
  return `${processors.length} × ${processors[0].model}, ${cache}, Linux ${release()}, Deno ${Deno.version.deno}`;
}

/** Keeps `rows`, by part. */
export async function save(rows: Readonly<Record<string, readonly Row[]>>): Promise<void> {
  const before = await readFile(docs("speed.json"), "utf8").catch(() => "{}");
  const kept: Record<string, Kept> = JSON.parse(before);
  const day = new Date().toISOString().slice(0, 10);
  for (const [part, measured] of Object.entries(rows)) kept[part] = { day, machine: machine(), rows: measured };
  await writeFile(docs("speed.json"), `${JSON.stringify(kept, null, 2)}\n`);

  const all = Object.values(kept).flatMap(({ rows }) => rows);
  await writeFile(docs("speed.svg"), await chart(all.filter(({ chart }) => chart)));

  const text = await readFile(docs("speed.md"), "utf8");
  const [head, tail] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (head < 0 || tail < head) throw new Error(`docs/speed.md has no place for tables: ${BEGIN} … ${END}`);
  const tables = markdown(all.filter(({ chart }) => !chart));
  await writeFile(docs("speed.md"), `${text.slice(0, head)}${BEGIN}\n\n${tables}\n${text.slice(tail)}`);
}
