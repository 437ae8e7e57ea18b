/**
 * TCP and UDP between two namespaces over a device that loses, delays, reorders, repeats and corrupts, with zero-copy on: every receipt
 * settles, every accepted byte of a stream arrives in order, datagrams arrive exact or not at all, and memory is never reused early. The
 * control rewrites it when it is accepted.
 */
import { assert, assertEquals } from "@std/assert";
import type { EngineName } from "../../../mod.ts";
import { childJson, inNamespace } from "../../support/child.ts";
import { NO_ENGINE } from "../../support/engines.ts";
import { lacks, NO_NAMESPACE, testIf } from "../../support/skip.ts";

const PROGRAM = new URL("../programs/netem_sender.ts", import.meta.url);
const [unshare, ...rest] = inNamespace(
  "ip link add v0 type veth peer name v1",
  "tc qdisc add dev v0 root netem delay 1ms",
);
const NO_NETEM = NO_NAMESPACE ?? lacks("needs veth devices and netem", unshare, ...rest, "true");

const WEATHER = "delay 2ms 1ms loss 1% duplicate 1% reorder 25% 50% corrupt 1%";
/** What the sender sends. */
const STREAM_BYTES = 1_000_000;
const DATAGRAMS = 200;

interface Outcome {
  tcp: { accepted: number; released: number; received: number; wrong: number };
  udp: { accepted: number; released: number; exact: number; wrong: number };
  balanced: boolean;
}

const run = (engine: EngineName, weather: string, rewrite: "released" | "accepted") =>
  childJson<Outcome>(PROGRAM, {
    args: [engine, rewrite, `${STREAM_BYTES}`, `${DATAGRAMS}`, ...weather.split(" ")],
    within: inNamespace(),
  });

for (const engine of ["uring", "errqueue"] satisfies EngineName[]) {
  testIf(NO_ENGINE[engine] ?? NO_NETEM, `netem ${WEATHER} [${engine}]`, async () => {
    const { tcp, udp, balanced } = await run(engine, WEATHER, "released");
    assertEquals(tcp, { accepted: STREAM_BYTES, released: STREAM_BYTES, received: STREAM_BYTES, wrong: -1 });
    assertEquals([udp.accepted, udp.released, udp.wrong], [DATAGRAMS, DATAGRAMS, 0]);
    assert(udp.exact > DATAGRAMS / 2, `only ${udp.exact} datagrams arrived`);
    assert(balanced);
  });
}

// The receiver is the same for all engines: one control shows that it notices.
testIf(NO_NETEM, "netem control: rewriting what is only accepted corrupts [errqueue]", async () => {
  const { tcp, udp } = await run("errqueue", "delay 5ms", "accepted");
  assert(udp.wrong > 0 || tcp.wrong >= 0, "nothing was corrupted: the tests above prove nothing");
});
