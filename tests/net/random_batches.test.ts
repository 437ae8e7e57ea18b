/**
 * Random batches of datagrams: leases in several places of them, trains, names, parts, refusals, signals, and too little of everything.
 * What arrives is what was accepted, byte for byte, and every lease is consumed once. A failure prints the batches and the seed.
 */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes";
import fc from "fast-check";
import process from "node:process";
import type { BatchReceipt, EngineName, InternetAddress, Io, Lease, OutgoingDatagram, UdpSocket } from "../../mod.ts";
import { fillPattern } from "../support/bytes.ts";
import { ENGINES, NO_ENGINE, withIo } from "../support/engines.ts";
import { assertAllReturned, assertLedger } from "../support/ledger.ts";
import { testIf } from "../support/skip.ts";
import { assertIds, withoutChecksums } from "../support/trains.ts";
import { turns } from "../support/turns.ts";
import { FORBIDDEN } from "../support/udp.ts";

const SEED = Number(process.env.RINGLET_BATCHES_SEED ?? Date.now() % 2 ** 31);
const SECONDS = Number(process.env.RINGLET_BATCHES_SECONDS ?? 2);
/** A run that takes so long hangs. */
const HANG_MS = 20_000;

const hostname = "127.0.0.1";
/** What is longer goes as a train. */
const MAX_SINGLE_BYTES = 60_000;
const TRAIN_SEGMENT_BYTES = 1000;
/** Parts of an array have to be one train, with the smallest segments of any here. */
const MAX_PARTS_BYTES = 20_000;
/** So much is on its way at once: the receiver's buffer has room for it, however the kernel counts it. */
const MAX_BATCH_BYTES = 300_000;

const setting = fc.record({
  connected: fc.boolean(),
  /** Of the socket's own. */
  segmentBytes: fc.constantFrom(undefined, 700),
  /** The kernel takes no trains. */
  refused: fc.boolean(),
  zeroCopy: fc.constantFrom("always" as const, "never" as const),
  maxSends: fc.constantFrom(1024, 8, 2, 1),
  maxInFlightBytes: fc.constantFrom(4 << 20, 70_000, 1),
  ending: fc.constantFrom("drain" as const, "drain" as const, "drain" as const, "close" as const, "abort" as const),
});

const batch = fc.record({
  /** Lengths of its leases, and how many holds the program has on each. */
  leases: fc.array(
    fc.record({
      bytes: fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 150_000 })),
      holds: fc.constantFrom(0, 0, 1, 2),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  entries: fc.array(
    fc.record({
      data: fc.constantFrom("lease" as const, "lease" as const, "bytes" as const, "parts" as const),
      lease: fc.nat({ max: 2 }),
      to: fc.constantFrom("number" as const, "number" as const, "name" as const, "forbidden" as const),
      segmentBytes: fc.constantFrom(undefined, undefined, 600, TRAIN_SEGMENT_BYTES, MAX_SINGLE_BYTES),
      ecn: fc.constantFrom(undefined, 1),
    }),
    { maxLength: 12 },
  ),
  fanOut: fc.boolean(),
  /** Turns of the event loop until it is given up. */
  giveUp: fc.constantFrom(undefined, undefined, 0, 1, 2),
  /** The arena has no room while it begins. */
  full: fc.boolean(),
  /** The next one does not wait for it. */
  overlaps: fc.boolean(),
});

type Setting = typeof setting extends fc.Arbitrary<infer T> ? T : never;
type Batch = typeof batch extends fc.Arbitrary<infer T> ? T : never;

/** A datagram as the test tells it from others. */
function keyOf(bytes: Uint8Array): string {
  let hash = bytes.length;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return `${bytes.length} ${hash >>> 0}`;
}

/** What an entry of a batch sends, and with whose leases. */
interface Entry {
  readonly datagram: OutgoingDatagram;
  readonly content: Uint8Array;
  readonly segmentBytes: number;
  readonly leases: readonly Lease[];
}

/** One run. */
class Run {
  readonly #io: Io;
  readonly #setting: Setting;
  readonly #sender: UdpSocket;
  readonly #receiver: UdpSocket;
  /** How often each datagram has to arrive at least, and may at most. */
  readonly #least = new Map<string, number>();
  readonly #most = new Map<string, number>();
  readonly #arrived = new Map<string, number>();
  #acceptedBytes = 0;
  #arrivedBytes = 0;
  #filled = 0;
  #ending = false;

  constructor(io: Io, setting: Setting, sender: UdpSocket, receiver: UdpSocket) {
    this.#io = io;
    this.#setting = setting;
    this.#sender = sender;
    this.#receiver = receiver;
  }

  /** Reads until the socket is closed. */
  async receive(): Promise<void> {
    try {
      for await (const { lease, bytes } of this.#receiver.datagrams()) {
        count(this.#arrived, keyOf(lease.bytes.subarray(0, bytes)));
        this.#arrivedBytes += bytes;
        lease.release();
      }
    } catch (error) {
      if (!this.#ending) throw error;
    }
  }

  /** An entry as it was chosen, from the leases that there are. */
  #entry({ data, lease, to, segmentBytes, ecn }: Batch["entries"][number], leases: readonly Lease[]): Entry {
    const first = leases[lease % leases.length];
    const fits = (other: Lease) => first !== other && first.byteLength + other.byteLength <= MAX_PARTS_BYTES;
    const parts = data === "parts" ? [first, ...leases.filter(fits).slice(0, 1)] : [first];
    const bytes = data === "bytes"
      ? fillPattern(new Uint8Array(1 + first.byteLength % 5000), this.#filled++)
      : undefined;
    const content = bytes ?? concat(parts.map((part) => part.bytes.slice()));
    const own = this.#setting.segmentBytes;
    if (content.length > MAX_SINGLE_BYTES && (segmentBytes ?? own ?? Infinity) > TRAIN_SEGMENT_BYTES) {
      segmentBytes = TRAIN_SEGMENT_BYTES;
    }
    const sent = bytes ?? (data === "parts" && content.length <= MAX_PARTS_BYTES ? parts : first);
    const address = this.#receiver.localAddr;
    const where: InternetAddress = to === "forbidden"
      ? FORBIDDEN
      : to === "name"
      ? { ...address, hostname: "localhost" }
      : address;
    return {
      datagram: { data: sent, to: this.#setting.connected && to === "number" ? undefined : where, segmentBytes, ecn },
      content,
      segmentBytes: segmentBytes ?? own ?? Infinity,
      leases: bytes === undefined ? parts : [],
    };
  }

  /** Sends a batch, and checks what became of its leases. */
  async batch({ leases: wanted, entries: chosen, fanOut, giveUp, full }: Batch): Promise<void> {
    const leases: Lease[] = [];
    const holds = new Map<Lease, number>();
    for (const { bytes, holds: n } of wanted) {
      const lease = this.#io.tryLease(bytes);
      if (lease === undefined) continue;
      fillPattern(lease.bytes, this.#filled);
      this.#filled += bytes;
      for (let i = 0; i < n; i++) lease.retain();
      holds.set(lease, n);
      leases.push(lease);
    }
    if (leases.length === 0) return;
    const entries: Entry[] = [];
    let bytes = 0;
    for (const each of chosen) {
      const entry = this.#entry(fanOut ? { ...each, data: "lease", lease: 0, ...only(chosen[0]) } : each, leases);
      bytes += entry.content.length;
      if (bytes <= MAX_BATCH_BYTES) entries.push(entry);
    }
    const others: Lease[] = [];
    for (let each; full && (each = this.#io.tryLease(10_000)) !== undefined;) others.push(each);
    const abort = new AbortController();
    const { signal } = abort;
    const sent = fanOut && entries.length > 0
      ? this.#sender.fanOut(leases[0], entries.map(({ datagram: { to } }) => to ?? this.#receiver.localAddr), {
        signal,
        ...only(entries[0]?.datagram),
      })
      : this.#sender.sendMany(entries.map(({ datagram }) => datagram), { signal });
    const settled = sent.then((receipt) => this.#settle(receipt, entries), (error) => {
      assert(this.#ending, `the batch was refused: ${error}`);
      return new Set<Lease>();
    });
    if (giveUp !== undefined) {
      await turns(giveUp);
      abort.abort(new Error("given up"));
    }
    for (const each of others) each.release();
    const consumed = await settled;
    assertLedger(this.#io);
    for (const [lease, n] of holds) {
      for (let left = n + Number(!consumed.has(lease)); left > 0; left--) lease.release();
      assertEquals(lease.state, "free");
    }
  }

  /** Takes down what became of a batch; answers the leases that it consumed. */
  async #settle({ accepted, bytes, errors, released }: BatchReceipt, entries: readonly Entry[]): Promise<Set<Lease>> {
    assertEquals([bytes.length, accepted], [entries.length, entries.length - errors.size]);
    const consumed = new Set<Lease>();
    for (const [i, { content, segmentBytes, leases }] of entries.entries()) {
      if (!errors.has(i)) assertEquals(bytes[i], content.length);
      this.#acceptedBytes += bytes[i];
      if (bytes[i] === 0) continue;
      for (const lease of leases) consumed.add(lease);
      for (let at = 0; at < content.length; at += segmentBytes) {
        const key = keyOf(content.subarray(at, Math.min(content.length, at + segmentBytes)));
        count(this.#most, key);
        if (bytes[i] === content.length) count(this.#least, key);
      }
    }
    await released;
    return consumed;
  }

  /** Waits for the batches, and compares what arrived with what was accepted. */
  async end(running: readonly Promise<void>[]): Promise<void> {
    const { ending } = this.#setting;
    if (ending !== "drain") {
      this.#ending = true;
      await this.#sender[ending]();
    }
    await Promise.all(running);
    assertIds(this.#sender);
    for (let still = 0; this.#arrivedBytes < this.#acceptedBytes && still < 1000; still++) await turns(1);
    this.#ending = true;
    await this.#receiver.close();
    assertEquals(this.#arrivedBytes, this.#acceptedBytes, "bytes that arrived, and that were accepted");
    for (const [key, n] of this.#arrived) assert(n <= (this.#most.get(key) ?? 0), `${key} arrived ${n} times`);
    for (const [key, n] of this.#least) assert(n <= (this.#arrived.get(key) ?? 0), `${key} did not arrive ${n} times`);
  }
}

/** What all datagrams of a fan-out have in common. */
function only<S, E>(entry: { segmentBytes?: S; ecn?: E } | undefined): { segmentBytes?: S; ecn?: E } {
  return { segmentBytes: entry?.segmentBytes, ecn: entry?.ecn };
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

async function play(engine: EngineName, setting: Setting, batches: readonly Batch[]): Promise<void> {
  const { connected, segmentBytes, refused, zeroCopy, maxSends, maxInFlightBytes } = setting;
  await withIo({ engine, arenaBytes: 1 << 20, maxSends }, async (io) => {
    const receiver = await io.bindUdp({ hostname, receiveBufferBytes: 8 << 20 });
    const remote = connected ? receiver.localAddr : undefined;
    const flow = { zeroCopy, zeroCopyThresholdBytes: 0, maxInFlightBytes };
    const sender = await io.bindUdp({ hostname, remote, segmentBytes, ...flow });
    if (refused) withoutChecksums(sender);
    const run = new Run(io, setting, sender, receiver);
    const receiving = run.receive();
    const running: Promise<void>[] = [];
    for (const each of batches) {
      const sent = run.batch(each);
      running.push(sent);
      sent.catch(() => {});
      if (!each.overlaps) await sent;
    }
    await run.end(running);
    await receiving;
    await sender.close();
    assertEquals(io.stats().arena.leases, 0, "leases that nobody has");
    assertAllReturned(io);
  });
}

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine], `random batches, RINGLET_BATCHES_SEED=${SEED} [${engine}]`, async () => {
    let last: Promise<void> | undefined;
    const batches = fc.array(batch, { minLength: 1, maxLength: 6 });
    const property = fc.asyncProperty(setting, batches, (setting, batches) => last = play(engine, setting, batches));
    const interruptAfterTimeLimit = SECONDS * 1000;
    await fc.assert(property, { seed: SEED, numRuns: 1e6, timeout: HANG_MS, interruptAfterTimeLimit });
    await last; // the one that was interrupted
  }, 1000 * SECONDS + 6 * HANG_MS);
}
