/**
 * Little lockable memory, little option memory: the kernel answers ENOBUFS, which is back-pressure and then a copy, and nothing is
 * lost. In child processes without CAP_IPC_LOCK, since root has no limit. Few descriptors: the error says so, and is over with the
 * shortage.
 */
import { assert, assertEquals } from "@std/assert";
import { childJson, inNamespace, lockable, patiently } from "../support/child.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { lacks, NO_NAMESPACE, testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/stalled_sends.ts", import.meta.url);
const FEW_DESCRIPTORS = new URL("./programs/few_descriptors.ts", import.meta.url);
/** What every run sends: three connections of 60, and 100 datagrams. */
const SENDS = 280;

interface Outcome {
  refused: number;
  inFlight: number;
  lent: number;
  released: number;
  bytesZeroCopy: number;
  accepted: number;
}

const NO_LIMIT = lacks("needs prlimit and setpriv, and the right to drop capabilities", ...shell(lockable(65_536)));
const FILES = ["prlimit", "--nofile=64:64"];
const NO_FILES = lacks("needs prlimit", ...shell(FILES));
const NO_OPTMEM = NO_NAMESPACE ?? lacks(
  "needs net.core.optmem_max of a namespace's own (Linux 6.8), so that the machine's is not touched",
  ...shell(inNamespace("echo 20480 > /proc/sys/net/core/optmem_max")),
);

function shell(within: string[]): [string, ...string[]] {
  return [...within, "true"] as unknown as [string, ...string[]];
}

for (const engine of ENGINES) {
  // Without any lockable memory there is no ring: see uring_memory.test.ts.
  for (const kilobytes of engine === "uring" ? [64, 256] : [0, 64, 256]) {
    testIf(
      NO_ENGINE[engine] ?? NO_LIMIT,
      `${kilobytes} KiB of lockable memory [${engine}]`,
      () => check(engine, lockable(kilobytes * 1024)),
    );
  }
  for (const bytes of [2000, 20_480]) {
    const setup = ["ip link set lo up", `echo ${bytes} > /proc/sys/net/core/optmem_max`];
    testIf(
      NO_ENGINE[engine] ?? NO_OPTMEM,
      `optmem_max ${bytes} [${engine}]`,
      () => check(engine, inNamespace(...setup)),
    );
  }
}

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine] ?? NO_FILES, `descriptors run out, and come back [${engine}]`, async () => {
    const outcome = await childJson<Record<string, string>>(FEW_DESCRIPTORS, { args: [engine], within: FILES });
    const { afterwards, sockets, lookupAgain, ...failures } = outcome;
    for (const [name, failure] of Object.entries(failures)) {
      const syscall = name.startsWith("lookup") ? "getaddrinfo" : /^(accept|loop)/.test(name) ? "accept4" : "socket";
      assertEquals(failure, `EMFILE ${syscall}: raise \`ulimit -n\` or close sockets`, name);
    }
    // The listener, both ends of the connection, and nothing that was left behind.
    assertEquals([Object.keys(failures).length, afterwards, sockets], [8, "7", "3"]);
    assert(lookupAgain.startsWith("ENOTFOUND getaddrinfo") || lookupAgain.startsWith("EAI_AGAIN"), lookupAgain);
  });
}

async function check(engine: string, within: string[]): Promise<void> {
  const outcome = await patiently(() => childJson<Outcome>(PROGRAM, { args: [engine], within }));
  if (engine === "errqueue") assert(outcome.refused > 0, `the limit was never reached: ${JSON.stringify(outcome)}`);
  assertEquals(outcome.accepted, SENDS);
  assertEquals(outcome.lent, outcome.released);
}
