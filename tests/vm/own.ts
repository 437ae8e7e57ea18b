/**
 * The same suites on the machine's own kernel.
 */
import { fileURLToPath } from "node:url";
import type { Run } from "./guest.ts";
import { TextLineStream } from "./lines.ts";
import { parseRow, type Row } from "./rows.ts";

/** Runs the suites without a guest. */
export async function runHere(only: string | undefined): Promise<Run> {
  const started = performance.now();
  const script = fileURLToPath(new URL("./inside.ts", import.meta.url));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-all", script],
    env: only === undefined ? {} : { RINGLET_ONLY: only },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const rows: Row[] = [];
  for await (const line of child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())) {
    const row = parseRow(line, console.log);
    if (row !== undefined) rows.push(row);
  }
  await child.status;
  const troubles = rows.at(-1)?.kind === "end" ? [] : ["the run did not come to its end"];
  return { rows, troubles, seconds: (performance.now() - started) / 1000 };
}
