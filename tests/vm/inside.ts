/**
 * Runs the suites on the kernel it is started on, in a guest or on the machine itself, and writes a row for each test.
 *
 *   RINGLET_ROWS    where rows go    (default: standard output)
 *   RINGLET_ONLY    a suite, or a part of the paths of test files
 */
import { TextLineStream } from "./lines.ts";
import { denyAllNames } from "./name_server.ts";
import { PROJECT } from "./project.ts";
import type { Row, TestRow } from "./rows.ts";
import { filesOf, type Pass, PASSES } from "./suites.ts";
import { TapReader } from "./tap.ts";

/** A pass that does not end is a failure. */
const PASS_MS = Number(Deno.env.get("RINGLET_PASS_MS") ?? 1_200_000);
/** Name of a test that does nothing but say which suite the next ones belong to. */
const BEGINS = "suite ";
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

/** One program of all test files: what they all load is loaded and compiled once, which takes seconds where it is emulated. */
async function together(files: ReadonlyMap<string, readonly string[]>): Promise<string> {
  const folder = await Deno.makeTempDir();
  const imports: string[] = [];
  for (const [name, paths] of files) {
    const marker = `${folder}/${name}.ts`;
    await Deno.writeTextFile(marker, `Deno.test("${BEGINS}${name}", () => {});\n`);
    for (const path of [marker, ...paths.map((path) => `${PROJECT}/${path}`)]) {
      imports.push(`await import("file://${path}");\n`); // one after another, whatever they wait for
    }
  }
  const all = `${folder}/all.ts`;
  await Deno.writeTextFile(all, imports.join(""));
  return all;
}

async function runPass({ suites, filter, environment }: Pass): Promise<void> {
  const files = new Map<string, readonly string[]>();
  for (const suite of suites) {
    const paths = await filesOf(suite, only);
    if (paths.length > 0) files.set(suite.name, paths);
  }
  if (files.size === 0) return;
  const skips = await Deno.makeTempFile();
  const findings = await Deno.makeTempFile();
  const tests: TestRow[] = [];
  let [suite] = files.keys();
  let began = performance.now();
  let before = began;
  const ended = () => write({ kind: "suite", suite, seconds: (performance.now() - began) / 1000 });
  const reader = new TapReader(({ name, outcome, why }) => {
    if (name.startsWith(BEGINS)) {
      const next = name.slice(BEGINS.length);
      if (next === suite) return;
      ended();
      [suite, began] = [next, performance.now()];
      return;
    }
    const seconds = (performance.now() - before) / 1000;
    before = performance.now();
    const test: TestRow = { kind: "test", suite, name, outcome, why, seconds };
    tests.push(test);
    // Reasons of skips are known when all is over.
    if (outcome !== "skipped") write(test);
    if (rows !== undefined || outcome === "failed") {
      console.error(`${outcome} ${seconds.toFixed(1)} s ${suite}: ${name} ${why ?? ""}`);
    }
  });
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
  const guard = setTimeout(() => child.kill("SIGKILL"), PASS_MS);
  for await (const line of child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())) {
    reader.push(line);
  }
  reader.end();
  const { code, signal } = await child.status;
  clearTimeout(guard);
  const reasons = new Map((await leftIn(skips)).map(({ name, missing }) => [name, missing]));
  for (const test of tests.filter(({ outcome }) => outcome === "skipped")) {
    write({ ...test, why: reasons.get(test.name) });
  }
  for (const finding of await leftIn(findings)) write({ kind: "finding", ...finding } as Row);
  const explained = code === 0 || (code === 1 && tests.some(({ outcome }) => outcome === "failed"));
  if (!reader.complete || !explained || tests.length === 0) {
    const last = tests.at(-1)?.name ?? "nothing";
    const why = `ended with ${signal ?? code} after ${tests.length} tests, the last of them: ${last}`;
    write({ kind: "test", suite, name: "the suite runs to its end", outcome: "failed", why });
  }
  ended();
}

if (inGuest) denyAllNames();
const version = (await Deno.readTextFile("/proc/version")).trim();
write({ kind: "kernel", release: Deno.osRelease(), version });
for (const pass of PASSES) await runPass(pass);
write({ kind: "end" });
