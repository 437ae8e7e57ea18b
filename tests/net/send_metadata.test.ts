/**
 * What a program says beside the bytes of a datagram arrives with it: over IPv4, over IPv6, and over IPv4 from a socket of both.
 */
import { assert, assertEquals } from "@std/assert";
import { C } from "../../ffi/abi.ts";
import { interfaceIndex } from "../../ffi/address.ts";
import { openSystem } from "../../ffi/system.ts";
import type { SendMetadata, UdpOptions, UdpSocket } from "../../mod.ts";
import { encodeControl } from "../../net/control.ts";
import { layout } from "../../wasm/mod.ts";
import { CALLS } from "../support/calls.ts";
import { eachEngine } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { endpointOf, getOption } from "../support/sockopt.ts";
import { assertIds, withoutChecksums } from "../support/trains.ts";
import { turns } from "../support/turns.ts";

const LO = interfaceIndex(openSystem(), "lo");
const BYTES = 100;

const EVERYTHING = {
  receiveLocalAddress: true,
  receiveTrafficClass: true,
  receiveHopLimit: true,
} satisfies UdpOptions;

/** Ways from one socket to another: what each is bound to, where it goes, and another address of the sender's host. */
const WAYS = {
  "IPv4": { from: "0.0.0.0", at: "127.0.0.5", other: "127.0.0.9" },
  "IPv6": { from: "::", at: "::1", other: "::1" },
  "IPv4 from a socket of both": { from: "::", at: "127.0.0.6", other: "127.0.0.9" },
};

/** Metadata, and what the receiver then is told. */
function said(other: string): [SendMetadata, object][] {
  return [
    [{ trafficClass: 0xba }, { trafficClass: 0xba, ecn: 2 }],
    [{ trafficClass: 0 }, { trafficClass: 0, ecn: 0 }],
    [{ trafficClass: 255 }, { trafficClass: 255, ecn: 3 }],
    [{ ecn: 1 }, { trafficClass: 1, ecn: 1 }],
    [{ ecn: 0 }, { trafficClass: 0, ecn: 0 }],
    [{ ecn: 1, trafficClass: 0xba }, { trafficClass: 0xb9, ecn: 1 }],
    [{ hopLimit: 1 }, { hopLimit: 1 }],
    [{ hopLimit: 255 }, { hopLimit: 255 }],
    [{ interfaceIndex: LO }, { interfaceIndex: LO }],
    [{ interfaceIndex: 0 }, { interfaceIndex: LO }],
    [{ localAddress: other }, { from: other }],
    [{ localAddress: other, interfaceIndex: LO, trafficClass: 0x28, ecn: 3, hopLimit: 9 }, {
      from: other,
      interfaceIndex: LO,
      trafficClass: 0x2b,
      ecn: 3,
      hopLimit: 9,
    }],
  ];
}

for (const [way, { from, at, other }] of Object.entries(WAYS)) {
  eachEngine(`each kind of metadata arrives, from each call; ${way}`, async (io) => {
    const receiver = await io.bindUdp({ hostname: at, ...EVERYTHING });
    const to = receiver.localAddr;
    const sender = await io.bindUdp({ hostname: from });
    const connected = await io.bindUdp({ hostname: from, remote: to });
    using into = await io.lease(2 * BYTES);
    for (const [call, send] of Object.entries(CALLS)) {
      for (const [metadata, told] of said(other)) {
        for (const socket of call === "fanOut" ? [sender] : [sender, connected]) {
          await send(io, socket, await io.lease(BYTES), socket === sender ? { to, ...metadata } : { ...metadata });
          const { bytes, from, ...rest } = await receiver.recv(into);
          assertEquals(bytes, BYTES);
          const seen = { ...rest, from: from.hostname };
          const expected = { ...seen, ...told };
          assertEquals(seen, expected, `${call} of ${JSON.stringify(metadata)}`);
        }
      }
    }
  });

  eachEngine(`metadata goes with each segment of a train, also where the kernel takes none; ${way}`, async (io) => {
    const receiver = await io.bindUdp({ hostname: at, ...EVERYTHING, receiveBufferBytes: 1 << 20 });
    const to = receiver.localAddr;
    const sender = await io.bindUdp({ hostname: from });
    using into = await io.lease(2 * BYTES);
    for (const whole of [true, false]) {
      if (!whole) withoutChecksums(sender);
      for (const [call, send] of Object.entries(CALLS)) {
        const metadata = { localAddress: other, interfaceIndex: LO, trafficClass: 0xb9, hopLimit: 7 };
        await send(io, sender, await io.lease(3 * BYTES + 1), { to, segmentBytes: BYTES, ...metadata });
        for (const expected of [BYTES, BYTES, BYTES, 1]) {
          const { bytes, from, trafficClass, hopLimit } = await receiver.recv(into);
          assertEquals([bytes, from.hostname, trafficClass, hopLimit], [expected, other, 0xb9, 7], call);
        }
      }
      assertEquals(sender.maxSegments > 1, whole || from === "::" && at === "::1");
    }
  });

  eachEngine(`metadata that cannot be is refused before anything is sent; ${way}`, async (io) => {
    const receiver = await io.bindUdp({ hostname: at });
    const to = receiver.localAddr;
    const sender = await io.bindUdp({ hostname: from });
    const v4 = !at.includes(":");
    const bad: [string, SendMetadata][] = [
      ["ERR_OUT_OF_RANGE", { trafficClass: 256 }],
      ["ERR_OUT_OF_RANGE", { trafficClass: -1 }],
      ["ERR_OUT_OF_RANGE", { trafficClass: 1.5 }],
      ["ERR_OUT_OF_RANGE", { ecn: 4 }],
      ["ERR_OUT_OF_RANGE", { ecn: NaN }],
      ["ERR_OUT_OF_RANGE", { hopLimit: 0 }],
      ["ERR_OUT_OF_RANGE", { hopLimit: 256 }],
      ["ERR_OUT_OF_RANGE", { interfaceIndex: -1 }],
      ["ERR_OUT_OF_RANGE", { interfaceIndex: 2 ** 31 }],
      ["ERR_OUT_OF_RANGE", { transmitNs: -1n }],
      ["ERR_OUT_OF_RANGE", { transmitNs: 2n ** 63n }],
      ["ERR_INVALID_ARG", { transmitNs: 1n }], // the socket was not bound for it
      ["ERR_INVALID_ARG", { transmitNs: 1 as unknown as bigint }],
      ["ERR_INVALID_ARG", { trafficClass: "1" as unknown as number }],
      ["ERR_INVALID_ARG", { hopLimit: 1n as unknown as number }],
      ["ERR_INVALID_ARG", { localAddress: "localhost" }],
      ["ERR_INVALID_ARG", { localAddress: "" }],
      ["ERR_INVALID_ARG", { localAddress: 1 as unknown as string }],
      ["EAFNOSUPPORT", { localAddress: v4 ? "::1" : "127.0.0.1" }],
      ["ERR_INVALID_ARG", { ttl: 1 } as SendMetadata],
    ];
    for (const [code, metadata] of bad) {
      for (const options of [{ to, ...metadata }, { to, segmentBytes: 10, ...metadata }]) {
        const lease = await io.lease(BYTES);
        await fails(code, () => sender.send(lease, options));
        await fails(code, () => sender.trySend(lease, options));
        await fails(code, () => sender.sendMany([{ data: new Uint8Array(1), to }, { data: lease, ...options }]));
        const { to: _to, ...rest } = options;
        await fails(code, () => sender.fanOut(lease, [to], rest));
        assertEquals(lease.state, "leased");
        lease.release();
      }
    }
    assertEquals(sender.stats().sends, 0);
  });
}

eachEngine("metadata of a fan-out over both protocols, one by one and in trains", async (io) => {
  const receivers = await Promise.all(["127.0.0.1", "::1"].map((hostname) => io.bindUdp({ hostname, ...EVERYTHING })));
  const sender = await io.bindUdp({ hostname: "::" });
  const to = receivers.map(({ localAddr }) => localAddr);
  using into = await io.lease(2 * BYTES);
  for (const segmentBytes of [undefined, BYTES]) {
    const lease = await io.lease(segmentBytes === undefined ? BYTES : 2 * BYTES);
    const options = { trafficClass: 0xb9, hopLimit: 7, segmentBytes };
    const { accepted, released } = await sender.fanOut(lease, [...to, ...to], options);
    assertEquals(accepted, 4);
    await released;
    for (const receiver of receivers) {
      for (let i = 0; i < 2 * lease.byteLength / BYTES; i++) {
        const { bytes, trafficClass, hopLimit } = await receiver.recv(into);
        assertEquals([bytes, trafficClass, hopLimit], [BYTES, 0xb9, 7]);
      }
    }
  }
});

eachEngine(
  "an address that is not this host's, or an interface that is not there, is the kernel's to refuse",
  async (io) => {
    const receiver = await io.bindUdp({ hostname: "127.0.0.1" });
    const sender = await io.bindUdp({ hostname: "0.0.0.0" });
    for (
      const [code, metadata] of [
        ["ENETUNREACH", { localAddress: "192.0.2.1" }],
        ["ENODEV", { interfaceIndex: 2 ** 31 - 1 }],
      ] as const
    ) {
      const lease = await io.lease(BYTES);
      await fails(code, () => sender.send(lease, { to: receiver.localAddr, ...metadata }));
      assertEquals(lease.state, "leased");
      lease.release();
    }
    assertIds(sender);
  },
);

eachEngine("the socket's own traffic class and hop limit are the default", async (io) => {
  for (const { from, at } of Object.values(WAYS)) {
    const receiver = await io.bindUdp({ hostname: at, ...EVERYTHING });
    const to = receiver.localAddr;
    using into = await io.lease(BYTES);
    const told = async (socket: UdpSocket, options: SendMetadata = {}) => {
      await socket.send(new Uint8Array(1), { to, ...options });
      const { trafficClass, hopLimit } = await receiver.recv(into);
      return [trafficClass, hopLimit];
    };
    const sender = await io.bindUdp({ hostname: from, trafficClass: 0x88, hopLimit: 33 });
    assertEquals(await told(sender), [0x88, 33]);
    assertEquals(await told(sender, { hopLimit: 3 }), [0x88, 3]);
    sender.configure({ trafficClass: 0x20, hopLimit: 44 });
    assertEquals(await told(sender), [0x20, 44]);
    for (const options of [{ trafficClass: 256 }, { hopLimit: 0 }]) {
      await fails("ERR_OUT_OF_RANGE", () => sender.configure(options));
      await fails("ERR_OUT_OF_RANGE", () => io.bindUdp(options));
    }
  }
});

eachEngine("path MTU discovery reaches the kernel, and the path's MTU is told", async (io) => {
  const peer = await io.bindUdp({ hostname: "127.0.0.1" });
  for (const hostname of ["0.0.0.0", "::"]) {
    for (const [value, pathMtuDiscovery] of (["off", "want", "do", "probe"] as const).entries()) {
      const udp = await io.bindUdp({ hostname, pathMtuDiscovery });
      const later = await io.bindUdp({ hostname });
      later.configure({ pathMtuDiscovery });
      for (const socket of [udp, later]) {
        assertEquals(getOption(socket, C.IPPROTO_IP, C.IP_MTU_DISCOVER), value);
        if (hostname === "::") assertEquals(getOption(socket, C.IPPROTO_IPV6, C.IPV6_MTU_DISCOVER), value);
      }
    }
    const connected = await io.bindUdp({ hostname, remote: peer.localAddr });
    assert(connected.pathMtuBytes! >= 65_535, `${connected.pathMtuBytes}`);
  }
  assertEquals(peer.pathMtuBytes, undefined);
  await fails("ERR_INVALID_ARG", () => io.bindUdp({ pathMtuDiscovery: "always" as "do" }));
  await peer.close();
  await fails("ERR_CLOSED", () => peer.pathMtuBytes);
});

eachEngine("times to leave reach the kernel", async (io) => {
  const receiver = await io.bindUdp({ hostname: "127.0.0.1" });
  const to = receiver.localAddr;
  const sender = await io.bindUdp({ hostname: "127.0.0.1", transmitTimes: true });
  using into = await io.lease(BYTES);
  // Loopback has no queueing discipline that would hold it back.
  for (const transmitNs of [0n, io.monotonicNs() + 1_000_000n, 2n ** 63n - 1n]) {
    await sender.send(new Uint8Array(5), { to, transmitNs });
    assertEquals((await receiver.recv(into)).bytes, 5);
    await sender.send(new Uint8Array(BYTES + 1), {
      to,
      transmitNs,
      segmentBytes: BYTES,
      hopLimit: 5,
      localAddress: "127.0.0.1",
    });
    assertEquals((await receiver.recv(into)).bytes, BYTES);
    assertEquals((await receiver.recv(into)).bytes, 1);
  }
  const times = new Uint8Array(Int32Array.of(C.CLOCK_MONOTONIC, 0).buffer);
  assertEquals(getTxtime(sender), [...times]);
  for (const value of [1, null, "true"]) {
    await fails("ERR_INVALID_ARG", () => io.bindUdp({ transmitTimes: value as unknown as boolean }));
  }
});

/** SO_TXTIME as the kernel has it. */
function getTxtime(socket: UdpSocket): number[] {
  const value = new Uint8Array(8);
  const length = new Uint8Array(Uint32Array.of(8).buffer);
  const { call } = openSystem().libc;
  assertEquals(call.getsockopt(endpointOf(socket).fd, C.SOL_SOCKET, C.SO_TXTIME, value, length), 0);
  return [...value];
}

eachEngine("all metadata at once fits into a record, with the last byte of it", async (io) => {
  const receiver = await io.bindUdp({ hostname: "::1", ...EVERYTHING });
  const sender = await io.bindUdp({ hostname: "::", transmitTimes: true });
  const all = { localAddress: "::1", interfaceIndex: LO, trafficClass: 0x11, hopLimit: 8, transmitNs: 1n };
  await sender.send(new Uint8Array(BYTES + 1), { to: receiver.localAddr, segmentBytes: BYTES, ...all });
  using into = await io.lease(BYTES);
  for (const bytes of [BYTES, 1]) {
    const datagram = await receiver.recv(into);
    assertEquals([datagram.bytes, datagram.trafficClass, datagram.hopLimit], [bytes, 0x11, 8]);
  }
  const data = [20, 4, 4, 8].map((bytes) => ({ level: 0, type: 0, data: new Uint8Array(bytes) }));
  assertEquals(encodeControl(data, 1).byteLength, layout.SEND.CONTROL_BYTES);
  await turns(1);
});

eachEngine("more kinds of metadata than are kept encoded", async (io) => {
  const receiver = await io.bindUdp({ hostname: "127.0.0.1", ...EVERYTHING });
  const sender = await io.bindUdp({ hostname: "127.0.0.1", remote: receiver.localAddr });
  using into = await io.lease(BYTES);
  for (let i = 0; i < 600; i++) {
    const [trafficClass, hopLimit] = [i % 256, 1 + i % 255];
    await sender.send(new Uint8Array(1), { trafficClass, hopLimit });
    const datagram = await receiver.recv(into);
    assertEquals([datagram.trafficClass, datagram.hopLimit], [trafficClass, hopLimit]);
  }
});
