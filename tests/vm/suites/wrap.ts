/**
 * The kernel's ids across 2^32: its counter is set just before, and a few hundred sends cross it, with completions held back so that
 * ranges merge and wrap. The control follows the same completions with the index of old, for which 4294967295 is followed by 1.
 */
import { assert, assertEquals } from "@std/assert";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type Io, open, type TcpConn, type UdpSocket } from "../../../mod.ts";
import { assertAllReturned, assertLedger } from "../../support/ledger.ts";
import { testIf } from "../../support/skip.ts";
import { endpointOf } from "../../support/sockopt.ts";
import { until } from "../../support/turns.ts";
import { Completions, IdTable } from "../completions.ts";

const SET = "/sys/module/ringlet_zckey/parameters/set";
/** Where the lab says why a guest does not have the module. */
const WHY = "/modules/missing";
const NO_MODULE = existsSync(SET)
  ? undefined
  : existsSync(WHY)
  ? readFileSync(WHY, "utf8")
  : "needs the module ringlet_zckey, which guests of `deno task test:vm` have";

const hostname = "127.0.0.1";
const BYTES = 5000;

/** Sends that cross 2^32 after the first `before` of them; completions are read after each `together`. */
const ROUNDS = [
  { before: 3, sends: 8, together: 8 },
  { before: 150, sends: 300, together: 300 },
  { before: 150, sends: 300, together: 7 },
  { before: 150, sends: 300, together: 1 },
  { before: 1, sends: 2, together: 2 },
  { before: 20, sends: 40, together: 20 },
];

const next = {
  ours: (id: number) => (id + 1) >>> 0,
  historic: (id: number) => id === 0xffff_ffff ? 1 : id + 1,
};

interface Sender {
  socket: TcpConn | UdpSocket;
  send(io: Io): Promise<{ released: Promise<unknown> }>;
}

const SENDERS: Record<string, (io: Io, receiver: Io) => Promise<Sender>> = {
  async TCP(io, receiver) {
    const listener = await receiver.listen({ hostname, port: 0, receiveBufferBytes: 4 << 20 });
    const { port } = listener.localAddr as { port: number };
    const socket = await io.connect({ hostname, port, sendBufferBytes: 4 << 20, maxInFlightBytes: 8 << 20 });
    const peer = await listener.accept();
    drain(receiver, peer);
    return { socket, send: async (io) => await socket.send(await io.lease(BYTES)) };
  },
  async UDP(io, receiver) {
    const sink = await receiver.bindUdp({ hostname });
    const socket = await io.bindUdp({ hostname, sendBufferBytes: 4 << 20, maxInFlightBytes: 8 << 20 });
    return { socket, send: async (io) => await socket.send(await io.lease(BYTES), { to: sink.localAddr }) };
  },
};

/** Reads until the connection ends. */
async function drain(io: Io, peer: TcpConn): Promise<void> {
  using lease = await io.lease(65_536);
  while (await peer.recv(lease).catch(() => null) !== null);
}

for (const [kind, makeSender] of Object.entries(SENDERS)) {
  testIf(NO_MODULE, `${kind} ids cross 2^32, and the index of old loses a buffer`, async () => {
    const receiver = await open({ engine: "copy", arenaBytes: 1 << 20 });
    const io = await open({ engine: "errqueue", arenaBytes: 16 << 20, zeroCopy: "always", zeroCopyThresholdBytes: 0 });
    const { socket, send } = await makeSender(io, receiver);
    const endpoint = endpointOf(socket);
    using completions = new Completions(endpoint);
    const ranges: [number, number][] = [];
    for (const { before, sends, together } of ROUNDS) {
      const first = 2 ** 32 - before;
      writeFileSync(SET, `${endpoint.fd} ${first}`);
      assertEquals(endpoint.hub.core.raw.socket_set_next(endpoint.slot, endpoint.generation, first), 0);
      const [ours, historic] = [new IdTable(first, next.ours), new IdTable(first, next.historic)];
      completions.follow([ours, historic]);
      for (let sent = 0; sent < sends; sent += together) {
        completions.held = true;
        const receipts = await Promise.all(
          Array.from({ length: Math.min(together, sends - sent) }, () => send(io)),
        );
        assertEquals(io.stats().inFlight, receipts.length, "all of them are out");
        completions.held = false;
        await until(() => {
          completions.collect();
          return ours.outstanding === 0;
        });
        // The kernel has let go of everything, and the ledger knows: nothing is awaited that might never come.
        assertLedger(io);
        assertEquals(io.stats().inFlight, 0, `${kind}: a buffer is lost after ${completions.last}`);
        await Promise.all(receipts.map(({ released }) => released));
      }
      assertEquals(endpoint.counters().nextId, sends - before, "the ledger's next id is the kernel's");
      assertEquals(historic.outstanding, 1, "control: the index of old loses one buffer in each crossing");
      ranges.push(...completions.ranges);
    }
    const all = JSON.stringify(ranges);
    assert(ranges.some(([lo, hi]) => lo > hi), `no range wraps: ${all}`);
    assert(ranges.some(([lo, hi]) => lo < hi), `no range was merged: ${all}`);
    assert(ranges.some(([lo, hi]) => hi - lo > 100 || lo > hi && 2 ** 32 + hi - lo > 100), `none is long: ${all}`);
    await io.close();
    await receiver.close();
    assertAllReturned(io);
  });
}
