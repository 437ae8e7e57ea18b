/**
 * The id oracle: random operations against the real kernel, and every release compared with what the kernel had really said by
 * then. Good sends, partial ones, empty datagrams, copies, failures that take an id and failures that do not, on TCP and UDP; and the
 * network's answers to datagrams that nobody takes, in the same queue.
 */
import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { test } from "node:test";
import { setImmediate } from "node:timers";
import { C } from "../../ffi/abi.ts";
import { openSystem } from "../../ffi/system.ts";
import { type Lease, open, RingletError, type TcpConn, type UdpSocket } from "../../mod.ts";
import type { Endpoint } from "../../net/endpoint.ts";
import { setOption } from "../../net/options.ts";
import { HANG_MS } from "../support/skip.ts";
import { withoutChecksums } from "../support/trains.ts";
import { type Sent, SocketModel, watchCalls } from "./id_model.ts";

const OPERATIONS = Number(process.env.RINGLET_ORACLE_OPERATIONS ?? 100_000);
const SEED = Number(process.env.RINGLET_ORACLE_SEED ?? Date.now() % 2 ** 31);
const UDP_SEGMENT = 103;
/** Below this size the second socket of each kind copies. */
const THRESHOLD_BYTES = 1000;

const MAX_SENDS = 512;

/** Mulberry32: the same run for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Sockets say their descriptor only to the engines. */
function endpointOf(socket: unknown): Endpoint {
  return (socket as { endpoint: Endpoint }).endpoint;
}

const TIMEOUT_MS = HANG_MS + OPERATIONS;

test(`id oracle: ${OPERATIONS} random operations, RINGLET_ORACLE_SEED=${SEED}`, { timeout: TIMEOUT_MS }, async () => {
  const random = randomFrom(SEED);
  const system = openSystem();
  await using io = await open({ engine: "errqueue", arenaBytes: 32 << 20, zeroCopy: "always", maxSends: MAX_SENDS });
  const sockets = await makeSockets();
  const gone = await io.bindUdp({ hostname: "127.0.0.1" });
  const dead = gone.localAddr;
  await gone.close();
  const models = new Map(sockets.map(({ endpoint, model }) => [endpoint.fd, model]));
  const unwatch = watchCalls(system, sockets[0].endpoint.hub.core, models);
  try {
    const live = new Map<number, { sent: Sent; model: SocketModel; lease: Lease }>();
    const promises: Promise<void>[] = [];
    const count = { released: 0, refused: 0, early: 0 };

    const end = (sent: Sent, model: SocketModel) => {
      assert(!sent.over, "a send ended twice");
      sent.over = true;
      assertEquals(
        sent.accepted,
        sent.bytes,
        `released before everything was accepted (${model.datagram ? "UDP" : "TCP"})`,
      );
      for (const id of sent.ids) assert(model.notified.delete(id), `released before the kernel said so: id ${id}`);
      count.released += 1;
    };
    const reap = () =>
      io.reap((id, event, value) => {
        if (event === "accepted") return;
        const { sent, model, lease } = live.get(id)!;
        live.delete(id);
        if (event === "released") return end(sent, model);
        assertEquals([event, model.datagram, sent.accepted, sent.over], ["refused", true, 0, false]);
        assertEquals(value, 22, "refused for segmentation: EINVAL");
        sent.over = true;
        lease.release();
        count.refused += 1;
      });

    let promised = 0;
    const catchUp = async () => {
      io.flush();
      await turn();
      reap();
    };
    for (let done = 0; done < OPERATIONS;) {
      // With every record in use, a send would wait outside the queue that the model follows.
      if (live.size + promised >= MAX_SENDS - 1) {
        await catchUp();
        continue;
      }
      const which = random(10);
      const chosen = sockets[which < 5 ? random(2) : which < 7 ? 4 : 2 + random(2)];
      const { socket, endpoint, model, threshold } = chosen;
      const to = model.errors && random(3) === 0 ? dead : chosen.to;
      // A failure of its own is tried again on a socket with answers, which the model does not follow.
      const kind = model.errors ? 9 + random(91) : random(100);
      if (model.datagram && kind < 3) {
        io.flush(); // what is queued was meant for the settings before
        if (model.queue.length === 0) {
          model.segmentBytes = [0, 10, 100, 300][random(4)];
          model.noCheck = random(8) === 0;
          assertEquals(setOption(system, endpoint.fd, C.IPPROTO_UDP, UDP_SEGMENT, model.segmentBytes), 0);
          withoutChecksums(socket as UdpSocket, model.noCheck);
        }
      } else if (model.datagram && kind < 6 && !(model.noCheck && model.segmentBytes > 0)) {
        const sent = model.add(0);
        const sending = (socket as UdpSocket).send(new Uint8Array(0), { to });
        promised += 1;
        promises.push(
          sending.then((receipt) => receipt.released).then(() => {
            promised -= 1;
            end(sent, model);
          }),
        );
      } else if (model.datagram && kind < 9) {
        const lease = io.tryLease(20_000);
        if (lease === undefined) {
          await catchUp();
          continue;
        }
        model.add(20_000, true);
        const sending = (socket as UdpSocket).send(lease, { to: { hostname: "127.255.255.255", port: 9 } });
        const error = await sending.then(() => undefined, (error) => error);
        assert(error instanceof RingletError && error.code === "EACCES" && error.bytesAccepted === 0, String(error));
        lease.release();
        count.early += 1;
      } else {
        const bytes = 1 + random(model.datagram ? [100, 2000, 60_000][random(3)] : 200_000);
        const lease = io.tryLease(bytes);
        const id = lease === undefined
          ? -1
          : model.datagram
          ? (socket as UdpSocket).trySend(lease, { to })
          : (socket as TcpConn).trySend(lease);
        if (lease === undefined || id < 0) {
          lease?.release();
          await catchUp();
          continue;
        }
        assertEquals(endpoint.sends.zeroCopy && bytes >= threshold, bytes >= threshold);
        live.set(id, { sent: model.add(bytes), model, lease });
      }
      done += 1;
      if (random(8) === 0) io.flush();
      if (random(16) === 0) reap();
      if (random(64) === 0) await turn();
    }

    for (let i = 0; live.size > 0 && i < 5000; i++) {
      io.flush();
      await turn();
      reap();
    }
    await Promise.all(promises);
    assertEquals(live.size, 0, "sends were lost");
    for (const { endpoint, model } of sockets) {
      assertEquals(model.queue.length, 0);
      assertEquals(endpoint.counters().nextId, model.nextId, "the ledger's next id is not the kernel's");
    }
    const stats = io.stats();
    assertEquals(stats.lent, stats.released + stats.inFlight);
    assertEquals([stats.idsUnknown, stats.idsDuplicate, stats.staleHandles], [0, 0, 0]);
    if (OPERATIONS >= 10_000) {
      assert(stats.idsTaken > 0, "no failed send took an id: nothing was tested");
      assert(count.refused > 0 && count.early > 0 && count.released > OPERATIONS / 2, JSON.stringify(count));
      assert(sockets[4].model.answers > OPERATIONS / 100, `${sockets[4].model.answers} answers`);
    }
  } finally {
    unwatch();
  }

  /**
   * Two UDP sockets, two TCP connections with readers that keep up, where the second of each copies small sends, and a UDP socket that
   * hears what the network answers.
   */
  async function makeSockets() {
    const hostname = "127.0.0.1";
    const sink = await io.bindUdp({ hostname, receiveBufferBytes: 4096 });
    // Only the sender's buffer is small: a small receive buffer drops whole loopback segments, and the stream waits for its timers.
    const listener = await io.listen({ hostname, port: 0 });
    const { port } = listener.localAddr as { port: number };
    const made = [];
    for (const threshold of [0, THRESHOLD_BYTES]) {
      const socket = await io.bindUdp({ hostname, zeroCopyThresholdBytes: threshold });
      made.push({
        socket,
        endpoint: endpointOf(socket),
        model: new SocketModel(true, io.capabilities.udpSegments),
        to: sink.localAddr,
        threshold,
      });
    }
    for (const threshold of [0, THRESHOLD_BYTES]) {
      const socket = await io.connect({ hostname, port, zeroCopyThresholdBytes: threshold, sendBufferBytes: 65_536 });
      const peer = await listener.accept();
      readAll(peer);
      made.push({ socket, endpoint: endpointOf(socket), model: new SocketModel(false), to: sink.localAddr, threshold });
    }
    const socket = await io.bindUdp({ hostname, zeroCopyThresholdBytes: THRESHOLD_BYTES, errors: true });
    const model = new SocketModel(true, io.capabilities.udpSegments);
    model.errors = true;
    made.push({ socket, endpoint: endpointOf(socket), model, to: sink.localAddr, threshold: THRESHOLD_BYTES });
    return made;
  }

  async function readAll(peer: TcpConn): Promise<void> {
    const lease = await io.lease(65_536);
    try {
      while (await peer.recv(lease) !== null);
    } catch {
      // The io is closing.
    }
  }
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
