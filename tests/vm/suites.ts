/**
 * What runs on every kernel: test files by pattern, so that new ones are picked up.
 */
import { PROJECT } from "./project.ts";

/** Files that are about one thing. */
export interface Suite {
  readonly name: string;
  /** Paths from the project's folder on. */
  readonly files: readonly RegExp[];
}

/** Suites that one process runs: starting another takes seconds where it is emulated. */
export interface Pass {
  readonly suites: readonly Suite[];
  /** Names of the tests that run, as `--filter` of the runner takes them; then there is one suite. Default: all. */
  readonly filter?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /**
   * A test that fails is run once more by itself, and if it passes then the report says so: such tests were written for processors that
   * are ten times as fast.
   */
  readonly again?: boolean;
}

/**
 * Of the files that a pattern takes, those that other suites have, where the kernel makes no difference, or that take minutes where
 * everything is emulated: starting a program takes several seconds there.
 */
const ELSEWHERE = [
  "tests/net/abandoned.test.ts", // when the runtime ends
  "tests/net/ancillary.test.ts", // messages that are made up; metadata.test.ts has the kernel's
  "tests/net/arena_full.test.ts", // bookkeeping
  "tests/net/bad_input.test.ts", // refused before the kernel sees it
  "tests/net/close_rewriting.test.ts", // megabytes compared byte for byte: minutes; corruption.test.ts rewrites, too
  "tests/net/close_thousands.test.ts", // many sends: close.test.ts asks the kernel for the same with few
  "tests/net/control.test.ts", // encoding
  "tests/net/corruption.test.ts", // the suite "ids"
  "tests/net/deadline.test.ts", // the suite "ends"
  "tests/net/degradation.test.ts", // a seccomp filter is the same everywhere; the suite "limits" has the kernel's own switch
  "tests/net/elsewhere.test.ts", // runtimes that are not there
  "tests/net/exit.test.ts", // the runtime's ways to end; the suite "ends" kills programs
  "tests/net/forgotten.test.ts", // garbage collection
  "tests/net/id_oracle.test.ts", // the suite "ids"
  "tests/net/killed.test.ts", // the suite "ends"
  "tests/net/lease.test.ts", // bookkeeping
  "tests/net/lifetime.test.ts", // when the runtime ends
  "tests/net/limits.test.ts", // the suite "limits" has kernels of its own to limit
  "tests/net/many_sockets.test.ts", // ten thousand sockets: minutes, and bookkeeping
  "tests/net/multicast.test.ts", // groups are older than any kernel here
  "tests/net/off_host.test.ts", // the suite "ends"
  "tests/net/permissions.test.ts", // the runtime's permissions
  "tests/net/random_batches.test.ts", // seconds of emulation reach little
  "tests/net/random_operations.test.ts", // seconds of emulation reach little; the suite "ids" is random
  "tests/net/send_turns.test.ts", // bookkeeping
  "tests/net/soak_udp.test.ts", // seconds of emulation reach little; the suite "netem" accounts for every datagram
  "tests/net/stats.test.ts", // bookkeeping
  "tests/net/streams.test.ts", // the runtime's streams
  "tests/net/uring_memory.test.ts", // the suite "limits" has kernels of its own to limit
  "tests/net/worker.test.ts", // threads of the runtime
  "tests/net/zerocopy_policy.test.ts", // bookkeeping
];

/** All that runs, in this order. */
export const PASSES: readonly Pass[] = [
  {
    suites: [
      { name: "findings", files: [/^tests\/vm\/suites\/findings\.ts$/] },
      { name: "wrap", files: [/^tests\/vm\/suites\/wrap\.ts$/] },
      { name: "limits", files: [/^tests\/vm\/suites\/limits\.ts$/] },
      { name: "netem", files: [/^tests\/vm\/suites\/netem\.ts$/] },
      { name: "pacing", files: [/^tests\/vm\/suites\/pacing\.ts$/] },
      // Ids, and the memory that they release.
      { name: "ids", files: [/^tests\/net\/(corruption|id_oracle)\.test\.ts$/] },
    ],
    environment: { RINGLET_ORACLE_OPERATIONS: "10000" },
  },
  {
    // What the kernel does with memory that it was lent when a program, a socket or a connection ends. It holds none of copies, and Unix
    // sockets copy; an abort is a close whose deadline is now.
    suites: [{ name: "ends", files: [/^tests\/net\/(deadline|killed|off_host)\.test\.ts$/] }],
    filter: "/(over tcp: .*|^close .* over a veth pair|off this host) \\[(uring|errqueue)\\]$/",
  },
  {
    suites: [{ name: "engines", files: [/^tests\/net\/[a-z_]+\.test\.ts$/] }],
    again: true,
    // Where a test starts programs, the engine that only copies asks nothing new of the kernel; and names are the runtime's.
    environment: {
      RINGLET_LEFT_OUT:
        "^every address of a name|^(trains[,:]|errors: what|segments around|who may|no wake-up).* \\[copy\\]$",
    },
  },
];

/** The suites of all passes. */
export const SUITES: readonly Suite[] = PASSES.flatMap(({ suites }) => suites);

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
