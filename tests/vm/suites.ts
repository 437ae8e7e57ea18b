/**
 * What runs on every kernel: test files by pattern, so that new ones are picked up.
 */
import { PROJECT } from "./project.ts";

/** Files that run together. */
export interface Suite {
  readonly name: string;
  /** Paths from the project's folder on. */
  readonly files: readonly RegExp[];
  /** Names of tests to leave to other suites, as `--filter` of the runner takes them. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Of the files that a pattern takes, those that other suites have, or where the kernel makes no difference. */
const ELSEWHERE = [
  "tests/net/arena_full.test.ts", // bookkeeping
  "tests/net/bad_input.test.ts", // refused before the kernel sees it
  "tests/net/elsewhere.test.ts", // runtimes that are not there
  "tests/net/forgotten.test.ts", // garbage collection
  "tests/net/send_turns.test.ts", // bookkeeping
  "tests/net/stats.test.ts", // bookkeeping
  "tests/net/streams.test.ts", // the runtime's streams
  "tests/net/zerocopy_policy.test.ts", // bookkeeping
  "tests/net/lease.test.ts", // bookkeeping
  "tests/net/lifetime.test.ts", // when the runtime ends
  "tests/net/permissions.test.ts", // the runtime's permissions
  "tests/net/limits.test.ts", // the suite "limits" has kernels of its own to limit
  "tests/net/uring_memory.test.ts", // likewise
  "tests/net/worker.test.ts", // threads of the runtime
  "tests/net/id_oracle.test.ts",
  "tests/net/corruption.test.ts",
];

/** The suites, in the order in which they run. */
export const SUITES: readonly Suite[] = [
  { name: "findings", files: [/^tests\/vm\/suites\/findings\.ts$/] },
  { name: "wrap", files: [/^tests\/vm\/suites\/wrap\.ts$/] },
  { name: "limits", files: [/^tests\/vm\/suites\/limits\.ts$/] },
  { name: "netem", files: [/^tests\/vm\/suites\/netem\.ts$/] },
  { name: "corruption", files: [/^tests\/net\/corruption\.test\.ts$/] },
  {
    name: "ids",
    files: [/^tests\/net\/id_oracle\.test\.ts$/],
    environment: { RINGLET_ORACLE_OPERATIONS: "10000" },
  },
  { name: "engines", files: [/^tests\/net\/[a-z_]+\.test\.ts$/] },
];

/** The files of a suite. `only`: those whose path, or the suite's name, contains it. */
export async function filesOf({ name, files }: Suite, only: string | undefined): Promise<string[]> {
  const all = await testFiles();
  return all.filter((file) => {
    if (!files.some((pattern) => pattern.test(file))) return false;
    if (name === "engines" && ELSEWHERE.includes(file)) return false;
    return only === undefined || name === only || file.includes(only);
  });
}

/** All files that suites may run. */
async function testFiles(): Promise<string[]> {
  const files: string[] = [];
  for (const folder of ["tests/net", "tests/vm/suites"]) {
    for await (const { name, isFile } of Deno.readDir(`${PROJECT}/${folder}`)) {
      if (isFile) files.push(`${folder}/${name}`);
    }
  }
  return files.sort();
}
