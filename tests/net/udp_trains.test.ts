/**
 * Trains where something goes wrong, or is asked for that cannot be: nothing is lost, nothing sent twice, and the ids stay right.
 */
import { assert, assertEquals } from "@std/assert";
import { C } from "../../ffi/abi.ts";
import { openSystem } from "../../ffi/system.ts";
import { type Io, RingletError, type UdpSocket } from "../../mod.ts";
import { fillPattern } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { NO_RING, withRing } from "../support/ring.ts";
import { testIf } from "../support/skip.ts";
import { endpointOf } from "../support/sockopt.ts";
import { assertIds, patterned, receiveTrain, type Train, travel, withoutChecksums } from "../support/trains.ts";
import { turns } from "../support/turns.ts";

const hostname = "127.0.0.1";
const TRAIN: Train = [60_000, 1400];

/** A sender and a receiver with room for several trains. */
async function pair(io: Io): Promise<{ sender: UdpSocket; receiver: UdpSocket }> {
  const receiver = await io.bindUdp({ hostname, receiveBufferBytes: 4 << 20 });
  return { sender: await io.bindUdp({ hostname, remote: receiver.localAddr }), receiver };
}

eachEngine("a train is one message for the kernel", async (io, engine) => {
  const { sender, receiver } = await pair(io);
  for (let i = 0; i < 5; i++) await travel(io, sender, receiver, TRAIN);
  const { idsCopied, accepted } = sender.stats();
  assertEquals([idsCopied, accepted], [engine === "copy" ? 0 : 5, 5]);
});

eachEngine("where the kernel refuses trains the same one goes segment by segment", async (io) => {
  const { sender, receiver } = await pair(io);
  withoutChecksums(sender);
  assert(sender.maxSegments > 1);
  await travel(io, sender, receiver, TRAIN);
  assertEquals(sender.maxSegments, 1);
  const sent = [];
  for (let i = 0; i < 3; i++) sent.push(sender.send(await patterned(io, TRAIN[0]), { segmentBytes: TRAIN[1] }));
  sent.push(sender.send(await patterned(io, 500)));
  for (const receipt of await Promise.all(sent)) await receipt.released;
  assertIds(sender);
  // Whose turn it is between two segments is nobody's concern, but all of them come once.
  const lengths = new Map<number, number>();
  using into = await io.lease(65_536);
  for (let i = 0; i < 3 * 43 + 1; i++) {
    const { bytes } = await receiver.recv(into, { signal: AbortSignal.timeout(5000) });
    lengths.set(bytes, (lengths.get(bytes) ?? 0) + 1);
  }
  assertEquals(lengths, new Map([[1400, 3 * 42], [1200, 3], [500, 1]]));
  const waiting = receiver.recv(into, { signal: AbortSignal.timeout(50) });
  await waiting.then(({ bytes }) => assert(false, `${bytes} bytes came twice`), () => {});
});

eachEngine("segments that cross leases", async (io) => {
  const { sender, receiver } = await pair(io);
  for (const refused of [false, true]) {
    if (refused) withoutChecksums(sender);
    const lease = await patterned(io, 20_000);
    const parts = lease.split(777);
    const pieces = parts.slice(0, 16);
    for (const rest of parts.slice(16)) rest.release();
    const receipt = await sender.send(pieces, { segmentBytes: 1000 });
    await receiveTrain(io, receiver, [16 * 777, 1000]);
    await receipt.released;
  }
  assertEquals(sender.maxSegments, 1);
  assertIds(sender);
});

eachEngine("batch calls send trains, and numbers stay what they were", async (io) => {
  const { sender, receiver } = await pair(io);
  for (const refused of [false, true]) {
    if (refused) withoutChecksums(sender);
    const waiting = new Map<number, string[]>();
    for (let i = 0; i < 3; i++) {
      waiting.set(sender.trySend(await patterned(io, TRAIN[0]), { segmentBytes: TRAIN[1] }), []);
      while (![...waiting.values()].at(-1)!.includes("released")) {
        io.flush();
        io.reap((id, event, value) => {
          waiting.get(id)!.push(event);
          if (event === "accepted") assertEquals(value, TRAIN[0]);
        });
        await turns(1);
      }
      await receiveTrain(io, receiver, TRAIN);
    }
    assertEquals([...waiting.values()], Array(3).fill(["accepted", "released"]));
  }
  assertIds(sender);
});

eachEngine("bytes of the program's own make trains, too", async (io) => {
  const { sender, receiver } = await pair(io);
  const bytes = fillPattern(new Uint8Array(150_000));
  const receipt = await sender.send(bytes, { segmentBytes: 1472 });
  assertEquals(receipt.bytes, bytes.length);
  const { udpSegments } = io.capabilities;
  let at = 0;
  using into = await io.lease(65_536);
  const trainBytes = Math.min(udpSegments, Math.floor(65_507 / 1472)) * 1472;
  while (at < bytes.length) {
    const { bytes: got } = await receiver.recv(into, { signal: AbortSignal.timeout(5000) });
    assertEquals(into.bytes.subarray(0, got), bytes.subarray(at, at + got));
    assert(got === 1472 || at + got === bytes.length || (at + got) % trainBytes === 0);
    at += got;
  }
  await receipt.released;
});

eachEngine("what cannot be a train is refused, and the lease stays the program's", async (io) => {
  const { sender } = await pair(io);
  using lease = await patterned(io, 200_000);
  for (const segmentBytes of [0, -1, 1.5, NaN, 65_508, 2 ** 32 + 1400]) {
    await fails("ERR_OUT_OF_RANGE", () => sender.send(lease, { segmentBytes }), { says: "segmentBytes" });
    await fails("ERR_OUT_OF_RANGE", () => sender.trySend(lease, { segmentBytes }), { says: "65507" });
  }
  for (const segmentBytes of ["1400", null, 5n]) {
    await fails("ERR_INVALID_ARG", () => sender.send(lease, { segmentBytes: segmentBytes as unknown as number }));
  }
  const { udpSegments } = io.capabilities;
  await fails("EMSGSIZE", () => sender.trySend(lease, { segmentBytes: 100 }), { says: `${udpSegments * 100}` });
  await fails("EMSGSIZE", () => sender.trySend(lease, { byteLength: udpSegments * 100 + 1, segmentBytes: 100 }));
  const parts = lease.split(100_000);
  await fails("EMSGSIZE", () => sender.send(parts, { segmentBytes: 1400 }));
  assertEquals(parts.map(({ state }) => state), ["leased", "leased"]);
  parts[1].release();
  const closed = await io.bindUdp({ hostname, remote: sender.localAddr });
  await closed.close();
  await fails("ERR_CLOSED", () => closed.send(lease, { segmentBytes: 1400 }));
  await fails("ERR_CLOSED", () => closed.trySend(lease, { byteLength: 5000, segmentBytes: 1400 }));
  const unbound = await io.bindUdp({ hostname });
  await fails("EDESTADDRREQ", () => unbound.send(lease, { segmentBytes: 1400 }));
  assertEquals(lease.state, "leased");
});

eachEngine("of several trains some are refused: how much was accepted, and the lease is consumed", async (io) => {
  const gone = await io.bindUdp({ hostname });
  const sender = await io.bindUdp({ hostname, remote: gone.localAddr });
  await gone.close();
  // The answer to this one fails the first train.
  await (await sender.send(new Uint8Array(1))).released;
  const lease = await patterned(io, 190_000);
  const error = await fails("ECONNREFUSED", () => sender.send(lease, { segmentBytes: 1400 }));
  const { bytesAccepted } = error;
  assert(bytesAccepted! > 0 && bytesAccepted! < 190_000, `${bytesAccepted} bytes accepted`);
  await error.released;
  await turns();
  assertEquals(lease.state, "free");
  assertIds(sender);
});

eachEngine("a small send buffer makes trains wait, not fail", async (io) => {
  const receiver = await io.bindUdp({ hostname, receiveBufferBytes: 4 << 20 });
  const sender = await io.bindUdp({ hostname, remote: receiver.localAddr, sendBufferBytes: 1 });
  for (let round = 0; round < 5; round++) {
    const sent = [];
    for (let i = 0; i < 3; i++) sent.push(sender.send(await patterned(io, TRAIN[0]), { segmentBytes: TRAIN[1] }));
    for (let i = 0; i < 3; i++) await receiveTrain(io, receiver, TRAIN);
    for (const receipt of await Promise.all(sent)) await receipt.released;
  }
  assertIds(sender);
});

/** Has the kernel meet bad addresses for the messages of the next `count` zero-copy trains: EFAULT. */
function misplace(sender: UdpSocket, count: number): Disposable {
  const uring = openSystem().uring() as { enter: (...args: [number, number, number, number]) => number };
  const { enter } = uring;
  const { slot, hub: { core } } = endpointOf(sender);
  const view = new DataView(core.memory.buffer);
  uring.enter = (...args) => {
    for (let at = core.regions.ENTRIES; at < core.regions.ENTRIES + 64 * 64 && args[1] > 0; at += 64) {
      const ours = view.getUint8(at) === C.IORING_OP_SENDMSG_ZC && view.getInt32(at + 4, true) === slot;
      if (!ours || count === 0) continue;
      view.setBigUint64(at + 16, 8n, true);
      count -= 1;
      break;
    }
    return enter(...args);
  };
  return { [Symbol.dispose]: () => void (uring.enter = enter) };
}

testIf(
  NO_RING,
  "EFAULT of a zero-copy train: once a copy instead where the kernel has the defect, else an error",
  async () => {
    for (
      const [kernelRelease, survives] of [["6.5.0", true], ["6.8.12-x", true], ["6.9.0", false], [
        "7.1.0",
        false,
      ]] as const
    ) {
      await withRing({ kernelRelease, entries: 64 }, {}, async (io) => {
        const { sender, receiver } = await pair(io);
        {
          using _faults = misplace(sender, 1);
          const travelling = travel(io, sender, receiver, TRAIN);
          if (survives) await travelling;
          else await fails("EFAULT", () => travelling);
        }
        const { bytesZeroCopy } = sender.stats();
        assertEquals(bytesZeroCopy, 0);
        await travel(io, sender, receiver, TRAIN);
        assertEquals(sender.stats().bytesZeroCopy, TRAIN[0]);
        assertIds(sender);
      });
    }
  },
);

testIf(NO_RING, "EFAULT of anything else is an error, defect or not", async () => {
  await withRing({ kernelRelease: "6.8.0", entries: 64 }, {}, async (io) => {
    const { sender } = await pair(io);
    const lease = await patterned(io, 3000);
    const parts = lease.split(1500);
    using _faults = misplace(sender, 1);
    const error = await sender.send(parts).then(() => undefined, (error) => error);
    assert(error instanceof RingletError && error.code === "EFAULT", `${error}`);
    assertEquals(parts.map(({ state }) => state), ["leased", "leased"]);
    for (const part of parts) part.release();
  });
});
