/**
 * The loop over what comes in: whose the leases are, how it waits for room, and how it ends without losing anything.
 */
import { assert, assertEquals } from "@std/assert";
import { type Lease, RingletError, type UdpSocket } from "../../mod.ts";
import { eachEngine } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { assertLedger } from "../support/ledger.ts";
import { settled, turns, until } from "../support/turns.ts";
import { countReceives, leases, numberIn, releaseAll, sendNumbers, udpPair, withOther } from "../support/udp.ts";

// deno-lint-ignore no-explicit-any -- this file passes what the types forbid
type Anything = any;

const ARENA_BYTES = 1 << 20;
const SMALL = { arenaBytes: ARENA_BYTES };
const SIZE = { leaseBytes: 2048 };

/** Takes `count` numbers from a loop of its own, and leaves it. */
async function take(socket: UdpSocket, count: number, options = {}): Promise<number[]> {
  const numbers: number[] = [];
  for await (const datagram of socket.datagrams({ ...SIZE, ...options })) {
    numbers.push(numberIn(datagram));
    datagram.lease.release();
    if (numbers.length === count) break;
  }
  return numbers;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

eachEngine("datagrams: all of them in order, many with one system call, in leases of the program", async (io) => {
  const { sender, receiver } = await udpPair(io);
  await sendNumbers(sender, receiver, 0, 200);
  using count = countReceives();
  const kept = [];
  for await (const datagram of receiver.datagrams(SIZE)) {
    assertEquals([datagram.bytes, datagram.truncated, datagram.from], [4, false, sender.localAddr]);
    assertEquals([datagram.lease.state, datagram.lease.byteLength], ["leased", 2048]);
    kept.push(datagram);
    if (kept.length === 200) break;
  }
  assertEquals(kept.map(numberIn), range(0, 200), "none was overwritten while it was held");
  assert(count.calls.length <= 12, `${count.calls} system calls`);
  releaseAll(kept.map(({ lease }) => lease));
  assertEquals(io.stats().arena.leases, 0);
});

eachEngine("datagrams: a loop that is left loses nothing, whoever receives next", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const COUNT = 120;
  await sendNumbers(sender, receiver, 0, COUNT);
  const numbers = await take(receiver, 20);
  numbers.push(...await take(receiver, 3, { batch: 1 }));
  using one = await io.lease(100);
  await receiver.recv(one);
  numbers.push(numberIn({ lease: one }));
  const many = await leases(io, 5, 2);
  const received = await receiver.recvMany(many);
  assert(received.every(({ truncated, bytes }) => truncated && bytes === 2), "moved into leases that are too small");
  numbers.push(...received.map(() => numbers.length).map((n, i) => n + i));
  releaseAll(many);
  while (numbers.length < COUNT) numbers.push(...await take(receiver, Math.min(7, COUNT - numbers.length)));
  assertEquals(numbers, range(0, COUNT));
  assertEquals(io.stats().arena.leases, 1);
});

eachEngine("datagrams: what a loop had read goes to those who wait already", async (io) => {
  const { sender, receiver } = await udpPair(io);
  await sendNumbers(sender, receiver, 0, 12);
  using into = await io.lease(100);
  let waiting: Promise<unknown> | undefined;
  for await (const datagram of receiver.datagrams({ ...SIZE, batch: 64 })) {
    const number = numberIn(datagram);
    datagram.lease.release();
    if (number < 8) continue; // the loop reads more and more at once: by now it has read the rest
    waiting = receiver.recv(into);
    assertEquals(await settled(waiting), false);
    break;
  }
  await waiting;
  assertEquals(numberIn({ lease: into }), 9);
  assertEquals(await take(receiver, 2), [10, 11]);
});

eachEngine("datagrams: an idle loop holds no lease; a full arena is waited for, and nothing is lost", async (io) => {
  const receiver = await io.bindUdp({ hostname: "127.0.0.1" });
  const numbers: number[] = [];
  const held: Lease[] = [];
  const looping = (async () => {
    for await (const datagram of receiver.datagrams({ leaseBytes: ARENA_BYTES / 8 })) {
      numbers.push(numberIn(datagram));
      held.push(datagram.lease);
      if (numbers.length === 30) return;
    }
  })();
  await turns();
  assertEquals(io.stats().arena.leases, 0);
  await withOther(async (other) => sendNumbers(await other.bindUdp({ hostname: "127.0.0.1" }), receiver, 0, 30));
  await until(() => io.stats().arena.waiting > 0);
  assertEquals([held.length, io.stats().arena.freeBytes], [8, 0]);
  while (numbers.length < 30) {
    releaseAll(held.splice(0));
    await turns(1);
  }
  await looping;
  releaseAll(held.splice(0));
  assertEquals(numbers, range(0, 30));
  assertEquals([io.stats().arena.leases, io.stats().arena.waiting], [0, 0]);
}, SMALL);

eachEngine("datagrams: several loops share what comes", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const numbers: number[] = [];
  const abort = new AbortController();
  const loops = range(0, 3).map(async () => {
    for await (const datagram of receiver.datagrams({ ...SIZE, signal: abort.signal, batch: 3 })) {
      numbers.push(numberIn(datagram));
      datagram.lease.release();
      if (numbers.length === 300) abort.abort();
    }
  });
  for (let i = 0; i < 300; i += 50) {
    await sendNumbers(sender, receiver, i, i + 50);
    await turns(1);
  }
  await Promise.all(loops);
  assertEquals(numbers.sort((a, b) => a - b), range(0, 300));
});

eachEngine("datagrams: a signal or a close ends the loop, wherever it is", async (io) => {
  const { sender, receiver } = await udpPair(io);
  for (const stage of ["waiting for data", "waiting for room", "in the body"]) {
    for (const by of ["signal", "close"]) {
      const socket = await io.bindUdp({ hostname: "127.0.0.1" });
      const abort = new AbortController();
      const all = stage === "waiting for room" ? await io.lease(ARENA_BYTES - 4096) : undefined;
      const end = () => by === "signal" ? abort.abort(new Error("not to be thrown")) : socket.close();
      const looping = (async () => {
        let count = 0;
        const leaseBytes = 65_536;
        for await (const { lease } of socket.datagrams({ signal: abort.signal, leaseBytes })) {
          count += 1;
          lease.release();
          if (count === 2) await end();
        }
        return count;
      })();
      if (stage !== "waiting for data") await sendNumbers(sender, socket, 0, 10);
      if (stage !== "in the body") {
        assertEquals(await settled(looping), false, `${stage}, ${by}`);
        await end();
      }
      assertEquals(await looping, stage === "in the body" ? 2 : 0, `${stage}, ${by}`);
      all?.release();
      if (by === "signal" && stage === "in the body") {
        assertEquals(await take(socket, 8), range(2, 10), "the socket is as before");
      }
      await socket.close();
      assertEquals(io.stats().arena.leases, 0, `${stage}, ${by}`);
      assertLedger(io);
    }
  }
  await receiver.close();
}, SMALL);

eachEngine("datagrams: a loop that was left before its socket is closed holds nothing", async (io) => {
  const { sender, receiver } = await udpPair(io);
  await sendNumbers(sender, receiver, 0, 20);
  await take(receiver, 5);
  assert(io.stats().arena.leases > 0, "read ahead: nothing is tested");
  await receiver.close();
  assertEquals(io.stats().arena.leases, 0);
});

eachEngine("datagrams: an error of the socket ends the loop, and another loop goes on", async (io) => {
  const peer = await io.bindUdp({ hostname: "127.0.0.1" });
  const udp = await io.bindUdp({ hostname: "127.0.0.1", remote: peer.localAddr });
  const { port: peerPort } = peer.localAddr;
  await peer.close();
  const looping = take(udp, 1);
  await udp.send(new Uint8Array(1));
  const error = await looping.catch((error) => error);
  assert(error instanceof RingletError && error.code === "ECONNREFUSED" && error.syscall === "recvmmsg", String(error));
  const again = await io.bindUdp({ hostname: "127.0.0.1", port: peerPort });
  const next = take(udp, 1);
  await sendNumbers(again, udp, 6, 7);
  assertEquals(await next, [6]);
});

eachEngine("datagrams: bad options are refused at once", async (io) => {
  const { receiver } = await udpPair(io);
  for (const batch of [0, 65, -1, 1.5, NaN]) await fails("ERR_OUT_OF_RANGE", () => receiver.datagrams({ batch }));
  for (const leaseBytes of [0, ARENA_BYTES + 1, NaN]) {
    await fails("ERR_OUT_OF_RANGE", () => receiver.datagrams({ leaseBytes }));
  }
  const bad: Anything[] = [{ batch: "32" }, { leaseBytes: 5n }, { batches: 5 }, null, 5, { signal: {} }];
  for (const options of bad) await fails("ERR_INVALID_ARG", () => receiver.datagrams(options));
  const reason = new RingletError("ECANCELED", "aborted before");
  await fails("ECANCELED", () => receiver.datagrams({ signal: AbortSignal.abort(reason) }));
  await receiver.close();
  await fails("ERR_CLOSED", () => receiver.datagrams());
}, SMALL);
