/**
 * Runs the suites on the kernel it is started on, in a guest or on the machine itself, and writes a row for each test.
 *
 *   RINGLET_ROWS    where rows go    (default: standard output)
 *   RINGLET_ONLY    a suite, or a part of the paths of test files
 */
import { TextLineStream } from "./lines.ts";
import { denyAllNames } from "./name_server.ts";
import { PROJECT } from "./project.ts";
import type { Outcome, Row, TestRow } from "./rows.ts";
import { filesOf, type Pass, PASSES } from "./suites.ts";
import { TapReader, type TapTest } from "./tap.ts";

/** A pass that does not end is a failure. */
const PASS_MS = Number(Deno.env.get("RINGLET_PASS_MS") ?? 1_200_000);
/** Name of a test that does nothing but say which suite the next ones belong to. */
const BEGINS = "suite ";
/** Where more fail, something is wrong. */
const MOST_DOUBTFUL = 5;
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

/** Runs the tests of a file, those that `filter` takes. Answers why that did not go as it should, if so. */
async function runTests(
  file: string,
  filter: string | undefined,
  environment: Readonly<Record<string, string>>,
  found: (test: TapTest) => void,
): Promise<string | undefined> {
  let tests = 0;
  let failed = false;
  let last = "nothing";
  const reader = new TapReader((test) => {
    tests += 1;
    failed ||= test.outcome === "failed";
    last = test.name;
    found(test);
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
      file,
    ],
    cwd: PROJECT,
    env: environment,
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
  const explained = code === 0 || (code === 1 && failed);
  if (reader.complete && explained && tests > 0) return undefined;
  return `ended with ${signal ?? code} after ${tests} tests, the last of them: ${last}`;
}

/** Whether a test passes when it is run by itself. */
async function passesAlone(file: string, name: string, environment: Pass["environment"]): Promise<boolean> {
  const outcomes: Outcome[] = [];
  const trouble = await runTests(file, name, { ...environment }, (test) => {
    if (test.name === name) outcomes.push(test.outcome);
  });
  return trouble === undefined && outcomes.length > 0 && outcomes.every((outcome) => outcome === "passed");
}

async function runPass({ suites, filter, environment, again }: Pass): Promise<void> {
  const files = new Map<string, readonly string[]>();
  for (const suite of suites) {
    const paths = await filesOf(suite, only);
    if (paths.length > 0) files.set(suite.name, paths);
  }
  if (files.size === 0) return;
  const skips = await Deno.makeTempFile();
  const findings = await Deno.makeTempFile();
  const program = await together(files);
  const skipped: TestRow[] = [];
  const doubtful: TestRow[] = [];
  let [suite] = files.keys();
  let began = performance.now();
  let before = began;
  const ended = () => write({ kind: "suite", suite, seconds: (performance.now() - began) / 1000 });
  const found = ({ name, outcome, why }: TapTest) => {
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
    // Reasons of skips are known when all is over.
    if (outcome === "skipped") skipped.push(test);
    else write(test);
    if (outcome === "failed" && again) doubtful.push(test);
    if (rows !== undefined || outcome === "failed") {
      console.error(`${outcome} ${seconds.toFixed(1)} s ${suite}: ${name} ${why ?? ""}`);
    }
  };
  const own = { RINGLET_SKIPS: skips, RINGLET_FINDINGS: findings };
  const trouble = await runTests(program, filter, { ...environment, ...own }, found);
  const reasons = new Map((await leftIn(skips)).map(({ name, missing }) => [name, missing]));
  for (const test of skipped) write({ ...test, why: reasons.get(test.name) });
  for (const finding of await leftIn(findings)) write({ kind: "finding", ...finding } as Row);
  for (const test of doubtful.length <= MOST_DOUBTFUL ? doubtful : []) {
    if (await passesAlone(program, test.name, environment)) write({ ...test, outcome: "passed", again: true });
  }
  if (trouble !== undefined) {
    write({ kind: "test", suite, name: "the suite runs to its end", outcome: "failed", why: trouble });
  }
  ended();
}

if (inGuest) denyAllNames();
const version = (await Deno.readTextFile("/proc/version")).trim();
write({ kind: "kernel", release: Deno.osRelease(), version });
for (const pass of PASSES) await runPass(pass);
write({ kind: "end" });
