/**
 * Many datagrams with one call: what becomes of each is told, and one lease goes to thousands of destinations.
 */
import { assert, assertEquals } from "@std/assert";
import type { InternetAddress, Io, Lease, OutgoingDatagram, UdpSocket } from "../../mod.ts";
import { fillPattern, mismatch } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails, rejectsWith } from "../support/failures.ts";
import { assertLedger } from "../support/ledger.ts";
import { assertIds, patterned, withoutChecksums } from "../support/trains.ts";
import { settled, turns } from "../support/turns.ts";
import { FORBIDDEN, numbered, numberIn, udpPair } from "../support/udp.ts";

const hostname = "127.0.0.1";
const SEGMENT_BYTES = 1000;

/** The lengths of the datagrams that have come, each with the pattern's first bytes. */
async function lengthsOf(io: Io, receiver: UdpSocket, count: number): Promise<number[]> {
  using into = await io.lease(65_536);
  const lengths = [];
  while (lengths.length < count) {
    const { bytes } = await receiver.recv(into, { signal: AbortSignal.timeout(5000) });
    assertEquals(mismatch(into.bytes.subarray(0, bytes)), -1);
    lengths.push(bytes);
  }
  return lengths;
}

/** How often each numbered datagram has come, none of them damaged. */
async function countsOf(io: Io, receiver: UdpSocket, count: number): Promise<Map<number, number>> {
  using into = await io.lease(65_536);
  const counts = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const { bytes } = await receiver.recv(into, { signal: AbortSignal.timeout(5000) });
    const number = numberIn({ lease: into });
    assertEquals(into.bytes.subarray(0, bytes), numbered(number, bytes));
    counts.set(number, (counts.get(number) ?? 0) + 1);
  }
  return counts;
}

eachEngine("many datagrams to many destinations, in order", async (io) => {
  const { sender } = await udpPair(io);
  const receivers = await Promise.all(
    Array.from({ length: 7 }, () => io.bindUdp({ hostname, receiveBufferBytes: 1 << 20 })),
  );
  const batch: OutgoingDatagram[] = [];
  for (let i = 0; i < 300; i++) {
    const lease = await io.lease(100 + i);
    lease.bytes.set(numbered(i, lease.byteLength));
    batch.push({ data: i % 3 === 0 ? numbered(i, 100 + i) : lease, to: receivers[i % 7].localAddr });
    if (i % 3 === 0) lease.release();
  }
  const { accepted, bytes, errors, released } = await sender.sendMany(batch);
  assertEquals([accepted, errors.size], [300, 0]);
  assertEquals([...bytes], Array.from({ length: 300 }, (_, i) => 100 + i));
  await released;
  assertEquals(io.stats().arena.leases, 0);
  using into = await io.lease(500);
  for (let i = 0; i < 300; i++) {
    const datagram = await receivers[i % 7].recv(into);
    assertEquals(into.bytes.subarray(0, datagram.bytes), numbered(i, 100 + i));
  }
});

eachEngine("one lease to a thousand destinations is one loan, and is consumed once", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const others = await Promise.all(
    Array.from({ length: 9 }, () => io.bindUdp({ hostname, receiveBufferBytes: 1 << 20 })),
  );
  const to: InternetAddress[] = [];
  for (let i = 0; i < 100; i++) {
    for (const { localAddr } of [receiver, ...others]) {
      to.push(i % 2 === 0 ? localAddr : await sender.destination(localAddr));
    }
  }
  const lease = await patterned(io, 500);
  const sent = sender.fanOut(lease, to);
  const { lent, inFlight } = io.stats();
  assertEquals([lent, inFlight, lease.state], [1, 1, "lent"]);
  const { accepted, bytes, errors, released } = await sent;
  assertEquals([accepted, bytes.length, errors.size], [1000, 1000, 0]);
  assert(bytes.every((each) => each === 500));
  await released;
  assertEquals([lease.state, io.stats().arena.leases], ["free", 0]);
  for (const socket of [receiver, ...others]) assertEquals(await lengthsOf(io, socket, 100), Array(100).fill(500));

  const kept = (await patterned(io, 300)).retain();
  for (let round = 0; round < 3; round++) {
    const receipt = await sender.fanOut(kept, to.slice(0, 10), { byteLength: 300 - round });
    await receipt.released;
    assertEquals(kept.state, "leased");
    for (const socket of [receiver, ...others]) assertEquals(await lengthsOf(io, socket, 1), [300 - round]);
  }
  kept.release();
});

eachEngine("a result for each: those that fail do not stop the others, and give their leases back", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const to = receiver.localAddr;
  const leases = await Promise.all(Array.from({ length: 6 }, (_, i) => patterned(io, 1000 + i)));
  const { accepted, bytes, errors, released } = await sender.sendMany([
    { data: leases[0], to },
    { data: leases[1], to: FORBIDDEN },
    { data: leases[2], to },
    { data: new Uint8Array(7), to: FORBIDDEN },
    { data: leases[3], to: { hostname: "name.invalid", port: 1 } },
    { data: [leases[4], leases[5]], to },
    { data: new Uint8Array(0), to },
  ]);
  assertEquals([accepted, ...bytes], [4, 1000, 0, 1002, 0, 0, 2009, 0]);
  assertEquals([...errors].map(([i, error]) => [i, (error as { code: string }).code]).sort(), [
    [1, "EACCES"],
    [3, "EACCES"],
    [4, (errors.get(4) as { code: string }).code],
  ]);
  await released;
  assertEquals(leases.map(({ state }) => state), ["free", "leased", "free", "leased", "free", "free"]);
  leases[1].release();
  leases[3].release();
  using into = await io.lease(3000);
  const lengths = [];
  for (let i = 0; i < 4; i++) lengths.push((await receiver.recv(into)).bytes);
  assertEquals(lengths, [1000, 1002, 2009, 0]);
  assertIds(sender);
  assertEquals(io.stats().arena.leases, 1);
});

eachEngine(
  "a lease that goes out several times: whoever of them fails, it is consumed if one was accepted",
  async (io) => {
    const { sender, receiver } = await udpPair(io);
    const to = receiver.localAddr;
    for (
      const [destinations, failed] of [
        [[to, FORBIDDEN, to], [1]],
        [[FORBIDDEN, to, to], [0]],
        [[to, to, FORBIDDEN], [2]],
        [[FORBIDDEN, FORBIDDEN], [0, 1]],
      ] as const
    ) {
      for (const held of [false, true]) {
        const lease = await patterned(io, 50);
        if (held) lease.retain();
        const { accepted, errors, released } = await sender.fanOut(lease, destinations);
        assertEquals([accepted, [...errors.keys()].sort()], [destinations.length - failed.length, [...failed]]);
        await released;
        assertEquals(lease.state, held || accepted === 0 ? "leased" : "free");
        lease[Symbol.dispose]();
        if (held && accepted === 0) {
          assertEquals(lease.state, "leased", "one claim was the lease's own, the other the hold");
          lease.release();
        }
        assertEquals([lease.state, io.stats().arena.leases], ["free", 0]);
        await lengthsOf(io, receiver, accepted);
      }
    }
  },
);

eachEngine("trains, several of them for one lease, and one by one where the kernel takes none", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const to = receiver.localAddr;
  for (const whole of [true, false]) {
    if (!whole) withoutChecksums(sender);
    const lease = (await patterned(io, 2500)).retain();
    const long = await patterned(io, 100_000);
    const { accepted, bytes, errors, released } = await sender.sendMany([
      { data: lease, to, segmentBytes: 1000 },
      { data: new Uint8Array(lease.bytes), to, segmentBytes: 2000 },
      { data: lease, to, segmentBytes: 2500, byteLength: 100 },
      { data: long, to: { ...to, hostname: "localhost" }, segmentBytes: 1000 },
    ]);
    assertEquals([accepted, errors.size, ...bytes], [4, 0, 2500, 2500, 100, 100_000]);
    await released;
    assertEquals([lease.state, long.state], ["leased", "free"]);
    lease.release();
    using into = await io.lease(3000);
    const lengths = [];
    for (let i = 0; i < 106; i++) lengths.push((await receiver.recv(into)).bytes);
    const expected = [1000, 1000, 500, 2000, 500, 100, ...Array(100).fill(1000)];
    // Trains that were refused go on behind what was on its way already.
    if (whole) assertEquals(lengths, expected);
    assertEquals(lengths.sort(), expected.sort());
  }
});

for (const maxSends of [2, 100]) {
  const options = { arenaBytes: 1 << 20, maxSends };

  eachEngine(`leases that go out several times, as several trains and to names; ${maxSends} records`, async (io) => {
    const { sender, receiver } = await udpPair(io);
    const to = receiver.localAddr;
    const named = { ...to, hostname: "localhost" };
    for (
      const [destinations, failed] of [
        [[to, to, to], []],
        [[named, to, to], []],
        [[to, named, to], []],
        [[named, named], []],
        [[FORBIDDEN, to, named], [0]],
        [[named, FORBIDDEN], [1]],
        [[FORBIDDEN, FORBIDDEN], [0, 1]],
      ] as const
    ) {
      for (const bytes of [SEGMENT_BYTES, 70 * SEGMENT_BYTES]) {
        for (const held of [false, true]) {
          const lease = await io.lease(bytes);
          const segments = lease.byteLength / SEGMENT_BYTES;
          for (let i = 0; i < segments; i++) lease.bytes.set(numbered(i, SEGMENT_BYTES), i * SEGMENT_BYTES);
          if (held) lease.retain();
          const sent = sender.fanOut(lease, destinations, { segmentBytes: SEGMENT_BYTES });
          if (!held) await fails("ERR_LEASE_LENT", () => lease.release());
          const { accepted, errors, released } = await sent;
          assertEquals([accepted, [...errors.keys()].sort()], [destinations.length - failed.length, failed]);
          await released;
          assertEquals(lease.state, held || accepted === 0 ? "leased" : "free");
          for (let claims = Number(held) + Number(accepted === 0); claims > 0; claims--) lease.release();
          assertEquals([lease.state, io.stats().arena.leases], ["free", 0]);
          const counts = await countsOf(io, receiver, accepted * segments);
          if (accepted > 0) assertEquals(counts, new Map(Array.from({ length: segments }, (_, i) => [i, accepted])));
        }
      }
    }
  }, options);

  eachEngine(`leases that wait for their turn in several places of a batch; ${maxSends} records`, async (io) => {
    const { sender, receiver } = await udpPair(io);
    const to = receiver.localAddr;
    const parts = [await patterned(io, 300), await patterned(io, 400)];
    const lease = await patterned(io, 500);
    const others: Lease[] = [];
    for (let each; (each = io.tryLease(20_000)) !== undefined;) others.push(each);
    const first = sender.send(fillPattern(new Uint8Array(60_000)), { to }); // for which there is no room
    const sent = sender.sendMany([
      { data: lease, to },
      { data: parts, to },
      { data: lease, to, byteLength: 200 },
      { data: [lease, parts[0]], to },
    ]);
    for (const each of [lease, ...parts]) await fails("ERR_LEASE_LENT", () => sender.send(each, { to }));
    for (const each of others) each.release();
    const { accepted, bytes, errors, released } = await sent;
    assertEquals([accepted, errors.size, ...bytes], [4, 0, 500, 700, 200, 800]);
    await Promise.all([released, (await first).released]);
    assertEquals(io.stats().arena.leases, 0);
    using into = await io.lease(60_000);
    const lengths = [];
    for (let i = 0; i < 5; i++) lengths.push((await receiver.recv(into)).bytes);
    assertEquals(lengths, [60_000, 500, 700, 200, 800]);
  }, options);
}

eachEngine(
  "a hold stays the program's when the first of several trains was given up and others were not",
  async (io) => {
    const { sender, receiver } = await udpPair(io);
    const to = receiver.localAddr;
    for (const times of [0, 1, 2]) {
      const lease = (await patterned(io, 54 * 1200 + 4)).retain(); // a train that is as long as can be, and one of 4 bytes
      const giveUp = new AbortController();
      const options = { to, segmentBytes: 1200 };
      const sent = times === 0
        ? sender.send(lease, { ...options, signal: giveUp.signal })
        : sender.sendMany(Array(times).fill({ data: lease, ...options }), { signal: giveUp.signal });
      giveUp.abort();
      const { released } = await sent.catch((error) => {
        assertEquals(error.bytesAccepted, 4);
        return error;
      });
      await released;
      assertEquals(lease.state, "leased");
      await (await sender.send(lease, { to, byteLength: 100 })).released;
      assertEquals(lease.state, "leased", "the hold is what is left, which no send consumes");
      lease.release();
      assertEquals(lease.state, "free");
    }
  },
);

eachEngine("trains that are on their way together when the kernel refuses the first", async (io) => {
  const { sender, receiver } = await udpPair(io);
  withoutChecksums(sender);
  const lease = await patterned(io, 2500);
  const { accepted, errors, released } = await sender.fanOut(lease, Array(10).fill(receiver.localAddr), {
    segmentBytes: 1000,
  });
  assertEquals([accepted, errors.size], [10, 0]);
  await released;
  assertEquals([lease.state, sender.maxSegments], ["free", 1]);
  using into = await io.lease(3000);
  let bytes = 0;
  for (let i = 0; i < 30; i++) bytes += (await receiver.recv(into)).bytes;
  assertEquals(bytes, 25_000);
  assertIds(sender);
});

eachEngine("more datagrams than records, and more than may be in flight", async (io) => {
  const receiver = await io.bindUdp({ hostname, receiveBufferBytes: 4 << 20 });
  const sender = await io.bindUdp({ hostname, remote: receiver.localAddr, maxInFlightBytes: 50_000 });
  const lease = await patterned(io, 11_000);
  const leases = await Promise.all(Array.from({ length: 50 }, () => patterned(io, 11_001)));
  const parts = await Promise.all([patterned(io, 7000), io.lease(5000)]);
  fillPattern(parts[1].bytes, 7000);
  const batch = [...Array(60).fill({ data: lease }), ...leases.map((data) => ({ data })), { data: parts }];
  const { accepted, errors, released } = await sender.sendMany(batch);
  assertLedger(io);
  assertEquals([accepted, errors.size], [111, 0]);
  await released;
  assertEquals(io.stats().arena.leases, 0);
  assertEquals(await lengthsOf(io, receiver, 111), [...Array(60).fill(11_000), ...Array(50).fill(11_001), 12_000]);
}, { maxSends: 8 });

eachEngine("given up: before, while queued, and while waiting for records", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const to = receiver.localAddr;
  const reason = new Error("enough");
  const lease = await patterned(io, 100);
  await rejectsWith(reason, sender.fanOut(lease, [to], { signal: AbortSignal.abort(reason) }));
  await rejectsWith(reason, sender.sendMany([{ data: lease, to }], { signal: AbortSignal.abort(reason) }));
  assertEquals(lease.state, "leased");
  const giveUp = new AbortController();
  const other = await patterned(io, 200);
  const sent = sender.sendMany([
    ...Array(20).fill({ data: lease, to }),
    { data: other, to },
    { data: new Uint8Array(300), to },
  ], { signal: giveUp.signal });
  giveUp.abort(reason);
  const { accepted, errors, bytes, released } = await sent;
  assertEquals(accepted + errors.size, 22);
  for (const [i, error] of errors) assertEquals([error === reason, bytes[i]], [true, 0]);
  assert(errors.size >= 20, `${accepted} were accepted before anybody could have entered the kernel`);
  await released;
  for (const each of [lease, other]) each[Symbol.dispose]();
  assertEquals(io.stats().arena.leases, 0);
  giveUp.abort(); // once more changes nothing
  await turns(1);
}, { maxSends: 8 });

eachEngine("closing the socket ends what waits", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const lease = (await patterned(io, 100)).retain();
  const to = receiver.localAddr;
  const sent = sender.fanOut(lease, Array(100).fill(to));
  const closed = sender.abort();
  const { accepted, errors, released } = await sent;
  assertEquals(accepted + errors.size, 100);
  await Promise.all([closed, released]);
  await fails("ERR_CLOSED", () => sender.fanOut(lease, [to]));
  await fails("ERR_CLOSED", () => sender.sendMany([]));
  assertEquals(lease.state, "leased");
  lease.release();
  lease[Symbol.dispose]();
}, { maxSends: 8 });

eachEngine("nothing at all is sent at once", async (io) => {
  const { sender } = await udpPair(io);
  for (const sent of [sender.sendMany([]), sender.sendMany(new Set<OutgoingDatagram>())]) {
    const { accepted, bytes, errors, released } = await sent;
    assertEquals([accepted, bytes.length, errors.size], [0, 0, 0]);
    assert(await settled(released));
  }
  const lease = await io.lease(10);
  assertEquals((await sender.fanOut(lease, [])).accepted, 0);
  assertEquals(lease.state, "leased", "nobody has consumed it");
  lease.release();
});

eachEngine("bad input is refused whole", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const to = receiver.localAddr;
  const lease = await io.lease(100);
  const gone = await io.lease(1);
  gone.release();
  const good = { data: lease, to };
  const bad: [string, unknown][] = [
    ["ERR_INVALID_ARG", undefined],
    ["ERR_INVALID_ARG", lease],
    ["ERR_INVALID_ARG", [lease]],
    ["ERR_INVALID_ARG", { to }],
    ["ERR_INVALID_ARG", { data: "text", to }],
    ["ERR_INVALID_ARG", { data: [lease, 1], to }],
    ["EDESTADDRREQ", { data: lease }],
    ["ERR_INVALID_ARG", { data: lease, to: "127.0.0.1:9" }],
    ["ERR_OUT_OF_RANGE", { data: lease, to: { ...to, port: 0 } }],
    ["EAFNOSUPPORT", { data: lease, to: { ...to, hostname: "::1" } }],
    ["ERR_OUT_OF_RANGE", { ...good, byteLength: 101 }],
    ["ERR_OUT_OF_RANGE", { ...good, offset: 100 }],
    ["ERR_OUT_OF_RANGE", { ...good, segmentBytes: 0 }],
    ["ERR_OUT_OF_RANGE", { data: new Uint8Array(9), to, segmentBytes: -1 }],
    ["ERR_INVALID_ARG", { data: new Uint8Array(9), to, offset: 1 }],
    ["EMSGSIZE", { data: new Uint8Array(65_508), to }],
    ["ERR_INVALID_ARG", { ...good, signal: undefined }],
    ["ERR_LEASE_RELEASED", { data: gone, to }],
    ["ERR_LEASE_RELEASED", { data: [lease, gone], to }],
  ];
  for (const [code, datagram] of bad) {
    await fails(code, () => sender.sendMany([good, datagram as OutgoingDatagram, good]));
    assertEquals([lease.state, sender.stats().sends], ["leased", 0], code);
  }
  for (const batch of [undefined, null, 1, {}, "batch", good]) {
    await fails("ERR_INVALID_ARG", () => sender.sendMany(batch as unknown as OutgoingDatagram[]));
    await fails("ERR_INVALID_ARG", () => sender.fanOut(lease, batch as unknown as InternetAddress[]));
  }
  const torn = new Error("torn");
  const tearing = function* () {
    yield good;
    throw torn;
  };
  await rejectsWith(torn, sender.sendMany(tearing()));
  await fails("ERR_INVALID_ARG", () => sender.sendMany([good], { deadlineMs: 1 } as object));
  await fails("ERR_INVALID_ARG", () => sender.sendMany([good], { signal: 1 } as unknown as object));
  await fails("ERR_INVALID_ARG", () => sender.fanOut(lease, [to], { to } as object));
  await fails("ERR_INVALID_ARG", () => sender.fanOut(new Uint8Array(1) as unknown as Lease, [to]));
  await fails("ERR_LEASE_RELEASED", () => sender.fanOut(gone, [to]));
  await fails("ERR_OUT_OF_RANGE", () => sender.fanOut(lease, [to], { byteLength: 0 }));
  await fails("EAFNOSUPPORT", () => sender.destination({ hostname: "::1", port: 1 }));
  await fails("ERR_OUT_OF_RANGE", () => sender.destination({ hostname, port: 65_536 }));
  await rejectsWith(torn, sender.destination(to, { signal: AbortSignal.abort(torn) }));
  const v6 = await io.bindUdp({ hostname: "::1" });
  const elsewhere = await v6.destination({ hostname: "::1", port: 9 });
  await fails("EAFNOSUPPORT", () => sender.fanOut(lease, [elsewhere]));
  await fails("EAFNOSUPPORT", () => sender.send(lease, { to: elsewhere }));
  assertEquals([lease.state, sender.stats().sends], ["leased", 0]);
  lease.release();
});

eachEngine("many times more destinations than records", async (io) => {
  const { sender, receiver } = await udpPair(io);
  const lease = await patterned(io, 20);
  const to = await sender.destination(receiver.localAddr);
  const { accepted, errors, released } = await sender.fanOut(lease, Array(20_000).fill(to));
  assertEquals([accepted, errors.size], [20_000, 0]);
  await released;
  assertEquals([lease.state, io.stats().arena.leases], ["free", 0]);
}, { maxSends: 64 });
