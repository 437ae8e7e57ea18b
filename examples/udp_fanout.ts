/**
 * One buffer to many receivers: a retained lease is lent to a send for each of them at once, without a copy for each. It comes
 * back when the last of the sends has been released, is changed, and goes out again.
 *
 * Run: `deno run -A examples/udp_fanout.ts` (loopback only; ends by itself)
 *
 * @module
 */
import { open } from "@ringlet/ringlet";

const RECEIVERS = 5;
const FRAMES = 3;
const FRAME_BYTES = 30_000;

await using io = await open({ arenaBytes: 1 << 20 });
const sender = await io.bindUdp({ hostname: "127.0.0.1" });
const receivers = await Promise.all(
  Array.from({ length: RECEIVERS }, () => io.bindUdp({ hostname: "127.0.0.1" })),
);

using frame = (await io.lease(FRAME_BYTES)).retain();
for (let number = 0; number < FRAMES; number++) {
  frame.bytes.fill(number); // nothing is in flight here, so it may be written
  const receipts = await Promise.all(receivers.map(({ localAddr: to }) => sender.send(frame, { to })));
  console.log(`frame ${number}: accepted ${receipts.length} times, lease is ${frame.state}`);
  await Promise.all(receipts.map((receipt) => receipt.released));
  console.log(`frame ${number}: released, lease is ${frame.state}`);

  const got = await Promise.all(receivers.map(async (receiver) => {
    using lease = await io.lease(FRAME_BYTES);
    const { bytes } = await receiver.recv(lease);
    return bytes === FRAME_BYTES && lease.bytes.every((byte) => byte === number);
  }));
  console.log(`frame ${number}: ${got.filter(Boolean).length} of ${RECEIVERS} receivers have it`);
}

const { sends, lent, released, inFlight } = io.stats();
console.log(`${sends} sends; ${lent} loans lent, ${released} released, ${inFlight} in flight`);
