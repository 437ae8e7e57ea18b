/**
 * Sockets that cut what they send into segments by themselves: what a send says otherwise, and where the kernel refuses.
 */
import { assert, assertEquals } from "@std/assert";
import { C } from "../../ffi/abi.ts";
import type { Io, UdpSocket } from "../../mod.ts";
import { CALLS } from "../support/calls.ts";
import { childJson, inNamespace } from "../support/child.ts";
import { eachEngine, ENGINES, NO_ENGINE } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { lacks, NO_NAMESPACE, testIf } from "../support/skip.ts";
import { getOption } from "../support/sockopt.ts";
import { assertIds, patterned, receiveTrain, segmentsOf, withoutChecksums } from "../support/trains.ts";

const hostname = "127.0.0.1";
const OWN = 1400;

/** A sender with segments of its own, and a receiver with room for several trains. */
async function pair(io: Io): Promise<{ sender: UdpSocket; receiver: UdpSocket }> {
  const receiver = await io.bindUdp({ hostname, receiveBufferBytes: 4 << 20, receiveTrafficClass: true });
  const remote = receiver.localAddr;
  return { sender: await io.bindUdp({ hostname, remote, segmentBytes: OWN }), receiver };
}

/** Receives datagrams, whatever their order, until there are no more; answers how many of which length. */
async function lengths(io: Io, receiver: UdpSocket, count: number): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  using into = await io.lease(65_536);
  for (let i = 0; i < count; i++) {
    const { bytes } = await receiver.recv(into, { signal: AbortSignal.timeout(5000) });
    found.set(bytes, (found.get(bytes) ?? 0) + 1);
  }
  const more = receiver.recv(into, { signal: AbortSignal.timeout(50) });
  await more.then(({ bytes }) => assert(false, `${bytes} bytes too many`), () => {});
  return found;
}

/** How often each length is there among the datagrams of some sends. */
function expected(sends: readonly (readonly [bytes: number, segmentBytes: number])[]): Map<number, number> {
  const all = sends.flatMap((send) => segmentsOf(send));
  return new Map(all.map((length) => [length, all.filter((other) => other === length).length]));
}

const NO_CHECKSUMS = [false, true];

eachEngine("each call is cut as the socket says, or as it says itself", async (io) => {
  for (const refused of NO_CHECKSUMS) {
    const { sender, receiver } = await pair(io);
    if (refused) withoutChecksums(sender);
    const to = receiver.localAddr;
    for (const [call, send] of Object.entries(CALLS)) {
      // One datagram, a segment, trains; then other segments; then what is not to be cut.
      for (const bytes of [1, OWN, OWN + 1, 5000]) {
        for (const ecn of [undefined, 2]) {
          for (const segmentBytes of [undefined, OWN, 700, 2000, 5000, 60_000]) {
            await send(io, sender, await patterned(io, bytes), { to, segmentBytes, ecn });
            await receiveTrain(io, receiver, [bytes, segmentBytes ?? OWN]);
          }
        }
      }
      assertEquals(sender.maxSegments > 1, !refused, call);
    }
    await sender.send(await patterned(io, 60_000), { segmentBytes: 60_000 });
    await receiveTrain(io, receiver, [60_000, 60_000]);
    assertEquals(getOption(sender, C.IPPROTO_UDP, C.UDP_SEGMENT), refused ? 0 : OWN);
    assertIds(sender);
  }
});

eachEngine("a send without options is cut, too, and leases are gathered across segments", async (io) => {
  for (const refused of NO_CHECKSUMS) {
    const { sender, receiver } = await pair(io);
    if (refused) withoutChecksums(sender);
    const bytes = refused ? 60_000 : 150_000; // trains that go segment by segment mix
    await (await sender.send(await patterned(io, bytes))).released;
    await receiveTrain(io, receiver, [bytes, OWN]);
    const parts = (await patterned(io, 20_000)).split(1500);
    await (await sender.send(parts)).released;
    await receiveTrain(io, receiver, [20_000, OWN]);
    sender.trySend(await patterned(io, 60_000));
    io.flush();
    await receiveTrain(io, receiver, [60_000, OWN]);
    await (await sender.send(new Uint8Array(0))).released;
    using into = await io.lease(1);
    assertEquals((await receiver.recv(into)).bytes, 0);
    assertIds(sender);
  }
});

eachEngine(
  "what is on its way when the kernel refuses goes on, once: trains, others, and what is no train",
  async (io) => {
    const { sender, receiver } = await pair(io);
    withoutChecksums(sender);
    const sends = [[60_000, OWN], [500, OWN], [9000, 1000], [9000, 9000], [OWN, OWN], [30_000, OWN]] as const;
    const batch = [];
    for (const [bytes, segmentBytes] of sends) {
      const options = segmentBytes === OWN ? {} : { segmentBytes };
      batch.push(sender.send(await patterned(io, bytes), options));
      batch.push(sender.send(await patterned(io, bytes), { ...options, signal: new AbortController().signal }));
    }
    for (const receipt of await Promise.all(batch)) await receipt.released;
    const twice = [...sends, ...sends];
    const count = twice.flatMap((send) => segmentsOf(send)).length;
    assertEquals(await lengths(io, receiver, count), expected(twice));
    assertEquals(getOption(sender, C.IPPROTO_UDP, C.UDP_SEGMENT), 0);
    assertIds(sender);
  },
);

const HELD = new URL("./programs/held_trains.ts", import.meta.url);
const [unshare, ...rest] = inNamespace("ip link add v0 type veth peer name v1");
const NO_VETH = NO_NAMESPACE ?? lacks("needs veth devices", unshare, ...rest, "true");

for (const engine of ENGINES) {
  testIf(
    NO_ENGINE[engine] ?? NO_VETH,
    `what waits in the kernel when it refuses another is cut [${engine}]`,
    async () => {
      const outcome = await childJson(HELD, { args: [engine], within: inNamespace("ip link set lo up") });
      assertEquals(outcome, { came: "whole", refused: "EINVAL", maxSegments: 1, option: 0 });
    },
  );
}

eachEngine("sends that wait for the option to go may be given up, and the socket closed", async (io) => {
  for (const close of [false, true]) {
    const { sender, receiver } = await pair(io);
    withoutChecksums(sender);
    const abort = new AbortController();
    const leases = await Promise.all(Array.from({ length: 8 }, () => patterned(io, 30_000)));
    const sent = leases.map((lease) => sender.send(lease, { signal: abort.signal }));
    const all = Promise.allSettled(sent);
    io.flush();
    if (close) await sender.close();
    else abort.abort();
    for (const result of await all) {
      if (result.status === "fulfilled") await result.value.released;
      else await result.reason?.released;
    }
    if (!close) await (await sender.send(await patterned(io, 700))).released;
    await receiver.close();
    for (const lease of leases) {
      if (lease.state === "leased") lease.release();
      assertEquals(lease.state, "free");
    }
  }
});

eachEngine("sizes of segments that cannot be", async (io) => {
  for (const segmentBytes of [0, -1, 1.5, NaN, 65_508, 2 ** 16 + 1400]) {
    await fails("ERR_OUT_OF_RANGE", () => io.bindUdp({ hostname, segmentBytes }), { says: "segmentBytes" });
  }
  for (const segmentBytes of ["1400", null, 5n]) {
    await fails("ERR_INVALID_ARG", () => io.bindUdp({ hostname, segmentBytes: segmentBytes as unknown as number }));
  }
  const { sender } = await pair(io);
  using lease = await patterned(io, 2000);
  await fails("ERR_OUT_OF_RANGE", () => sender.send(lease, { segmentBytes: 0 }), { says: "segmentBytes" });
  await fails("ERR_OUT_OF_RANGE", () => sender.trySend(lease, { segmentBytes: 0 }), { says: "segmentBytes" });
  using most = await io.lease(200_000);
  await fails("EMSGSIZE", () => sender.trySend(most), { says: `${OWN}-byte segments` });
});
