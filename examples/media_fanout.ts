/**
 * Live media to many viewers: each frame is written once, and goes to all of them from where it is, as a train of datagrams.
 *
 * A viewer joins by sending a datagram. A frame is one lease, however many viewers there are: it is back in the arena when the last
 * of its sends was released, and nobody waits for that.
 *
 * Run: `deno run -A examples/media_fanout.ts` (loopback only; ends by itself)
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Destination, type InternetAddress, type Io, open, segmentsOf, type UdpSocket } from "@ringlet/ringlet";

const VIEWERS = 200;
const FRAMES = 60;
const FRAME_MS = 10;
const FRAME_BYTES = 12_000;
const SEGMENT_BYTES = 1200;
/** Each datagram begins with the number of its frame and its own within the frame. */
const HEADER_BYTES = 8;

/** Sends a frame every {@linkcode FRAME_MS} to whoever has joined. */
async function source(io: Io, udp: UdpSocket, viewers: readonly Destination[]): Promise<void> {
  let accepted = 0;
  let failed = 0;
  for (let number = 0; number < FRAMES; number++) {
    const frame = await io.lease(FRAME_BYTES);
    const view = new DataView(frame.bytes.buffer, frame.bytes.byteOffset, FRAME_BYTES);
    frame.bytes.fill(number);
    for (let at = 0; at < FRAME_BYTES; at += SEGMENT_BYTES) {
      view.setUint32(at, number);
      view.setUint32(at + 4, at / SEGMENT_BYTES);
    }
    const sent = await udp.fanOut(frame, viewers, { segmentBytes: SEGMENT_BYTES });
    accepted += sent.accepted;
    failed += sent.errors.size;
    await sleep(FRAME_MS);
  }
  console.log(`source: ${FRAMES} frames to ${viewers.length} viewers, ${accepted} trains accepted, ${failed} failed`);
}

/** Joins, and counts the datagrams that come until the signal. */
async function viewer(io: Io, to: InternetAddress, signal: AbortSignal): Promise<number> {
  const udp = await io.bindUdp({ hostname: "127.0.0.1", remote: to, receiveSegments: true });
  await udp.send(new TextEncoder().encode("join"));
  let datagrams = 0;
  try {
    for await (const datagram of udp.datagrams({ signal })) {
      using lease = datagram.lease;
      for (const bytes of segmentsOf(datagram)) {
        const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
        const whole = bytes.length === SEGMENT_BYTES && bytes.subarray(HEADER_BYTES).every((byte) => byte === number);
        if (!whole) throw new Error(`frame ${number} is damaged in the lease at ${lease.offset}`);
        datagrams += 1;
      }
    }
  } catch (error) {
    if (error !== signal.reason) throw error;
  }
  return datagrams;
}

await using io = await open({ arenaBytes: 4 << 20 });
const udp = await io.bindUdp({ hostname: "127.0.0.1" });
const over = new AbortController();
{
  await using audience = await open({ arenaBytes: 64 << 20, maxSends: 256 });
  const watching = Array.from({ length: VIEWERS }, () => viewer(audience, udp.localAddr, over.signal));

  const viewers: Destination[] = [];
  for await (const { lease, from } of udp.datagrams()) {
    lease.release();
    viewers.push(await udp.destination(from));
    if (viewers.length === VIEWERS) break;
  }
  await source(io, udp, viewers);
  await sleep(100); // what is on its way
  over.abort();
  const counts = await Promise.all(watching);
  const all = VIEWERS * FRAMES * FRAME_BYTES / SEGMENT_BYTES;
  console.log(`viewers: ${counts.reduce((sum, count) => sum + count)} of ${all} datagrams`);
}
const { sends, lent, released, inFlight } = io.stats();
console.log(`${sends} sends: ${lent} loans lent, ${released} released, ${inFlight} in flight`);
