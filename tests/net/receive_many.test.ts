/**
 * Receiving many datagrams at once: order, leases, bad input, and every way in which it ends.
 */
import { assert, assertEquals } from "@std/assert";
import { mismatch } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails, rejectsWith } from "../support/failures.ts";
import { assertLedger } from "../support/ledger.ts";
import { settled } from "../support/turns.ts";
import {
  countReceives,
  leases,
  numbered,
  numberIn,
  releaseAll,
  sendNumbers,
  udpPair,
  withOther,
} from "../support/udp.ts";

// deno-lint-ignore no-explicit-any -- this file passes what the types forbid
type Anything = any;

const hostname = "127.0.0.1";

eachEngine("recvMany: every datagram in order, each in its lease; the other leases are as before", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const into = await leases(io, 32, 2000);
  const sizes = Array.from({ length: 40 }, (_, i) => 4 + i * 37);
  for (const [i, size] of sizes.entries()) await sender.send(numbered(i, size), { to: receiver.localAddr });
  for (const lease of into) lease.bytes.fill(0xee);
  const first = await receiver.recvMany(into);
  assertEquals(first.length, 32);
  for (const lease of into) assertEquals(lease.state, "leased");
  const check = (received: typeof first, from: number) => {
    for (const [i, { lease, bytes, from: address, truncated, ...rest }] of received.entries()) {
      assert(lease === into[i], "each in its lease");
      assertEquals({ bytes, address, truncated, rest }, {
        bytes: sizes[from + i],
        address: sender.localAddr,
        truncated: false,
        rest: {},
      });
      assertEquals(numberIn({ lease }), from + i);
      assertEquals(mismatch(lease.bytes.subarray(4, bytes), from + i + 4), -1);
      assert(lease.bytes.subarray(bytes).every((byte) => byte === 0xee), "nothing behind the datagram was touched");
    }
  };
  check(first, 0);
  for (const lease of into) lease.bytes.fill(0xee);
  const second = await receiver.recvMany(into);
  assertEquals(second.length, 8);
  check(second, 32);
  for (const lease of into.slice(8)) assert(lease.bytes.every((byte) => byte === 0xee), "a lease that was not needed");
  releaseAll(into);
});

eachEngine("recvMany: one system call for 32 datagrams", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const into = await leases(io, 32, 100);
  await sendNumbers(sender, receiver, 0, 96);
  using count = countReceives();
  for (let i = 0; i < 3; i++) assertEquals((await receiver.recvMany(into)).length, 32);
  assertEquals(count.calls, [32, 32, 32]);
  releaseAll(into);
});

eachEngine("recvMany: the leases are lent while it waits, and only then", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const into = await leases(io, 5, 100);
  const held = (await io.lease(100)).retain();
  const receiving = receiver.recvMany([...into, held]);
  assertEquals(await settled(receiving), false);
  for (const lease of [...into, held]) assertEquals(lease.state, "lent");
  assertEquals(io.stats().inFlight, 6);
  assertLedger(io);
  await fails("ERR_LEASE_LENT", () => receiver.recv(into[4]));
  await fails("ERR_LEASE_LENT", () => receiver.recvMany([into[0]]));
  await fails("ERR_LEASE_LENT", () => sender.send(into[0], { to: receiver.localAddr }));
  into[4].release(); // goes back to the arena when the receive is over
  await sendNumbers(sender, receiver, 7, 8);
  const received = await receiving;
  assertEquals([received.length, numberIn(received[0])], [1, 7]);
  assertEquals([...into, held].map(({ state }) => state), ["leased", "leased", "leased", "leased", "free", "leased"]);
  assertEquals(io.stats().inFlight, 0);
  releaseAll(into.slice(0, 4));
  held.release();
  held.release();
});

eachEngine("recvMany: readers are served in the order of their calls", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const [a, b, c] = [await leases(io, 2, 100), await leases(io, 1, 100), await leases(io, 2, 100)];
  const abort = new AbortController();
  const order: string[] = [];
  const note = (name: string, numbers: Promise<number[]>) => numbers.then((n) => order.push(`${name} ${n}`));
  const all = [
    note("many", receiver.recvMany(a).then((received) => received.map(numberIn))),
    note("one", receiver.recv(b[0]).then(() => [numberIn({ lease: b[0] })])),
    note("many again", receiver.recvMany(c).then((received) => received.map(numberIn))),
  ];
  const extra = await io.lease(100);
  const givenUp = receiver.recvMany([extra], { signal: abort.signal });
  abort.abort(new Error("no more"));
  await givenUp.catch(() => {});
  for (let i = 0; i < 3; i++) {
    await sendNumbers(sender, receiver, i, i + 1);
    await all[i];
  }
  assertEquals(order, ["many 0", "one 1", "many again 2"]);
  releaseAll([...a, ...b, ...c, extra]);
});

eachEngine("recvMany: a datagram longer than its lease is cut, and its neighbours are not", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const into = [await io.lease(100), await io.lease(10), await io.lease(100)];
  for (let i = 0; i < 3; i++) await sender.send(numbered(i, 50), { to: receiver.localAddr });
  const received = await receiver.recvMany(into);
  assertEquals(received.map(({ bytes, truncated }) => [bytes, truncated]), [[50, false], [10, true], [50, false]]);
  assertEquals(received.map(numberIn), [0, 1, 2]);
  releaseAll(into);
});

eachEngine("recvMany: empty datagrams are datagrams", async (io) => {
  const { sender, receiver } = await udpPair(io);
  for (let i = 0; i < 3; i++) await sender.send(new Uint8Array(0), { to: receiver.localAddr });
  const into = await leases(io, 4, 1);
  assertEquals((await receiver.recvMany(into)).map(({ bytes }) => bytes), [0, 0, 0]);
  releaseAll(into);
});

eachEngine("recvMany: what makes no sense is refused, and every lease is as before", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const good = await leases(io, 3, 100);
  const refused = async (code: string, input: Anything, options?: Anything) => {
    await fails(code, () => receiver.recvMany(input, options));
    for (const lease of good) assertEquals(lease.state, "leased");
    assertEquals(io.stats().inFlight, 0);
    assertLedger(io);
  };
  await refused("ERR_OUT_OF_RANGE", []);
  const many = await leases(io, 65, 64);
  await refused("ERR_OUT_OF_RANGE", many);
  releaseAll(many);
  for (const input of [undefined, null, 5, good[0], new Set(good), "leases"]) await refused("ERR_INVALID_ARG", input);
  for (const one of [undefined, new Uint8Array(100), {}, null]) await refused("ERR_INVALID_ARG", [good[0], one]);
  await refused("ERR_LEASE_LENT", [good[0], good[1], good[0]]);
  const retained = (await io.lease(100)).retain();
  await refused("ERR_LEASE_LENT", [retained, retained]);
  retained.release();
  retained.release();
  const released = await io.lease(100);
  released.release();
  await refused("ERR_LEASE_RELEASED", [...good, released]);
  await withOther(async (other) => {
    const foreign = await other.lease(100);
    await refused("ERR_LEASE_FOREIGN", [good[0], foreign, good[1]]);
    assertEquals(foreign.state, "leased");
    foreign.release();
  });
  for (const options of [null, 5, [], { sginal: undefined }, { signal: "stop" }]) {
    await refused("ERR_INVALID_ARG", good, options);
  }
  const reason = new Error("too late");
  await rejectsWith(reason, receiver.recvMany(good, { signal: AbortSignal.abort(reason) }));
  await sendNumbers(sender, receiver, 1, 2);
  assertEquals((await receiver.recvMany(good)).length, 1, "the refused calls took nothing");
  releaseAll(good);
});

eachEngine("recvMany: giving up loses no datagram; closing gives everything back", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const into = await leases(io, 4, 100);
  const abort = new AbortController();
  const reason = new Error("later");
  const givenUp = receiver.recvMany(into, { signal: abort.signal });
  assertEquals(await settled(givenUp), false);
  abort.abort(reason);
  await rejectsWith(reason, givenUp);
  assertEquals(into.map(({ state }) => state), Array(4).fill("leased"));
  await sendNumbers(sender, receiver, 0, 3);
  assertEquals((await receiver.recvMany(into)).map(numberIn), [0, 1, 2]);

  for (const [socket, closes] of [[receiver, receiver], [sender, io]] as const) {
    const outcomes = Promise.allSettled([socket.recvMany(into.slice(0, 2)), socket.recvMany(into.slice(2))]);
    await closes.close({ deadlineMs: 1000 });
    for (const outcome of await outcomes) {
      assertEquals(outcome.status === "rejected" && outcome.reason.code, "ERR_CLOSED");
    }
    assertEquals(into.map(({ state }) => state), Array(4).fill("leased"));
    await fails("ERR_CLOSED", () => socket.recvMany(into));
  }
  releaseAll(into);
});

eachEngine("recvMany: ten thousand in a burst, each received or counted as dropped", async (io) => {
  const receiver = await io.bindUdp({ hostname, receiveDropped: true });
  const sender = await io.bindUdp({ hostname });
  const COUNT = 10_000;
  for (let i = 0; i < COUNT; i += 500) await sendNumbers(sender, receiver, i, i + 500);
  const into = await leases(io, 64, 4);
  let received = 0;
  let last = -1;
  const abort = new AbortController();
  const take = async (signal?: AbortSignal) => {
    for (const datagram of await receiver.recvMany(into, { signal })) {
      assert(numberIn(datagram) > last, "in order");
      last = numberIn(datagram);
      if (last < COUNT) received += 1;
      else return datagram.dropped ?? 0;
    }
  };
  for (let receiving = take(abort.signal);; receiving = take(abort.signal)) {
    if (await settled(receiving)) continue;
    abort.abort();
    await receiving.catch(() => {});
    break;
  }
  await sendNumbers(sender, receiver, COUNT, COUNT + 1);
  const dropped = (await take())!;
  assert(received >= 64 && dropped > 0, `${received} received, ${dropped} dropped: nothing was tested`);
  assertEquals(received + dropped, COUNT);
  releaseAll(into);
});

eachEngine("recvMany: the program may change its array meanwhile", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const into = await leases(io, 2, 100);
  const [first, second] = into;
  const receiving = receiver.recvMany(into);
  into.length = 0;
  await sendNumbers(sender, receiver, 3, 4);
  const received = await receiving;
  assert(received.length === 1 && received[0].lease === first);
  assertEquals([first.state, second.state], ["leased", "leased"]);
  releaseAll([first, second]);
});
