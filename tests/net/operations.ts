/**
 * Random operations on real sockets, with a model beside them that knows what may have been accepted and what must arrive.
 */
import { assertEquals } from "@std/assert";
import { concat } from "@std/bytes";
import fc from "fast-check";
import process from "node:process";
import {
  type EngineName,
  type InternetAddress,
  type Io,
  type Lease,
  type OpenOptions,
  type Receipt,
  RingletError,
  type SendData,
  type TcpConn,
  type UdpSocket,
} from "../../mod.ts";
import { openWithin } from "../../net/open.ts";
import type { RingLimits } from "../../net/ring.ts";
import { fillPattern } from "../support/bytes.ts";
import { assertAllReturned, assertLedger } from "../support/ledger.ts";
import { connectedPair } from "../support/pairs.ts";
import { turns } from "../support/turns.ts";
import { Flow, Sent } from "./flow_model.ts";

/** Where a run takes place. */
export interface Setting {
  transport: "tcp" | "udp" | "unix";
  pairs: number;
  /** Buffers so small that a reader that stops stalls the sender soon. */
  tight: boolean;
  limits: RingLimits;
  options: OpenOptions;
  maxInFlightBytes: number;
  ending: "drain" | "close" | "abort";
}

/** A step; numbers that choose something are taken modulo what there is. */
export type Operation =
  | { do: "send"; flow: number; sizes: number[]; as: "leases" | "bytes" | "both"; signal: boolean }
  | { do: "send part"; flow: number; size: number; offset: number; signal: boolean }
  | { do: "try send"; flow: number; size: number }
  | { do: "fan out"; size: number }
  | { do: "give up"; which: number }
  | { do: "receive"; flow: number; signal: boolean }
  | { do: "give up receiving"; which: number }
  | { do: "flush" | "reap" | "turn" }
  | { do: "closeWrite"; flow: number }
  | { do: "close"; flow: number; deadlineMs: number };

const RECEIVED_AT_ONCE = 70_000;
/** A send waits until its copy fits into the arena beside what the readers have. */
const MAX_COPIED_BYTES = 300_000;
const MAX_DATAGRAM_BYTES = 65_507;
/** So many bytes of datagrams may wait for a reader: the kernel drops what its buffer has no room for. */
const MAX_UNREAD_BYTES = 400_000;
const RECEIVE_BUFFER_BYTES = 4 << 20;
const SEND_BUFFER_BYTES = 65_536;
const TIGHT_BUFFER_BYTES = 32_768;
/** Far longer than any run takes. */
const PATIENT_MS = 60_000;
const MEBIBYTE = 2 ** 20;
/** When nothing has ended for so long, nothing will. */
const STILL_TURNS = 100;

const size = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 2, arbitrary: fc.integer({ min: 4000, max: 12_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 200_000 }) },
);
const choice = fc.nat({ max: 1000 });

/** Settings of every kind; a failure is shrunk towards the ordinary ones, which come first. */
export const setting: fc.Arbitrary<Setting> = fc.record({
  transport: fc.constantFrom("tcp", "tcp", "udp", "unix"),
  pairs: fc.integer({ min: 1, max: 3 }),
  tight: fc.boolean(),
  limits: fc.record({
    entries: fc.constantFrom(1024, 64, 8),
    registeredBytes: fc.constantFrom(4 * MEBIBYTE, MEBIBYTE, 0),
    gathersRegistered: fc.constantFrom(true, false),
  }),
  options: fc.record({
    arenaBytes: fc.constantFrom(4 * MEBIBYTE, MEBIBYTE),
    maxSends: fc.constantFrom(1024, 16, 2),
    windowIds: fc.constantFrom(256, 4),
    zeroCopyThresholdBytes: fc.constantFrom(0, 5000),
  }),
  maxInFlightBytes: fc.constantFrom(4 * MEBIBYTE, 300_000, 20_000),
  ending: fc.constantFrom("drain", "drain", "close", "abort"),
});

/** Operations, mostly sends and receives. */
export const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      flow: choice,
      sizes: fc.array(size, { minLength: 1, maxLength: 16 }),
      as: fc.constantFrom("leases", "bytes", "both"),
      signal: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("send part" as const),
      flow: choice,
      size,
      offset: choice,
      signal: fc.boolean(),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("try send" as const), flow: choice, size }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("fan out" as const), size }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("give up" as const), which: choice }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant("receive" as const), flow: choice, signal: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("give up receiving" as const), which: choice }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constantFrom("flush" as const, "reap" as const, "turn" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("closeWrite" as const), flow: choice }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("close" as const),
      flow: choice,
      deadlineMs: fc.constantFrom(0, 5, PATIENT_MS),
    }),
  },
);

/** Does the operations, brings everything to an end, and checks all that is known. */
export async function play(engine: EngineName, setting: Setting, operations: readonly Operation[]): Promise<void> {
  const { limits, options } = setting;
  const io = await openWithin(limits, { engine, zeroCopy: "always", ...options });
  const run = new Run(io, setting);
  try {
    await run.connect();
    for (const operation of operations) {
      await run.step(operation);
      assertLedger(io);
    }
    await run.end();
  } finally {
    await io.close({ deadlineMs: 0 });
  }
  run.check();
  assertAllReturned(io);
  assertEquals(io.stats().arena.leases, 0, "leases that nobody has");
}

/** One run. */
class Run {
  readonly #io: Io;
  readonly #setting: Setting;
  readonly #flows: Flow[] = [];
  /** Where datagrams go that come from a socket without a peer of its own. */
  readonly #addresses = new Map<TcpConn | UdpSocket, InternetAddress>();
  readonly #sends: Promise<void>[] = [];
  readonly #batch = new Map<number, Sent>();
  readonly #aborts: AbortController[] = [];
  readonly #receiveAborts: AbortController[] = [];
  readonly #receiving = new Map<Flow, Promise<void>>();
  readonly #ends: Promise<void>[] = [];
  readonly #retained: Lease[] = [];
  /** Bytes filled so far: each send carries a piece of the pattern of its own. */
  #filled = 0;
  #failure: unknown;

  constructor(io: Io, setting: Setting) {
    this.#io = io;
    this.#setting = setting;
  }

  async connect(): Promise<void> {
    const { transport, pairs } = this.#setting;
    for (let i = 0; i < pairs; i++) {
      const [a, b] = transport === "udp" ? await this.#udpPair() : await this.#streamPair();
      for (const [from, to] of [[a, b], [b, a]]) {
        this.#flows.push(new Flow(transport, from, to, this.#io.tryLease(RECEIVED_AT_ONCE)!));
      }
    }
  }

  async #streamPair(): Promise<[TcpConn, TcpConn]> {
    const { transport, tight, maxInFlightBytes } = this.#setting;
    const options = tight ? { sendBufferBytes: SEND_BUFFER_BYTES, receiveBufferBytes: TIGHT_BUFFER_BYTES } : {};
    const path = transport === "unix" ? { path: `\0ringlet-test-${process.pid}-${Math.random()}` } : {};
    const both = { maxInFlightBytes, ...options };
    const { conn, peer } = await connectedPair(this.#io, both, { ...path, ...both });
    return [conn, peer];
  }

  async #udpPair(): Promise<[UdpSocket, UdpSocket]> {
    const { maxInFlightBytes } = this.#setting;
    const options = { hostname: "127.0.0.1", receiveBufferBytes: RECEIVE_BUFFER_BYTES, maxInFlightBytes };
    const a = await this.#io.bindUdp(options);
    const b = await this.#io.bindUdp({ ...options, remote: a.localAddr });
    this.#addresses.set(b, b.localAddr);
    return [a, b];
  }

  #flow(which: number): Flow {
    return this.#flows[which % this.#flows.length];
  }

  async step(operation: Operation): Promise<void> {
    switch (operation.do) {
      case "send":
        return this.#send(this.#flow(operation.flow), operation);
      case "send part":
        return this.#sendPart(this.#flow(operation.flow), operation);
      case "try send":
        return this.#trySend(this.#flow(operation.flow), operation.size);
      case "fan out":
        return this.#fanOut(operation.size);
      case "give up":
        return chosen(this.#aborts, operation.which)?.abort(new Error("given up"));
      case "receive":
        return this.#receive(this.#flow(operation.flow), operation.signal);
      case "give up receiving":
        return chosen(this.#receiveAborts, operation.which)?.abort(new Error("given up receiving"));
      case "flush":
        return void this.#io.flush();
      case "reap":
        return this.#reap();
      case "turn":
        await turns(1);
        if (this.#failure !== undefined) throw this.#failure;
        return;
      case "closeWrite":
        return this.#closeWrite(this.#flow(operation.flow));
      case "close":
        return this.#close(this.#flow(operation.flow), operation.deadlineMs);
    }
  }

  /** Whether so many more bytes fit. */
  #fits(flow: Flow, bytes: number): boolean {
    if (flow.transport !== "udp") return true;
    const open = flow.sends.filter(({ failure }) => failure === undefined);
    const sent = open.reduce((sum, { content }) => sum + content.length + 4096, 0);
    const read = flow.received.reduce((sum, { length }) => sum + length + 4096, 0);
    return bytes <= MAX_DATAGRAM_BYTES && sent - read + bytes <= MAX_UNREAD_BYTES;
  }

  /** New bytes. */
  #bytes(length: number): Uint8Array {
    this.#filled += length;
    return fillPattern(new Uint8Array(length), this.#filled - length);
  }

  /** A lease with new bytes, if there is room. */
  #lease(length: number): Lease | undefined {
    const lease = this.#io.tryLease(length);
    lease?.bytes.set(this.#bytes(length));
    return lease;
  }

  #controller(wanted: boolean, aborts: AbortController[]): AbortSignal | undefined {
    if (!wanted) return undefined;
    const abort = new AbortController();
    aborts.push(abort);
    return abort.signal;
  }

  #follow(sent: Sent, sending: Promise<Receipt>, signal?: AbortSignal): void {
    sent.flow.sends.push(sent);
    this.#sends.push(sent.follow(sending, signal).catch((error) => this.#fail(error)));
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
  }

  #post(flow: Flow, data: SendData | SendData[], options: object): Promise<Receipt> {
    return (flow.from as UdpSocket).send(data, { ...options, ...this.#to(flow) });
  }

  /** The destination, where the socket has none of its own. */
  #to({ to }: Flow): { to?: InternetAddress } {
    const address = this.#addresses.get(to);
    return address === undefined ? {} : { to: address };
  }

  #send(flow: Flow, { sizes, as, signal: wanted }: Operation & { do: "send" }): void {
    const bytes = sizes.reduce((sum, size) => sum + size);
    if (bytes > MAX_COPIED_BYTES || !this.#fits(flow, bytes)) return;
    const leases: Lease[] = [];
    const contents: Uint8Array[] = [];
    const parts = sizes.map((size, i): SendData => {
      const lease = size > 0 && (as === "leases" || as === "both" && i % 2 === 0) ? this.#lease(size) : undefined;
      if (lease === undefined) {
        contents.push(this.#bytes(size));
        return contents.at(-1)!;
      }
      leases.push(lease);
      contents.push(lease.bytes.slice());
      return lease;
    });
    const sent = new Sent(flow, concat(contents), leases);
    const signal = this.#controller(wanted, this.#aborts);
    this.#follow(sent, this.#post(flow, parts.length === 1 ? parts[0] : parts, { signal }), signal);
  }

  #sendPart(flow: Flow, { size, offset, signal: wanted }: Operation & { do: "send part" }): void {
    if (!this.#fits(flow, size)) return;
    const lease = this.#lease(size + offset + 1);
    if (lease === undefined) return;
    const byteLength = Math.max(1, size);
    const sent = new Sent(flow, lease.bytes.slice(offset, offset + byteLength), [lease]);
    const signal = this.#controller(wanted, this.#aborts);
    this.#follow(sent, this.#post(flow, lease, { offset, byteLength, signal }), signal);
  }

  #trySend(flow: Flow, size: number): void {
    if (flow.disturbed || !this.#fits(flow, size)) return;
    const lease = size === 0 ? undefined : this.#lease(size);
    if (lease === undefined) return;
    const sent = new Sent(flow, lease.bytes.slice(), [lease]);
    const id = (flow.from as UdpSocket).trySend(lease, this.#to(flow));
    if (id < 0) return lease.release();
    flow.sends.push(sent);
    this.#batch.set(id, sent);
  }

  /** One lease to everybody; it stays the program's. */
  #fanOut(size: number): void {
    if (size === 0 || !this.#flows.every((flow) => this.#fits(flow, size))) return;
    const lease = this.#lease(size)?.retain();
    if (lease === undefined) return;
    const content = lease.bytes.slice();
    this.#retained.push(lease);
    for (const flow of this.#flows) this.#follow(new Sent(flow, content, []), this.#post(flow, lease, {}));
  }

  #reap(): void {
    this.#io.reap((id, event, value) => {
      const sent = this.#batch.get(id)!;
      sent.told(event, value);
      if (sent.over) this.#batch.delete(id);
    });
  }

  #receive(flow: Flow, wanted: boolean): void {
    if (this.#receiving.has(flow) || flow.end !== undefined) return;
    const signal = this.#controller(wanted, this.#receiveAborts);
    const receiving = this.#receiveOnce(flow, signal).catch((error) => this.#fail(error));
    this.#receiving.set(flow, receiving.then(() => void this.#receiving.delete(flow)));
  }

  async #receiveOnce(flow: Flow, signal?: AbortSignal): Promise<void> {
    try {
      const result = await flow.to.recv(flow.into, { signal });
      const bytes = typeof result === "object" ? result?.bytes : result;
      if (bytes === undefined) flow.end = "orderly";
      else flow.received.push(flow.into.bytes.slice(0, bytes));
    } catch (error) {
      if (signal?.aborted && error === signal.reason) return;
      if (!(error instanceof RingletError)) throw error;
      if (error.code === "ECONNREFUSED" && flow.transport === "udp") return;
      if (!["ERR_CLOSED", "ECONNRESET", "EPIPE"].includes(error.code)) throw error;
      flow.end = "reset";
    }
  }

  #closeWrite(flow: Flow): void {
    if (flow.transport === "udp" || flow.disturbed) return;
    flow.closing = true;
    this.#ends.push(this.#ended((flow.from as TcpConn).closeWrite()));
  }

  /** Closes the socket that sends in `flow`, and that another flow reads from. */
  #close(flow: Flow, deadlineMs: number): void {
    const back = this.#flows.find(({ to }) => to === flow.from)!;
    flow.closing = true;
    back.cut = true;
    if (deadlineMs < PATIENT_MS) flow.cut = true;
    this.#ends.push(this.#ended(flow.from.close({ deadlineMs })));
  }

  async #ended(end: Promise<void>): Promise<void> {
    try {
      await end;
    } catch (error) {
      if (!(error instanceof RingletError) || error.code !== "ERR_CLOSED") this.#fail(error);
    }
  }

  /** Brings everything to its end, in the setting's way. */
  async end(): Promise<void> {
    const { ending } = this.#setting;
    for (const lease of this.#retained) lease.release();
    if (ending === "drain") {
      const drained = this.#flows.map((flow) => this.#drain(flow));
      for (const flow of this.#flows) this.#closeWrite(flow);
      await this.#allOver();
      if (this.#failure !== undefined) throw this.#failure;
      await Promise.all([...drained, ...this.#ends]);
    }
    for (const flow of this.#flows) {
      if (ending === "drain") break;
      flow.cut = true;
      if (ending === "abort") this.#ends.push(flow.from.abort());
    }
    const patient = this.#flows.filter(({ closing }) => closing).map(({ from }) => from.abort());
    await this.#io.close({ deadlineMs: 5 });
    await Promise.all([...patient, ...this.#ends, ...this.#receiving.values()]);
    this.#reap();
    await Promise.all(this.#sends);
    if (this.#failure !== undefined) throw this.#failure;
    for (const { into } of this.#flows) into.release();
    // A send that was refused gave back the lease's own claim, beside the hold.
    for (const lease of this.#retained) lease[Symbol.dispose]();
  }

  /** Waits until every send has ended. */
  async #allOver(): Promise<void> {
    let progress = -1;
    for (let still = 0; this.#failure === undefined; still++) {
      this.#io.flush();
      this.#reap();
      const over = this.#flows.map(({ sends }) => sends.filter(({ over }) => over).length);
      if (this.#flows.every(({ sends }, i) => sends.length === over[i])) return;
      const now = this.#flows.reduce((sum, { received }, i) => sum + received.length + over[i], 0);
      if (now !== progress) still = 0;
      progress = now;
      // With few records, one that waits to close may need those of the peer, whose sends it does not read any more.
      if (still === STILL_TURNS) { for (const flow of this.#flows.filter(({ cut }) => cut)) this.#close(flow, 0); }
      await turns(1);
    }
  }

  /** Reads all that comes. */
  async #drain(flow: Flow): Promise<void> {
    const datagrams = flow.transport === "udp";
    while (this.#failure === undefined && flow.end === undefined) {
      if (datagrams && flow.unread <= 0 && flow.sends.every(({ over }) => over)) return;
      const receiving = this.#receiving.has(flow) || datagrams && flow.unread <= 0;
      await (receiving ? turns(1) : this.#receiveOnce(flow));
    }
  }

  check(): void {
    assertEquals(this.#batch.size, 0, "batch sends without an end");
    for (const flow of this.#flows) flow.check(this.#setting.ending === "drain");
  }
}

function chosen<T>(list: readonly T[], which: number): T | undefined {
  return list[which % Math.max(1, list.length)];
}
