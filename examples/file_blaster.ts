/**
 * A file over UDP: numbered datagrams as fast as the receiver says, loss detection, and another round for what is missing. The receiver
 * drops some on purpose, so that there is loss on loopback too. Verified by its hash.
 *
 * Run: `deno run -A examples/file_blaster.ts [FILE]` (loopback only; at most 16 MiB of the file; ends by itself)
 *
 * @module
 */
import { createHash } from "node:crypto";
import { open as openFile } from "node:fs/promises";
import process from "node:process";
import { type Io, open, type UdpSocket } from "@ringlet/ringlet";

const MAX_BYTES = 16 << 20;
const BLOCK_BYTES = 1200;
const HEADER_BYTES = 4;
/** Blocks that are sent before the receiver is asked what it has. */
const ROUND_BLOCKS = 128;
/** Every so many datagrams the receiver throws one away. */
const DROPS = 50;
/** How long an answer may take before the question is asked again. */
const PATIENCE_MS = 100;
/** Questions without an answer in a row that are too many. */
const MAX_SILENCE = 50;

/** Numbers of datagrams that carry no block. */
const ASK = 0xffff_fffe;
const END = 0xffff_ffff;

const file = await readFile(process.argv[2] ?? process.execPath);
const blocks = Math.ceil(file.length / BLOCK_BYTES);
await using io = await open({ arenaBytes: 8 << 20 });
const receiver = await io.bindUdp({ hostname: "127.0.0.1", receiveBufferBytes: 4 << 20 });
const sender = await io.bindUdp({ hostname: "127.0.0.1", remote: receiver.localAddr });
const [sent, received] = await Promise.all([blast(io, sender), collect(receiver)]);

const hashes = [file, received.bytes].map((bytes) => createHash("sha256").update(bytes).digest("hex"));
console.log(`sent      ${hashes[0]}\nreceived  ${hashes[1]}`);
if (hashes[0] !== hashes[1]) throw new Error("the file arrived damaged");
console.log(
  `${blocks} blocks, ${sent.datagrams} sent in ${sent.rounds} rounds, ${received.dropped} dropped on purpose`,
);
const { lent, released, inFlight } = io.stats();
console.log(`${lent} loans lent, ${released} released, ${inFlight} in flight`);

async function readFile(path: string): Promise<Uint8Array> {
  await using handle = await openFile(path);
  const bytes = new Uint8Array(Math.min(MAX_BYTES, (await handle.stat()).size));
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
  return bytes.subarray(0, bytesRead);
}

/** Sends what is missing, round after round, until nothing is. */
async function blast(io: Io, udp: UdpSocket): Promise<{ datagrams: number; rounds: number }> {
  let missing = Array.from({ length: blocks }, (_, i) => i);
  let [datagrams, rounds, silence] = [0, 0, 0];
  const answer = await io.lease(65_536);
  while (missing.length > 0) {
    rounds += 1;
    const round = missing.slice(0, ROUND_BLOCKS);
    await Promise.all(round.map((block) => sendBlock(io, udp, block)));
    datagrams += round.length;
    // The question names the blocks it is about; the answer names those of them that are missing.
    const question = numbers([ASK, rounds, ...round]);
    for (;;) {
      await udp.send(question);
      const got = await udp.recv(answer, { signal: AbortSignal.timeout(PATIENCE_MS) }).catch(() => undefined);
      if (got === undefined) {
        if (++silence > MAX_SILENCE) throw new Error("the receiver does not answer");
        continue;
      }
      const [about, ...lost] = numbersIn(answer.bytes.subarray(0, got.bytes));
      if (about !== rounds) continue; // a late answer to an earlier question
      missing = [...lost, ...missing.slice(round.length)];
      silence = 0;
      break;
    }
  }
  answer.release();
  for (let i = 0; i < 3; i++) await udp.send(numbers([END]));
  return { datagrams, rounds };
}

async function sendBlock(io: Io, udp: UdpSocket, block: number): Promise<void> {
  const bytes = file.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
  const lease = await io.lease(HEADER_BYTES + bytes.length);
  new DataView(lease.bytes.buffer, lease.bytes.byteOffset).setUint32(0, block);
  lease.bytes.set(bytes, HEADER_BYTES);
  await udp.send(lease);
}

/** Puts blocks where they belong, and answers questions, until the end. */
async function collect(udp: UdpSocket): Promise<{ bytes: Uint8Array; dropped: number }> {
  const bytes = new Uint8Array(file.length);
  const has = new Uint8Array(blocks);
  let [count, dropped] = [0, 0];
  for await (const { lease, bytes: length, from } of udp.datagrams({ leaseBytes: 2048 })) {
    using _lease = lease;
    const datagram = lease.bytes.subarray(0, length);
    const [number] = numbersIn(datagram.subarray(0, HEADER_BYTES));
    if (number === END) break;
    if (number === ASK) {
      const [, about, ...asked] = numbersIn(datagram);
      await udp.send(numbers([about, ...asked.filter((block) => has[block] === 0)]), { to: from });
    } else if (++count % DROPS === 0) {
      dropped += 1;
    } else {
      bytes.set(datagram.subarray(HEADER_BYTES), number * BLOCK_BYTES);
      has[number] = 1;
    }
  }
  return { bytes, dropped };
}

function numbers(values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  for (const [i, value] of values.entries()) view.setUint32(i * 4, value);
  return new Uint8Array(view.buffer);
}

function numbersIn(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length >> 2 }, (_, i) => view.getUint32(i * 4));
}
