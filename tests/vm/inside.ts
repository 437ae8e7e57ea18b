/**
 * Runs the suites on the kernel it is started on, in a guest or on the machine itself, and writes a row for each test.
 *
 *   RINGLET_ROWS    where rows go    (default: standard output)
 *   RINGLET_ONLY    a suite, or a part of the paths of test files
 */
import { TextLineStream } from "./lines.ts";
import { denyAllNames } from "./name_server.ts";
import { PROJECT } from "./project.ts";
import type { Row } from "./rows.ts";
import { filesOf, type Suite, SUITES } from "./suites.ts";
import { TapReader } from "./tap.ts";
import { wantTimestamps } from "./timestamps.ts";

/** A suite that does not end is a failure. */
const SUITE_MS = Number(Deno.env.get("RINGLET_SUITE_MS") ?? 1_200_000);
const rowsPath = Deno.env.get("RINGLET_ROWS");
const only = Deno.env.get("RINGLET_ONLY");
/** Guests have no network. */
const inGuest = Deno.env.get("RINGLET_GUEST") !== undefined;
const OFFLINE = inGuest ? ["--cached-only"] : [];
const encoder = new TextEncoder();
const rows = rowsPath === undefined ? undefined : await Deno.open(rowsPath, { write: true, append: true });

function write(row: Row): void {
  const line = encoder.encode(`${JSON.stringify(row)}\n`);
  const to = rows ?? Deno.stdout;
  for (let at = 0; at < line.length;) at += to.writeSync(line.subarray(at));
}

/** Lines of JSON that children left in a file. */
async function leftIn(path: string): Promise<Record<string, string>[]> {
  const text = await Deno.readTextFile(path);
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** One program of several test files: what they all load is loaded and compiled once, which takes seconds where it is emulated. */
async function together(files: readonly string[]): Promise<string> {
  if (files.length === 1) return files[0];
  const path = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(path, files.map((file) => `import "file://${PROJECT}/${file}";\n`).join(""));
  return path;
}

async function runSuite({ name, filter, environment }: Suite, files: readonly string[]): Promise<void> {
  const skips = await Deno.makeTempFile();
  const findings = await Deno.makeTempFile();
  const tests: Parameters<ConstructorParameters<typeof TapReader>[0]>[0][] = [];
  let before = performance.now();
  const reader = new TapReader((test) => {
    // Of files that run together the report names none of them.
    if (files.length > 1) test.file = "";
    const seconds = (performance.now() - before) / 1000;
    before = performance.now();
    tests.push(test);
    // Reasons of skips are known when all is over.
    if (test.outcome !== "skipped") write({ kind: "test", suite: name, ...test, seconds });
    if (rows !== undefined || test.outcome === "failed") {
      console.error(`${test.outcome} ${seconds.toFixed(1)} s ${test.file}: ${test.name} ${test.why ?? ""}`);
    }
  });
  const started = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      ...OFFLINE,
      `--config=${PROJECT}/deno.json`,
      "--no-check",
      "--allow-all",
      "--reporter=tap",
      ...(filter === undefined ? [] : [`--filter=${filter}`]),
      await together(files),
    ],
    cwd: PROJECT,
    env: { ...environment, RINGLET_SKIPS: skips, RINGLET_FINDINGS: findings },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const guard = setTimeout(() => child.kill("SIGKILL"), SUITE_MS);
  for await (const line of child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())) {
    reader.push(line);
  }
  reader.end();
  const { code, signal } = await child.status;
  clearTimeout(guard);
  const reasons = new Map((await leftIn(skips)).map(({ name, missing }) => [name, missing]));
  for (const test of tests.filter(({ outcome }) => outcome === "skipped")) {
    write({ kind: "test", suite: name, ...test, why: reasons.get(test.name) });
  }
  for (const finding of await leftIn(findings)) write({ kind: "finding", ...finding } as Row);
  const explained = code === 0 || (code === 1 && tests.some(({ outcome }) => outcome === "failed"));
  if (!reader.complete || !explained || tests.length === 0) {
    const last = tests.at(-1)?.name ?? "nothing";
    const why = `ended with ${signal ?? code} after ${tests.length} tests, the last of them: ${last}`;
    write({
      kind: "test",
      suite: name,
      file: files.join(" "),
      name: "the suite runs to its end",
      outcome: "failed",
      why,
    });
  }
  write({ kind: "suite", suite: name, seconds: (performance.now() - started) / 1000 });
}

if (inGuest) {
  denyAllNames();
  wantTimestamps();
}
const version = (await Deno.readTextFile("/proc/version")).trim();
write({ kind: "kernel", release: Deno.osRelease(), version });
for (const suite of SUITES) {
  const files = await filesOf(suite, only);
  if (files.length > 0) await runSuite(suite, files);
}
write({ kind: "end" });
