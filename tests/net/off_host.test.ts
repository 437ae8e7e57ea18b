/**
 * Devices that do not copy: receipts say so, and what the kernel still holds when a socket is closed stays quarantined.
 */
import { assertEquals } from "@std/assert";
import { childJson, inNamespace } from "../support/child.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { lacks, NO_NAMESPACE, testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/off_host.ts", import.meta.url);
const SETUP = [
  "ip link set lo up",
  "ip link add ifb9 type ifb",
  "ip addr add 10.77.0.1/24 dev ifb9",
  "ip link set ifb9 mtu 65535 up",
  "ip link add v0 type veth peer name v1",
  "ip addr add 10.78.0.1/24 dev v0",
  "ip link set v1 up",
  "ip link set v0 up",
];
const [unshare, ...rest] = inNamespace(...SETUP);
const NO_DEVICES = NO_NAMESPACE ?? lacks("needs ifb and veth devices", unshare, ...rest, "true");

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine] ?? NO_DEVICES, `off this host [${engine}]`, async () => {
    const outcome = await childJson(PROGRAM, { args: [engine], within: inNamespace(...SETUP) });
    const copies = engine === "copy";
    assertEquals(outcome, {
      copied: copies ? 20 : 0,
      idsNotCopied: copies ? 0 : 20,
      idsCopied: 0,
      quarantined: copies ? { sockets: 0, sends: 0 } : { sockets: 1, sends: 2 },
      inFlight: copies ? 0 : 2,
      sockets: 1,
      states: copies ? ["free", "free"] : ["lent", "lent"],
      statesAfter: ["free", "free"],
    });
  });
}
