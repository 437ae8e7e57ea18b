/** Ten thousand sockets in one io: all of them work, the next one is refused with a clear error, and nothing is left of them. */
import { assertEquals } from "@std/assert";
import { childJson, inNamespace } from "../support/child.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { lacks, NO_NAMESPACE, testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/many_sockets.ts", import.meta.url);
const DESCRIPTORS = ["prlimit", "--nofile=20000:20000"];
const NO_DESCRIPTORS = lacks("needs 20,000 descriptors", DESCRIPTORS[0], DESCRIPTORS[1], "true");
/** A backlog for those who connect at once, in a namespace of the test's own. */
const SETUP = ["ip link set lo up", "echo 4096 > /proc/sys/net/core/somaxconn"];

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine] ?? NO_NAMESPACE ?? NO_DESCRIPTORS, `ten thousand sockets [${engine}]`, async () => {
    const outcome = await childJson(PROGRAM, { args: [engine], within: [...DESCRIPTORS, ...inNamespace(...SETUP)] });
    assertEquals(outcome, { seen: 9999, bytes: 4999 * 64 });
  });
}
