/**
 * Multicast groups and broadcast, on a device of the test's own.
 */
import { assertEquals } from "@std/assert";
import { childJson, inNamespace } from "../support/child.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { lacks, NO_NAMESPACE, testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/multicast.ts", import.meta.url);
const SETUP = [
  "ip link set lo up",
  "ip link add m0 type veth peer name m1",
  // IPv6 addresses without the seconds of duplicate address detection.
  "echo 0 > /proc/sys/net/ipv6/conf/m0/accept_dad",
  "ip addr add 10.88.0.1/24 brd 10.88.0.255 dev m0",
  // What comes across the wire has this host's own address.
  "echo 1 > /proc/sys/net/ipv4/conf/m1/accept_local",
  "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter",
  "echo 0 > /proc/sys/net/ipv4/conf/m1/rp_filter",
  "ip link set m1 up",
  "ip link set m0 up",
  "ip route add 224.0.0.0/4 dev m0",
];
const [unshare, ...rest] = inNamespace(...SETUP);
const NO_DEVICE = NO_NAMESPACE ?? lacks("needs veth devices", unshare, ...rest, "true");

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine] ?? NO_DEVICE, `multicast and broadcast [${engine}]`, async () => {
    assertEquals(await childJson(PROGRAM, { args: [engine], within: inNamespace(...SETUP) }), {
      before: false,
      joined: true,
      twice: "EADDRINUSE",
      noLoop: false,
      left: false,
      leftTwice: "EADDRNOTAVAIL",
      joinedByRoute: true,
      dual: true,
      dualNoLoop: false,
      dualAcross: true,
      dualStaysHere: true,
      before6: false,
      joined6: true,
      left6: false,
      broadcast: true,
      broadcastOff: "EACCES",
    });
  });
}
