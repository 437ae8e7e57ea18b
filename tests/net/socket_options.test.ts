/**
 * Every socket option really reaches the kernel: set, and asked back past the library.
 */
import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { C } from "../../ffi/abi.ts";
import type { Io, Socket } from "../../mod.ts";
import { eachEngine } from "../support/engines.ts";
import { connectedPair } from "../support/pairs.ts";
import { lacks, testIf } from "../support/skip.ts";
import { withIo } from "../support/engines.ts";
import { getOption } from "../support/sockopt.ts";

const hostname = "127.0.0.1";

const read = {
  noDelay: (socket: Socket) => getOption(socket, C.IPPROTO_TCP, C.TCP_NODELAY),
  keepAlive: (socket: Socket) => getOption(socket, C.SOL_SOCKET, C.SO_KEEPALIVE),
  keepAliveIdleSeconds: (socket: Socket) => getOption(socket, C.IPPROTO_TCP, C.TCP_KEEPIDLE),
  keepAliveIntervalSeconds: (socket: Socket) => getOption(socket, C.IPPROTO_TCP, C.TCP_KEEPINTVL),
  keepAliveProbes: (socket: Socket) => getOption(socket, C.IPPROTO_TCP, C.TCP_KEEPCNT),
  // The kernel doubles these.
  sendBufferBytes: (socket: Socket) => getOption(socket, C.SOL_SOCKET, C.SO_SNDBUF) / 2,
  receiveBufferBytes: (socket: Socket) => getOption(socket, C.SOL_SOCKET, C.SO_RCVBUF) / 2,
};

const SET = {
  noDelay: true,
  keepAlive: true,
  keepAliveIdleSeconds: 77,
  keepAliveIntervalSeconds: 7,
  keepAliveProbes: 5,
  sendBufferBytes: 40_000,
  receiveBufferBytes: 50_000,
};

function tcpOptions(socket: Socket): Record<string, number> {
  return Object.fromEntries(Object.entries(read).map(([name, get]) => [name, get(socket)]));
}

const AS_NUMBERS = Object.fromEntries(Object.entries(SET).map(([name, value]) => [name, Number(value)]));

eachEngine("TCP options of connect, of listen for accepted connections, and of configure", async (io) => {
  const { conn, peer } = await connectedPair(io, SET, SET);
  assertEquals(tcpOptions(conn), AS_NUMBERS);
  assertEquals(tcpOptions(peer), AS_NUMBERS);
  const plain = await connectedPair(io);
  for (const socket of [plain.conn, plain.peer]) {
    assertEquals([read.noDelay(socket), read.keepAlive(socket)], [0, 0], "the defaults");
    socket.configure(SET);
    assertEquals(tcpOptions(socket), AS_NUMBERS);
    socket.configure({ noDelay: false, keepAlive: false });
    assertEquals([read.noDelay(socket), read.keepAlive(socket)], [0, 0]);
  }
});

eachEngine("UDP options of bindUdp and of configure", async (io) => {
  for (const at of [{ hostname }, { hostname: "::" }, { hostname: "::1", ipv6Only: true }]) {
    const v6 = at.hostname !== hostname;
    const options = {
      broadcast: true,
      multicastTtl: 9,
      multicastLoop: false,
      sendBufferBytes: 40_000,
      receiveBufferBytes: 50_000,
    };
    const observe = (socket: Socket) => [
      getOption(socket, C.SOL_SOCKET, C.SO_BROADCAST),
      read.sendBufferBytes(socket),
      read.receiveBufferBytes(socket),
      getOption(socket, C.IPPROTO_IP, C.IP_MULTICAST_TTL),
      getOption(socket, C.IPPROTO_IP, C.IP_MULTICAST_LOOP),
      ...v6
        ? [
          getOption(socket, C.IPPROTO_IPV6, C.IPV6_MULTICAST_HOPS),
          getOption(socket, C.IPPROTO_IPV6, C.IPV6_MULTICAST_LOOP),
        ]
        : [],
    ];
    // A socket of both families has both kinds of multicast.
    const expected = [1, 40_000, 50_000, 9, 0, ...v6 ? [9, 0] : []];
    const set = await io.bindUdp({ ...at, ...options });
    assertEquals(observe(set), expected);
    const later = await io.bindUdp(at);
    assertEquals([observe(later)[0], ...observe(later).slice(3)], [0, 1, 1, ...v6 ? [1, 1] : []], "the defaults");
    later.configure(options);
    assertEquals(observe(later), expected);
  }
});

eachEngine("options before bind: reuseAddress, reusePort, ipv6Only", async (io) => {
  const flags = (socket: Socket) => [
    getOption(socket, C.SOL_SOCKET, C.SO_REUSEADDR),
    getOption(socket, C.SOL_SOCKET, C.SO_REUSEPORT),
  ];
  assertEquals(flags(await io.bindUdp({ hostname })), [0, 0]);
  assertEquals(flags(await io.bindUdp({ hostname, reuseAddress: true, reusePort: true })), [1, 1]);
  const only = await io.bindUdp({ hostname: "::1", ipv6Only: true });
  assertEquals(getOption(only, C.IPPROTO_IPV6, C.IPV6_V6ONLY), 1);
  const { conn } = await connectedPair(io, { reuseAddress: true });
  assertEquals(getOption(conn, C.SOL_SOCKET, C.SO_REUSEADDR), 1);
});

eachEngine(
  "a listener's address can be taken again while connections linger, unless that is not wanted",
  async (io) => {
    const at = await lingering(io);
    const again = await io.listen(at);
    assertEquals(again.localAddr, at);
    const other = await lingering(io);
    const refused = await io.listen({ ...other, reuseAddress: false }).catch((error) => error);
    assertEquals(refused.code, "EADDRINUSE");
  },
);

/** The address of a closed listener that has a connection in TIME_WAIT: its side closed first. */
async function lingering(io: Io): Promise<{ hostname: string; port: number }> {
  const listener = await io.listen({ hostname, port: 0 });
  const at = listener.localAddr as { hostname: string; port: number };
  const conn = await io.connect(at);
  const peer = await listener.accept();
  await peer.closeWrite();
  using into = await io.lease(1);
  assertEquals(await conn.recv(into), null);
  await conn.close();
  await peer.close();
  await listener.close();
  return at;
}

const NO_SS = lacks("needs ss (iproute2)", "ss", "-V");

testIf(NO_SS, "backlog and timers, as ss sees them", () =>
  withIo({}, async (io) => {
    const listener = await io.listen({ hostname, port: 0, backlog: 17, keepAlive: true, keepAliveIdleSeconds: 500 });
    const { port } = listener.localAddr as { port: number };
    assertEquals(ss("-ltnH", `sport = :${port}`).split(/\s+/)[2], "17", "the listener's backlog");
    const conn = await io.connect({ hostname, port, keepAlive: true, keepAliveIdleSeconds: 500 });
    await listener.accept();
    const line = ss("-tnoH", `sport = :${(conn.localAddr as { port: number }).port}`);
    assert(line.includes("timer:(keepalive,8min"), line);
    const accepted = ss("-tnoH", "state", "established", `sport = :${port}`);
    assert(accepted.includes("timer:(keepalive,8min"), accepted);
  }));

function ss(...args: string[]): string {
  return spawnSync("ss", args, { encoding: "utf8" }).stdout;
}
