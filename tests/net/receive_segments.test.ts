/**
 * Trains of datagrams that come as one (UDP_GRO), cut again without copying. The kernel makes the trains: UDP_SEGMENT, set past the
 * library, over loopback and over a veth pair.
 */
import { assert, assertEquals } from "@std/assert";
import { C } from "../../ffi/abi.ts";
import { openSystem } from "../../ffi/system.ts";
import { type Io, segmentsOf, type UdpSocket } from "../../mod.ts";
import { setOption } from "../../net/options.ts";
import { fillPattern, mismatch } from "../support/bytes.ts";
import { childJson, inNamespace } from "../support/child.ts";
import { eachEngine, ENGINES, NO_ENGINE } from "../support/engines.ts";
import { lacks, NO_NAMESPACE, testIf } from "../support/skip.ts";
import { endpointOf } from "../support/sockopt.ts";
import { leases, releaseAll } from "../support/udp.ts";

const UDP_SEGMENT = 103;

/** Devices without hardware of their own pass trains on as they are; the first kernels with trains cut them before. */
const NO_TRAINS = lacks(
  "needs loopback and veth devices that pass trains whole (Linux 5.11)",
  "sh",
  "-c",
  "! ethtool -k lo | grep 'tx-udp-segmentation: off'",
);

/** Registers a test that has trains arrive whole for each engine. */
function whereTrainsPass(name: string, body: (io: Io) => Promise<void>): void {
  eachEngine(name, body, {}, NO_TRAINS);
}

/** Has the kernel cut what a socket sends. */
function cutInto(socket: UdpSocket, segmentBytes: number): void {
  assertEquals(setOption(openSystem(), endpointOf(socket).fd, C.IPPROTO_UDP, UDP_SEGMENT, segmentBytes), 0);
}

async function pair(io: Io, hostname: string, options = {}) {
  const receiver = await io.bindUdp({ hostname, receiveSegments: true, receiveBufferBytes: 1 << 20, ...options });
  return { receiver, sender: await io.bindUdp({ hostname }) };
}

for (const hostname of ["127.0.0.1", "::1"]) {
  whereTrainsPass(`trains: each in one lease, cut as it was sent; ${hostname}`, async (io) => {
    const { receiver, sender } = await pair(io, hostname);
    const connected = await io.bindUdp({ hostname, remote: receiver.localAddr });
    for (const socket of [sender, connected]) {
      const to = socket === sender ? receiver.localAddr : undefined;
      for (const [segmentBytes, bytes] of [[1400, 14_000], [1400, 14_001], [1000, 64_000], [1200, 1201], [10, 640]]) {
        cutInto(socket, segmentBytes);
        await socket.send(fillPattern(new Uint8Array(bytes)), { to });
        const into = await leases(io, 2, 65_536);
        const received = await receiver.recvMany(into);
        assertEquals(received.length, 1);
        const [datagram] = received;
        const { lease: _lease, ...told } = datagram;
        assertEquals(told, { bytes, from: socket.localAddr, truncated: false, segmentBytes });
        const segments = segmentsOf(datagram);
        assertEquals(segments.length, Math.ceil(bytes / segmentBytes));
        let at = 0;
        for (const [i, segment] of segments.entries()) {
          assertEquals(segment.length, i < segments.length - 1 ? segmentBytes : bytes - at);
          assertEquals(segment.byteOffset, into[0].bytes.byteOffset + at, "a view, not a copy");
          assertEquals(mismatch(segment, at), -1);
          at += segment.length;
        }
        assertEquals(at, bytes);
        releaseAll(into);
      }
    }
  });
}

whereTrainsPass("trains: several with one system call, and single datagrams among them", async (io) => {
  const { receiver, sender } = await pair(io, "127.0.0.1");
  const to = receiver.localAddr;
  const sizes = [5000, 400, 3001, 0, 1000, 1001];
  cutInto(sender, 1000);
  for (const bytes of sizes) await sender.send(fillPattern(new Uint8Array(bytes)), { to });
  const into = await leases(io, 8, 65_536);
  const received = await receiver.recvMany(into);
  assertEquals(
    received.map(({ bytes, segmentBytes }) => [bytes, segmentBytes]),
    sizes.map((bytes) => [bytes, bytes > 1000 ? 1000 : undefined]),
  );
  assertEquals(received.map((datagram) => segmentsOf(datagram).map(({ length }) => length)), [
    [1000, 1000, 1000, 1000, 1000],
    [400],
    [1000, 1000, 1000, 1],
    [0],
    [1000],
    [1000, 1],
  ]);
  releaseAll(into);
});

whereTrainsPass("trains: a lease that is too small is cut, and says so; the next one is whole", async (io) => {
  const { receiver, sender } = await pair(io, "127.0.0.1");
  cutInto(sender, 1000);
  const into = [await io.lease(2500), await io.lease(65_536)];
  for (let i = 0; i < 2; i++) await sender.send(fillPattern(new Uint8Array(10_000)), { to: receiver.localAddr });
  const received = await receiver.recvMany(into);
  assertEquals(received.map(({ bytes, truncated, segmentBytes }) => [bytes, truncated, segmentBytes]), [
    [2500, true, 1000],
    [10_000, false, 1000],
  ]);
  assertEquals(segmentsOf(received[0]).map(({ length }) => length), [1000, 1000, 500]);
  assertEquals(mismatch(received[0].lease.bytes), -1);
  releaseAll(into);
});

whereTrainsPass("trains: cut into leases, each datagram is passed on from where it is", async (io) => {
  const { receiver, sender } = await pair(io, "127.0.0.1");
  const next = await io.bindUdp({ hostname: "127.0.0.1", receiveBufferBytes: 1 << 20 });
  cutInto(sender, 1400);
  await sender.send(fillPattern(new Uint8Array(7001)), { to: receiver.localAddr });
  for await (const { lease, bytes, segmentBytes } of receiver.datagrams()) {
    lease.cut(bytes).release();
    for (const segment of lease.split(segmentBytes!)) await receiver.send(segment, { to: next.localAddr });
    break;
  }
  using into = await io.lease(2000);
  for (let at = 0; at < 7001;) {
    const { bytes } = await next.recv(into);
    assertEquals([bytes, mismatch(into.bytes.subarray(0, bytes), at)], [Math.min(1400, 7001 - at), -1]);
    at += bytes;
  }
});

eachEngine("trains: without the option each datagram comes by itself", async (io) => {
  const { receiver, sender } = await pair(io, "127.0.0.1", { receiveSegments: false });
  cutInto(sender, 1000);
  await sender.send(fillPattern(new Uint8Array(2500)), { to: receiver.localAddr });
  const into = await leases(io, 4, 65_536);
  const sizes: number[] = [];
  while (sizes.length < 3) sizes.push(...(await receiver.recvMany(into)).map(({ bytes }) => bytes));
  assertEquals(sizes, [1000, 1000, 500]);
  releaseAll(into);
});

const PROGRAM = new URL("./programs/veth_trains.ts", import.meta.url);
const [unshare, ...rest] = inNamespace("ip link add v0 type veth peer name v1", "ethtool -K v1 gro on");
const NO_VETH = NO_NAMESPACE ?? lacks("needs veth devices and ethtool", unshare, ...rest, "true");

for (const engine of ENGINES) {
  testIf(
    NO_ENGINE[engine] ?? NO_TRAINS ?? NO_VETH,
    `trains: over a veth pair, made by the sender and put together on the way [${engine}]`,
    async () => {
      const outcome = await childJson<Record<string, { trains: number; datagrams: number; bad: number }>>(PROGRAM, {
        args: [engine],
        within: inNamespace(),
      });
      const { whole, "put together": put } = outcome;
      assertEquals([whole.trains, whole.datagrams, whole.bad], [10, 100, 0], "a train passes as it is");
      assert(put.trains < put.datagrams, `nothing was put together: ${JSON.stringify(put)}`);
      assertEquals([put.datagrams, put.bad], [100, 0]);
    },
  );
}
