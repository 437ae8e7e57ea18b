/**
 * The kernel lab: boots kernels and runs the suites in them.
 *
 *   deno task test:vm [KERNEL...] [--only PATTERN] [--save]
 *
 * KERNEL is one of the lines in kernels.ts, or "own" for the machine's own kernel; without any, all of them run. `--only` runs the suite
 * of that name, or the test files whose path contains it. `--save` writes docs/kernels.md.
 */
import { parseArgs } from "node:util";
import { Archive } from "./archive.ts";
import { run } from "./command.ts";
import { type Run, runGuest } from "./guest.ts";
import { prepareHost } from "./host.ts";
import { buildCommon, buildModules } from "./initramfs.ts";
import { buildModule } from "./kernel_module.ts";
import { fetchKernel, type Kernel, LINES } from "./kernels.ts";
import { runHere } from "./own.ts";
import { PROJECT } from "./project.ts";
import { capabilityTable, engineTable, explanations, page, suiteTable, totalLine } from "./report.ts";
import { type Result, totalOf } from "./results.ts";
import { filesOf, SUITES } from "./suites.ts";

const OWN = "own";
/** A guest that takes longer hangs. */
const DEADLINE_MS = 900_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string" }, save: { type: "boolean" } },
});
const { only } = values;
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
const results: Result[] = [];
const problem = chosen.some((name) => name !== OWN) ? await prepareHost() : undefined;
const archive = problem === undefined && chosen.some((name) => name !== OWN) ? await Archive.open() : undefined;
let common: Promise<string> | undefined;

/** Boots the newest kernel of a line. */
async function inGuest(name: string, archive: Archive): Promise<Result> {
  const kernel = await fetchKernel(archive, LINES.find((line) => line.name === name)!);
  if (kernel === undefined) return { name, kernel: "", missing: "the archive has no such kernel any more" };
  common ??= buildCommon();
  const archives = [await common, await buildModules(kernel, await buildModule(archive, kernel))];
  return { name, kernel: versionOf(kernel), run: await runGuest(kernel, archives, { only, deadlineMs: DEADLINE_MS }) };
}

const versionOf = ({ release, version }: Kernel) => `${release} (${version})`;

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

for (const name of chosen) {
  let result: Result;
  try {
    if (name === OWN) result = { name, kernel: Deno.osRelease(), run: await runHere(only) };
    else if (archive === undefined) result = { name, kernel: "", missing: problem };
    else result = await inGuest(name, archive);
  } catch (error) {
    const run: Run = { rows: [], troubles: [error instanceof Error ? error.message : `${error}`], seconds: 0 };
    result = { name, kernel: "", run };
  }
  tell(result);
  results.push(result);
}

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
