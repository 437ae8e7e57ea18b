/**
 * The boundaries of trains: what the receiver gets is what was sent, byte for byte and datagram for datagram.
 */
import { assertEquals } from "@std/assert";
import { childJson, inNamespace } from "../support/child.ts";
import { eachEngine, ENGINES, NO_ENGINE } from "../support/engines.ts";
import { lacks, NO_NAMESPACE, testIf } from "../support/skip.ts";
import { assertIds, type Train, travel } from "../support/trains.ts";

/** The most that a datagram carries over each family. */
const FAMILIES = { "127.0.0.1": 65_507, "::1": 65_527 } as const;

const LOOPBACK_MTU = 65_536;

/** Around every boundary: one segment, a short last one, the limit of segments, the largest payload. */
function trains(limit: number, most: number): Train[] {
  return [
    ...([[1, 1], [2, 1], [1, 100], [99, 100], [100, 100], [101, 100], [199, 100], [200, 100], [201, 100]] as const),
    ...[limit - 1, limit, limit + 1, 2 * limit + 1].map((segments): Train => [segments * 100, 100]),
    [limit * 100 + 1, 100],
    ...[most - 1, most, most + 1].map((bytes): Train => [bytes, 1400]),
    ...[most - 1, most, most + 1].map((bytes): Train => [bytes, most]),
    [most, most - 1],
    [200_000, 1472],
    [200_000, 30_000],
  ];
}

for (const [hostname, most] of Object.entries(FAMILIES)) {
  for (const connected of [true, false]) {
    for (const zeroCopy of ["always", "never"] as const) {
      const how = `${hostname}, ${connected ? "connected" : "not connected"}, zero-copy ${zeroCopy}`;
      eachEngine(`boundaries of trains: ${how}`, async (io) => {
        await using receiver = await io.bindUdp({ hostname, receiveBufferBytes: 4 << 20 });
        const remote = connected ? receiver.localAddr : undefined;
        await using sender = await io.bindUdp({ hostname, remote, zeroCopy });
        assertEquals(sender.maxSegments, io.capabilities.udpSegments);
        for (const train of trains(io.capabilities.udpSegments, most)) {
          await travel(io, sender, receiver, train, connected ? {} : { to: receiver.localAddr });
        }
        assertEquals(sender.maxSegments, io.capabilities.udpSegments);
        assertIds(sender);
      });
    }
  }
}

for (const [hostname, most] of Object.entries(FAMILIES)) {
  for (const zeroCopy of ["always", "never"] as const) {
    eachEngine(`boundaries of trains that the socket asks for: ${hostname}, zero-copy ${zeroCopy}`, async (io) => {
      await using receiver = await io.bindUdp({ hostname, receiveBufferBytes: 4 << 20 });
      for (const train of trains(io.capabilities.udpSegments, most)) {
        const segmentBytes = train[1];
        if (segmentBytes + 48 > LOOPBACK_MTU) continue; // with the option no datagram is cut into fragments
        await using sender = await io.bindUdp({ hostname, remote: receiver.localAddr, zeroCopy, segmentBytes });
        await travel(io, sender, receiver, train, { segmentBytes: undefined });
        assertEquals(sender.maxSegments, io.capabilities.udpSegments);
        assertIds(sender);
      }
    });
  }
}

const PROGRAM = new URL("./programs/mtu_trains.ts", import.meta.url);
const SMALL_MTU = inNamespace("ip link set lo mtu 1500 up");

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine] ?? NO_NAMESPACE, `segments around an MTU of 1,500 bytes [${engine}]`, async () => {
    const outcome = await childJson(PROGRAM, { args: [engine], within: SMALL_MTU });
    const v4 = { 1471: "travelled", 1472: "travelled", 1473: "EMSGSIZE" };
    const v6 = { 1451: "travelled", 1452: "travelled", 1453: "EMSGSIZE" };
    assertEquals(outcome, { "127.0.0.1 said": v4, "127.0.0.1 own": v4, "::1 said": v6, "::1 own": v6 });
  });
}

const PATH_MTU = new URL("./programs/path_mtu.ts", import.meta.url);

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine] ?? NO_NAMESPACE, `who may cut what is too big for the path [${engine}]`, async () => {
    const outcome = await childJson(PATH_MTU, { args: [engine], within: SMALL_MTU });
    const expected: Record<string, object> = {};
    for (const [hostname, headers] of [["127.0.0.1", 28], ["::1", 48]] as const) {
      for (
        const [discovery, large] of [["off", "travelled"], ["want", "travelled"], ["do", "EMSGSIZE"], [
          "probe",
          "EMSGSIZE",
        ]]
      ) {
        expected[`${hostname} ${discovery} 1500`] = { 1500: "travelled", 1501: large, [3000 + headers]: large };
      }
    }
    assertEquals(outcome, expected);
  });
}

const OFFLOADS = new URL("./programs/offloads.ts", import.meta.url);
const [unshare, ...rest] = inNamespace("ip link add v0 type veth peer name v1", "ethtool -K v0 tx off");
const NO_OFFLOADS = NO_NAMESPACE ?? lacks("needs veth devices and ethtool", unshare, ...rest, "true");

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine] ?? NO_OFFLOADS, `trains, whatever the device can do by itself [${engine}]`, async () => {
    const outcome = await childJson<Record<string, unknown>>(OFFLOADS, { args: [engine], within: inNamespace() });
    assertEquals(Object.keys(outcome).length, 12);
    for (const [device, [came, ...ids]] of Object.entries(outcome as Record<string, unknown[]>)) {
      assertEquals([came, ...ids], ["whole", 0, 0], device);
    }
  });
}
