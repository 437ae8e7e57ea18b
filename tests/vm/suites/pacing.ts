/**
 * Times to leave: where the queueing discipline `fq` is, no datagram is received before its time, and those without one are.
 */
import { assert } from "@std/assert";
import { childJson, inNamespace } from "../../support/child.ts";
import { ENGINES, NO_ENGINE } from "../../support/engines.ts";
import { lacks, NO_NAMESPACE, testIf } from "../../support/skip.ts";

const PROGRAM = new URL("../programs/pacing.ts", import.meta.url);
const PACED = inNamespace("tc qdisc add dev lo root fq", "ip link set lo up");
const NO_FQ = NO_NAMESPACE ?? lacks("needs the queueing discipline fq", PACED[0], ...PACED.slice(1), "true");
/** What the clocks that are compared may differ by. */
const CLOCKS_MS = 5;

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine] ?? NO_FQ, `no datagram leaves before its time [${engine}]`, async () => {
    const { paced, unpaced } = await childJson<Record<string, number>>(PROGRAM, { args: [engine], within: PACED });
    assert(paced < CLOCKS_MS, `one came ${paced} ms early`);
    assert(unpaced > CLOCKS_MS, `the others came no earlier than ${unpaced} ms: the test proves nothing`);
  });
}
