/**
 * What the kernel tells about each datagram: over IPv4, over IPv6, and over IPv4 on a socket of both families.
 */
import { assert, assertEquals } from "@std/assert";
import { C } from "../../ffi/abi.ts";
import { interfaceIndex } from "../../ffi/address.ts";
import { openSystem } from "../../ffi/system.ts";
import type { Datagram, Io, UdpSocket } from "../../mod.ts";
import { setOption } from "../../net/options.ts";
import { eachEngine } from "../support/engines.ts";
import { SLOWNESS } from "../support/skip.ts";
import { endpointOf, getOption } from "../support/sockopt.ts";
import { leases, releaseAll, sendNumbers } from "../support/udp.ts";

const IPV6_UNICAST_HOPS = 16;
const LO = interfaceIndex(openSystem(), "lo");

const EVERYTHING = {
  receiveLocalAddress: true,
  receiveTrafficClass: true,
  receiveHopLimit: true,
  receiveTime: true,
  receiveDropped: true,
  receiveSegments: true,
};
const NOTHING = Object.fromEntries(Object.keys(EVERYTHING).map((name) => [name, false]));

/** Ways from one socket to another: what each is bound to, and where it goes. */
const WAYS = {
  "IPv4": { from: "127.0.0.1", at: "0.0.0.0", to: "127.0.0.5", v6: false },
  "IPv6": { from: "::1", at: "::", to: "::1", v6: true },
  "IPv4 on a socket of both": { from: "127.0.0.1", at: "::", to: "127.0.0.6", v6: false },
};

/** Sets an option past the library. */
function set(socket: UdpSocket, level: number, option: number, value: number): void {
  assertEquals(setOption(openSystem(), endpointOf(socket).fd, level, option, value), 0, `${level}/${option}`);
}

/** A sender whose datagrams bear marks. */
async function markedSender(io: Io, from: string, v6: boolean): Promise<UdpSocket> {
  const sender = await io.bindUdp({ hostname: from });
  set(sender, v6 ? C.IPPROTO_IPV6 : C.IPPROTO_IP, v6 ? C.IPV6_TCLASS : C.IP_TOS, 0xba);
  set(sender, v6 ? C.IPPROTO_IPV6 : C.IPPROTO_IP, v6 ? IPV6_UNICAST_HOPS : C.IP_TTL, 42);
  return sender;
}

for (const [way, { from, at, to, v6 }] of Object.entries(WAYS)) {
  eachEngine(`metadata: each option tells its own, and nothing else; ${way}`, async (io) => {
    const sender = await markedSender(io, from, v6);
    const expected: Record<string, object> = {
      receiveLocalAddress: { localAddress: to, interfaceIndex: LO },
      receiveTrafficClass: { trafficClass: 0xba, ecn: 2 },
      receiveHopLimit: { hopLimit: 42 },
      receiveTime: {},
      receiveDropped: {},
      receiveSegments: {},
    };
    using one = await io.lease(100);
    const many = await leases(io, 3, 100);
    for (
      const [option, told] of [...Object.entries(expected), ["all", Object.assign({}, ...Object.values(expected))]]
    ) {
      const options: Partial<typeof EVERYTHING> = option === "all" ? EVERYTHING : { [option]: true };
      const atBind = await io.bindUdp({ hostname: at, ...options });
      const later = await io.bindUdp({ hostname: at });
      later.configure(options);
      for (const receiver of [atBind, later]) {
        const target = { hostname: to, port: receiver.localAddr.port };
        const since = BigInt(Date.now() - 1) * 1_000_000n;
        for (let i = 0; i < 4; i++) await (await sender.send(new Uint8Array(4), { to: target })).released;
        const check = ({ bytes, from, truncated, receivedNs, ...rest }: Datagram) => {
          assertEquals({ bytes, from, truncated }, { bytes: 4, from: sender.localAddr, truncated: false });
          const timed = options.receiveTime === true;
          assertEquals(receivedNs !== undefined, timed);
          if (timed) {
            assert(receivedNs! >= since && receivedNs! <= BigInt(Date.now() + 1) * 1_000_000n, `${receivedNs}`);
          }
          assertEquals(rest, told, option);
        };
        check(await receiver.recv(one));
        const received = await receiver.recvMany(many);
        assertEquals(received.length, 3);
        for (const { lease: _lease, ...datagram } of received) {
          check(datagram);
        }
        await receiver.close();
      }
    }
    releaseAll(many);
  });
}

eachEngine("metadata: switched off again, it is told no more", async (io) => {
  for (const { from, at, to, v6 } of Object.values(WAYS)) {
    const sender = await markedSender(io, from, v6);
    const receiver = await io.bindUdp({ hostname: at, ...EVERYTHING });
    receiver.configure(NOTHING);
    await sender.send(new Uint8Array(9), { to: { hostname: to, port: receiver.localAddr.port } });
    using into = await io.lease(100);
    assertEquals(await receiver.recv(into), { bytes: 9, from: sender.localAddr, truncated: false });
  }
});

eachEngine("metadata: the options reach the kernel", async (io) => {
  const both = await io.bindUdp({ hostname: "::", ...EVERYTHING });
  for (
    const [level, option] of [
      [C.IPPROTO_UDP, C.UDP_GRO],
      [C.IPPROTO_IP, C.IP_PKTINFO],
      [C.IPPROTO_IPV6, C.IPV6_RECVPKTINFO],
      [C.IPPROTO_IP, C.IP_RECVTOS],
      [C.IPPROTO_IPV6, C.IPV6_RECVTCLASS],
      [C.IPPROTO_IP, C.IP_RECVTTL],
      [C.IPPROTO_IPV6, C.IPV6_RECVHOPLIMIT],
      [C.SOL_SOCKET, C.SO_TIMESTAMPNS],
      [C.SOL_SOCKET, C.SO_RXQ_OVFL],
    ]
  ) {
    assertEquals(getOption(both, level, option), 1, `${level}/${option}`);
    const plain = await io.bindUdp({ hostname: "::" });
    assertEquals(getOption(plain, level, option), 0, `${level}/${option}`);
    await plain.close();
  }
});

eachEngine("metadata: the address of a datagram to a group is the group's", async (io) => {
  const group = "239.77.1.2";
  const receiver = await io.bindUdp({ hostname: "0.0.0.0", receiveLocalAddress: true });
  receiver.joinMulticast(group, { interface: "lo" });
  const sender = await io.bindUdp({ hostname: "127.0.0.1" });
  await sender.send(new Uint8Array(1), { to: { hostname: group, port: receiver.localAddr.port } });
  using into = await io.lease(10);
  const { localAddress, interfaceIndex } = await receiver.recv(into);
  assertEquals([localAddress, interfaceIndex], [group, LO]);
});

eachEngine("metadata: datagrams that were dropped are counted", async (io) => {
  const receiver = await io.bindUdp({ hostname: "127.0.0.1", receiveBufferBytes: 4096, receiveDropped: true });
  const sender = await io.bindUdp({ hostname: "127.0.0.1" });
  await sendNumbers(sender, receiver, 0, 100);
  using into = await io.lease(4);
  let received = 0;
  let dropped = 0;
  for (const abort = new AbortController(); !abort.signal.aborted;) {
    const timer = setTimeout(() => abort.abort(), 50 * SLOWNESS);
    const datagram = await receiver.recv(into, { signal: abort.signal }).catch(() => undefined);
    clearTimeout(timer);
    if (datagram !== undefined) received += 1;
  }
  await sendNumbers(sender, receiver, 100, 101);
  dropped = (await receiver.recv(into)).dropped!;
  assert(received > 0 && dropped > 0);
  assertEquals(received + dropped, 100);
});

eachEngine("metadata: more than there is room for says so, and what fits is told", async (io) => {
  const sender = await io.bindUdp({ hostname: "::1" });
  const receiver = await io.bindUdp({ hostname: "::1", ...EVERYTHING });
  const to = receiver.localAddr;
  using into = await io.lease(100);
  await sender.send(new Uint8Array(1), { to });
  const { metadataTruncated } = await receiver.recv(into);
  assertEquals(metadataTruncated, undefined, "everything that the library asks for fits");
  // What the library has no option for.
  const [IPV6_2292PKTINFO, IPV6_2292HOPLIMIT, IPV6_FLOWINFO, IPV6_RECVORIGDSTADDR] = [2, 8, 11, 74];
  for (const option of [IPV6_2292PKTINFO, IPV6_2292HOPLIMIT, IPV6_FLOWINFO, IPV6_RECVORIGDSTADDR]) {
    set(receiver, C.IPPROTO_IPV6, option, 1);
  }
  const [SO_TIMESTAMPING, SOFTWARE] = [37, 1 << 3 | 1 << 4];
  set(receiver, C.SOL_SOCKET, SO_TIMESTAMPING, SOFTWARE);
  await sender.send(new Uint8Array(1), { to });
  const crowded = await receiver.recv(into);
  assertEquals([crowded.metadataTruncated, crowded.bytes, crowded.from], [true, 1, sender.localAddr]);
  assert(crowded.receivedNs !== undefined, "what fits is told");
});
