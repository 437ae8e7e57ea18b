/**
 * The kernel lab: boots kernels and runs the suites in them.
 *
 *   deno task test:vm [KERNEL...] [--only PATTERN] [--minutes N] [--save]
 *
 * KERNEL is one of the lines in kernels.ts, or "own" for the machine's own kernel; without any, all of them run. `--only` runs the suite
 * of that name, or the test files whose path contains it. After `--minutes` no guest goes on, and what was not run counts as skipped.
 * `--save` writes docs/kernels.md.
 */
import { parseArgs } from "node:util";
import { Archive } from "./archive.ts";
import { run } from "./command.ts";
import { runGuest } from "./guest.ts";
import { prepareHost, takeTurn } from "./host.ts";
import { buildCommon, buildModules } from "./initramfs.ts";
import { buildModule } from "./kernel_module.ts";
import { fetchKernel, LINES } from "./kernels.ts";
import { runHere } from "./own.ts";
import { PROJECT } from "./project.ts";
import { capabilityTable, engineTable, explanations, page, suiteTable, totalLine } from "./report.ts";
import { type Result, totalOf } from "./results.ts";
import { filesOf, SUITES } from "./suites.ts";

const OWN = "own";
/** A guest that takes longer hangs. Far longer than any takes, on a machine that has much else to do, too. */
const DEADLINE_MS = 1_800_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string" }, minutes: { type: "string" }, save: { type: "boolean" } },
});
const { only, minutes } = values;
if (minutes !== undefined && !(Number(minutes) > 0)) {
  console.error(`--minutes takes a number above 0: ${minutes}`);
  Deno.exit(2);
}
const names = [...LINES.map(({ name }) => name), OWN];
const unknown = positionals.find((name) => !names.includes(name));
if (unknown !== undefined) {
  console.error(`there is no kernel ${unknown}: ${names.join(", ")}`);
  Deno.exit(2);
}
const chosen = positionals.length > 0 ? names.filter((name) => positionals.includes(name)) : names;
const files = (await Promise.all(SUITES.map((suite) => filesOf(suite, only)))).flat();
if (files.length === 0) {
  console.error(`no suite and no test file is called ${only}`);
  Deno.exit(2);
}

const started = performance.now();
const leftMs = () => minutes === undefined ? Infinity : started + Number(minutes) * 60_000 - performance.now();
const guests = chosen.filter((name) => name !== OWN);
if (guests.length > 0) await takeTurn();
const problem = guests.length > 0 ? await prepareHost() : undefined;
const archive = problem === undefined && guests.length > 0 ? await Archive.open() : undefined;
const common = archive !== undefined ? await buildCommon() : "";

/** A run that is ready to begin, or what there is to say instead. */
type Job = () => Promise<Result>;

async function prepare(name: string): Promise<Job> {
  if (name === OWN) return async () => ({ name, kernel: Deno.osRelease(), run: await runHere(only) });
  const missing = (missing?: string): Job => () => Promise.resolve({ name, kernel: "", missing });
  if (archive === undefined) return missing(problem);
  const kernel = await fetchKernel(archive, LINES.find((line) => line.name === name)!);
  if (kernel === undefined) return missing("the archive has no such kernel any more");
  const archives = [common, await buildModules(kernel, await buildModule(archive, kernel))];
  const text = `${kernel.release} (${kernel.version})`;
  const noTime = `no time was left after ${minutes} minutes`;
  return async () => {
    if (leftMs() <= 0) return { name, kernel: text, missing: noTime };
    const run = await runGuest(kernel, archives, { only, deadlineMs: DEADLINE_MS, leftMs: leftMs() });
    return { name, kernel: text, run, missing: run.stopped ? noTime : undefined };
  };
}

function tell(result: Result): void {
  const { passed, failed, skipped } = totalOf(result);
  const seconds = Math.round(result.run?.seconds ?? 0);
  console.log(`${result.name} ${result.kernel}: ${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds} s`);
  const suites = result.run?.rows.filter((row) => row.kind === "suite") ?? [];
  if (suites.length > 1) {
    console.log(suites.map(({ suite, seconds }) => `${suite} ${Math.round(seconds)} s`).join(", "));
  }
  if (failed > 0 && result.run?.log !== undefined) console.log(`console log: ${result.run.log}`);
}

/** What cannot even begin is a run with nothing but trouble. */
function failed(name: string, error: unknown): Result {
  const trouble = error instanceof Error ? error.message : `${error}`;
  return { name, kernel: "", run: { rows: [], troubles: [trouble], seconds: 0 } };
}

const jobs: [string, Job][] = [];
for (const name of chosen) {
  jobs.push([name, await prepare(name).catch((error): Job => () => Promise.resolve(failed(name, error)))]);
}
const results: Result[] = [];
// Newer kernels have more to run: they come first, so that the last guest is not a long one.
const waiting = [...jobs.entries()].reverse().values();
// A guest has one processor, and waits now and then.
await Promise.all(Array.from({ length: navigator.hardwareConcurrency + 1 }, async () => {
  for (const [place, [name, job]] of waiting) {
    results[place] = await job().catch((error) => failed(name, error));
    tell(results[place]);
  }
}));

const seconds = (performance.now() - started) / 1000;
for (const text of [capabilityTable(results), suiteTable(results), engineTable(results), explanations(results)]) {
  console.log(`\n${text}`);
}
if (values.save) {
  const path = `${PROJECT}/docs/kernels.md`;
  await Deno.writeTextFile(path, page(results, new Date().toISOString().slice(0, 10)));
  await run([Deno.execPath(), "fmt", path], { cwd: PROJECT });
  console.log(`\nwrote ${path}`);
}
console.log(`\n${totalLine(results, seconds)}`);
Deno.exit(results.some((result) => totalOf(result).failed > 0) ? 1 : 0);
