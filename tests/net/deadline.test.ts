/**
 * A receiver on another host that never reads, while the sender closes: the kernel's loans are taken back at the deadline, over a
 * veth pair between two network namespaces.
 */
import { assert, assertEquals } from "@std/assert";
import { childJson, inNamespace } from "../support/child.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { lacks, NO_NAMESPACE, testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/deadline.ts", import.meta.url);
const MEGABYTE = 1 << 20;
const [unshare, ...rest] = inNamespace("ip link add v0 type veth peer name v1");
const NO_VETH = NO_NAMESPACE ?? lacks("needs veth devices", unshare, ...rest, "true");

interface Outcome {
  stalled: { inFlight: number; bytesZeroCopy: number; bytesAccepted: number };
  errors: Record<string, number>;
  inFlight: number;
  leases: number;
  quarantined: number;
  balanced: boolean;
}

for (const engine of ENGINES) {
  for (const how of ["close", "abort"]) {
    testIf(NO_ENGINE[engine] ?? NO_VETH, `${how} with megabytes stalled over a veth pair [${engine}]`, async () => {
      const outcome = await childJson<Outcome>(PROGRAM, { args: [engine, how], within: inNamespace() });
      const { stalled, errors, ...after } = outcome;
      assert(stalled.bytesAccepted > 2 * MEGABYTE, JSON.stringify(stalled));
      if (engine !== "copy") {
        assert(stalled.bytesZeroCopy > 2 * MEGABYTE && stalled.inFlight > 4, JSON.stringify(stalled));
      }
      assertEquals(Object.keys(errors), ["ECANCELED"], "what was queued failed");
      assertEquals(after, { inFlight: 0, leases: 0, quarantined: 0, balanced: true });
    });
  }
}
