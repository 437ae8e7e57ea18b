/**
 * `deno task soak:udp [SECONDS]`: mixed UDP traffic over loopback on every engine, 60 seconds each, where every datagram that the kernel
 * accepted is accounted for: by its receiver, once and undamaged, or by the kernel's counter of what it dropped.
 *
 * Many sockets of both families; sizes from nothing to the most; zero-copy and copies; promises, many at once and batch calls; single
 * datagrams and trains of all lengths, with and without metadata, from sockets that cut by themselves and others; receivers of every kind,
 * with and without `receiveSegments`, some with buffers so small that the kernel has to drop.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type EngineName,
  type Io,
  type Lease,
  type OutgoingDatagram,
  type ReceivedDatagram,
  segmentsOf,
  type UdpOptions,
  type UdpSocket,
} from "../../mod.ts";
import { fillPattern } from "../support/bytes.ts";
import { ENGINES, withIo } from "../support/engines.ts";
import { leases, releaseAll } from "../support/udp.ts";

/** What one receiver came to. `accepted === received + dropped`. */
export interface Account {
  readonly name: string;
  /** Datagrams for it that the kernel accepted; on a socket that receives trains, trains. */
  accepted: number;
  received: number;
  /** As the kernel counts it in /proc/net/udp. */
  dropped: number;
  /** Trains of several. */
  trains: number;
  bytes: number;
}

const HEADER_BYTES = 4;
const MAX_BYTES = 60_000;
const TRAIN_SEGMENT_BYTES = 1200;
const MAX_SEGMENTS = 50;
/** Tells a receiver that nothing follows. */
const END = 0xffff_ffff;
/** Set in the number of a train's segment, which has another length. */
const IN_TRAIN = 1 << 30;
const TOGETHER = 16;

/** Datagram `number` is this long and has the pattern from a place that depends on it. */
const PATTERN = fillPattern(new Uint8Array(MAX_BYTES + 65_536));
function lengthOf(number: number): number {
  const hash = Math.imul(number, 0x9e3779b1) >>> 8;
  const most = hash % 4 === 0 ? MAX_BYTES : hash % 4 === 1 ? 9000 : 1400;
  return HEADER_BYTES + (hash >>> 2) % (most - HEADER_BYTES + 1);
}

function write(bytes: Uint8Array, number: number): void {
  const from = number % 65_536;
  bytes.set(PATTERN.subarray(from, from + bytes.length));
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, number);
}

/** Numbers that were seen, each once. */
class Seen {
  #bits = new Uint8Array(1 << 16);

  add(number: number): void {
    const at = number >>> 3;
    while (at >= this.#bits.length) {
      const more = new Uint8Array(this.#bits.length * 2);
      more.set(this.#bits);
      this.#bits = more;
    }
    assert((this.#bits[at] & 1 << (number & 7)) === 0, `datagram ${number} came twice`);
    this.#bits[at] |= 1 << (number & 7);
  }
}

class Receiver {
  readonly account: Account;
  readonly #seen = new Seen();
  /** Empty datagrams carry no number. */
  next = 0;
  last = 0;

  constructor(
    readonly name: string,
    readonly udp: UdpSocket,
    readonly hostnames: readonly string[],
    readonly trains: boolean,
  ) {
    this.account = { name, accepted: 0, received: 0, dropped: 0, trains: 0, bytes: 0 };
  }

  /** Checks what came; `false` when it was the last. */
  take(datagram: ReceivedDatagram): boolean {
    const { account } = this;
    assert(!datagram.truncated && datagram.metadataTruncated === undefined);
    const segments = segmentsOf(datagram);
    if (segments.length > 1) {
      assert(this.trains, "a train for a socket that did not ask for it");
      account.trains += 1;
    }
    for (const bytes of segments) {
      if (bytes.length > 0) {
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        const number = view.getUint32(0);
        if (number === END) {
          this.last = datagram.dropped ?? 0;
          return false;
        }
        const length = number & IN_TRAIN ? TRAIN_SEGMENT_BYTES : lengthOf(number);
        assertEquals(bytes.length, length, `length of datagram ${number}`);
        for (let at = HEADER_BYTES; at < bytes.length; at += Math.max(1, bytes.length >> 4)) {
          assert(bytes[at] === PATTERN[number % 65_536 + at], `datagram ${number} is damaged at ${at}`);
        }
        this.#seen.add(number & ~IN_TRAIN);
        account.bytes += bytes.length;
      }
    }
    account.received += 1;
    return true;
  }
}

/** The ways to receive. */
const RECEIVE: Record<string, (io: Io, receiver: Receiver) => Promise<void>> = {
  async recv(io, receiver) {
    using lease = await io.lease(65_536);
    while (receiver.take({ ...await receiver.udp.recv(lease), lease }));
  },
  async recvMany(io, receiver) {
    const into = await leases(io, 16, 65_536);
    for (let on = true; on;) for (const datagram of await receiver.udp.recvMany(into)) on &&= receiver.take(datagram);
    releaseAll(into);
  },
  async datagrams(_io, receiver) {
    for await (const datagram of receiver.udp.datagrams({ batch: 16 })) {
      using _lease = datagram.lease;
      if (!receiver.take(datagram)) return;
    }
  },
};

type To = { hostname: string; port: number };

/** What goes through one io. */
interface Traffic {
  readonly io: Io;
  /** Whose the sends of the batch calls are. */
  readonly live: Map<number, Receiver>;
}

/** A lease with the next datagram for a receiver. */
async function single({ io }: Traffic, receiver: Receiver): Promise<Lease> {
  const number = receiver.next++;
  const lease = await io.lease(lengthOf(number));
  write(lease.bytes, number);
  return lease;
}

/** A lease with a train of as many segments as `length` says, and how the receiver counts them. */
async function train({ io }: Traffic, receiver: Receiver, length: number): Promise<[lease: Lease, counted: number]> {
  const segments = 1 + length % Math.min(MAX_SEGMENTS, io.capabilities.udpSegments);
  const lease = await io.lease(TRAIN_SEGMENT_BYTES * segments);
  for (let i = 0; i < segments; i++) {
    write(lease.bytes.subarray(i * TRAIN_SEGMENT_BYTES, (i + 1) * TRAIN_SEGMENT_BYTES), receiver.next++ | IN_TRAIN);
  }
  return [lease, receiver.trains ? 1 : segments];
}

/** A socket that sends, and what it has to be told of a datagram and of a train. */
interface Sender {
  readonly udp: UdpSocket;
  readonly one: { segmentBytes?: number };
  readonly several: { segmentBytes?: number };
}

/** A sender whose socket cuts by itself, or is told to with each train. */
async function sender(io: Io, options: UdpOptions, byItself: boolean): Promise<Sender> {
  const told = { segmentBytes: TRAIN_SEGMENT_BYTES };
  return byItself
    ? { udp: await io.bindUdp({ ...options, ...told }), one: { segmentBytes: MAX_BYTES }, several: {} }
    : { udp: await io.bindUdp(options), one: {}, several: told };
}

/** The ways to send: each sends once to a receiver, and says so in its account. */
const SEND: Record<string, (traffic: Traffic, sender: Sender, receiver: Receiver, to: To) => Promise<void>> = {
  async "a promise for each"(traffic, { udp, one }, receiver, to) {
    const receipts = await Promise.all(Array.from({ length: TOGETHER }, async () => {
      const lease = await single(traffic, receiver);
      const receipt = await udp.send(lease, { to, ...one });
      receiver.account.accepted += 1;
      return receipt;
    }));
    for (const receipt of receipts) await receipt.released;
  },
  async "arrays, and empty datagrams"(_traffic, { udp, one }, receiver, to) {
    const bytes = new Uint8Array(lengthOf(receiver.next));
    write(bytes, receiver.next++);
    const receipts = await Promise.all([udp.send(bytes, { to, ...one }), udp.send(new Uint8Array(0), { to })]);
    receiver.account.accepted += 2;
    for (const receipt of receipts) await receipt.released;
  },
  async "batch calls"({ io, live }, { udp, one }, receiver, to) {
    let sends = 0;
    for (; sends < TOGETHER; sends++) {
      const lease = io.tryLease(lengthOf(receiver.next));
      if (lease === undefined) break;
      write(lease.bytes, receiver.next);
      const id = udp.trySend(lease, { to, ...one });
      if (id < 0) {
        lease.release();
        break;
      }
      receiver.next += 1;
      live.set(id, receiver);
    }
    io.flush();
    const { accepted } = receiver.account;
    while (receiver.account.accepted < accepted + sends) {
      await io.reapable();
      io.reap((id, event, value) => {
        if (event === "accepted") live.get(id)!.account.accepted += 1;
        else if (event === "released") live.delete(id);
        else throw new Error(`${event} with errno ${value}`);
      });
    }
  },
  async "trains"(traffic, { udp, several }, receiver, to) {
    const [lease, counted] = await train(traffic, receiver, receiver.next);
    const receipt = await udp.send(lease, { to, ...several });
    receiver.account.accepted += counted;
    await receipt.released;
  },
  async "many at once"(traffic, { udp, one, several }, receiver, to) {
    const batch: OutgoingDatagram[] = [];
    let counted = 0;
    for (let i = 0; i < TOGETHER / 2; i++) {
      batch.push({ data: await single(traffic, receiver), to, ...one, ecn: i % 4, hopLimit: 64 - i });
      const [data, length] = await train(traffic, receiver, receiver.next);
      batch.push({ data, to, ...several, trafficClass: i });
      counted += 1 + length;
    }
    const { accepted, errors, released } = await udp.sendMany(batch);
    assertEquals([accepted, errors.size], [batch.length, 0]);
    receiver.account.accepted += counted;
    await released;
  },
};

/** Drops of a socket as /proc/net tells them, and whether its queue is empty. */
function procOf(udp: UdpSocket, v6: boolean): { dropped: number; empty: boolean } {
  const port = udp.localAddr.port.toString(16).toUpperCase().padStart(4, "0");
  for (const line of readFileSync(v6 ? "/proc/net/udp6" : "/proc/net/udp", "utf8").split("\n")) {
    const fields = line.trim().split(/\s+/);
    if (!fields[1]?.endsWith(`:${port}`)) continue;
    return { dropped: Number(fields.at(-1)), empty: fields[4].endsWith(":00000000") };
  }
  throw new Error(`no socket at port ${port}`);
}

/** Runs the traffic on one engine, and accounts for it. */
export async function soakUdp(engine: EngineName, seconds: number): Promise<Account[]> {
  const accounts: Account[] = [];
  await withIo({ engine, arenaBytes: 32 << 20 }, async (io) => {
    const receivers: Receiver[] = [];
    const traffic: Traffic = { io, live: new Map() };
    for (
      const [hostname, hostnames] of [["127.0.0.1", ["127.0.0.1"]], ["::1", ["::1"]], ["::", [
        "127.0.0.1",
        "::1",
      ]]] as const
    ) {
      for (const way of Object.keys(RECEIVE)) {
        for (const receiveSegments of [false, true]) {
          const receiveBufferBytes = receivers.length % 5 === 3 ? 30_000 : 4 << 20;
          const options = { hostname, receiveSegments, receiveDropped: true, receiveBufferBytes };
          const name = `${hostname} ${way}${receiveSegments ? ", trains" : ""}`;
          receivers.push(new Receiver(name, await io.bindUdp(options), hostnames, receiveSegments));
        }
      }
    }
    const receiving = receivers.map((receiver, i) => RECEIVE[Object.keys(RECEIVE)[(i >> 1) % 3]](io, receiver));
    const failed = Promise.race(receiving.map((loop) => loop.then(() => new Promise<never>(() => {}))));

    const untilMs = performance.now() + seconds * 1000;
    const sending = receivers.map(async (receiver, i) => {
      const { udp: { localAddr: { port } }, hostnames } = receiver;
      const senders = new Map<string, Sender>();
      for (const hostname of hostnames) {
        const zeroCopy = i % 3 === 0 ? "never" : "always";
        senders.set(hostname, await sender(io, { hostname, zeroCopy, zeroCopyThresholdBytes: 1000 }, i % 4 > 1));
      }
      for (let round = i; performance.now() < untilMs; round++) {
        const hostname = hostnames[round % hostnames.length];
        const ways = Object.values(SEND);
        await ways[round % ways.length](traffic, senders.get(hostname)!, receiver, { hostname, port });
      }
      // Everything that it got has been read when its queue is empty: the last one tells what was dropped before.
      const v6 = hostnames.includes("::1");
      while (!procOf(receiver.udp, v6).empty) await sleep(5);
      const end = new Uint8Array(HEADER_BYTES);
      new DataView(end.buffer).setUint32(0, END);
      await senders.get(hostnames[0])!.udp.send(end, { to: { hostname: hostnames[0], port } });
      await receiving[i];
      receiver.account.dropped = procOf(receiver.udp, v6).dropped;
      assertEquals(receiver.last, receiver.account.dropped, `${receiver.name}: SO_RXQ_OVFL and /proc/net agree`);
      const { accepted, received, dropped } = receiver.account;
      assertEquals(received + dropped, accepted, `${receiver.name}: received and dropped, and accepted`);
      accounts.push(receiver.account);
    });
    await Promise.race([Promise.all(sending), failed]);
  });
  return accounts;
}

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60);
  for (const engine of ENGINES) {
    const accounts = await soakUdp(engine, seconds);
    const sum = (of: (account: Account) => number) => accounts.reduce((sum, account) => sum + of(account), 0);
    for (const { name, accepted, received, dropped, trains } of accounts) {
      console.log(`  ${name}: ${accepted} accepted, ${received} received (${trains} trains), ${dropped} dropped`);
    }
    const [accepted, received, dropped] = [sum((a) => a.accepted), sum((a) => a.received), sum((a) => a.dropped)];
    const gigabytes = (sum((a) => a.bytes) / 1e9).toFixed(2);
    console.log(`${engine}: ${accepted} accepted = ${received} received + ${dropped} dropped; ${gigabytes} GB`);
  }
}
