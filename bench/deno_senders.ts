/**
 * Ringlet and Deno's own sockets as contenders.
 *
 * @module
 */
import { open, type OpenOptions } from "../mod.ts";
import type { Io } from "../net/io.ts";
import type { Lease } from "../net/lease.ts";
import { BATCH, buffers, type Job, type Sender, serve } from "./rounds.js";

/**
 * Payloads in leases. A send consumes its lease, so a new one is taken for each, on the clock. The arena answers with memory that
 * became free last, and the ring around it keeps that from being used before all the rest.
 */
class Leases {
  readonly #io: Io;
  readonly #bytes: number;
  readonly #ring: Lease[];

  constructor(io: Io, { bytes, count }: Job) {
    this.#io = io;
    this.#bytes = bytes;
    this.#ring = Array.from({ length: count }, () => io.tryLease(bytes)!);
  }

  at(i: number): Lease {
    return this.#ring[i];
  }

  /** New leases in the place of those that were sent. */
  async renew(from: number, count: number): Promise<void> {
    for (let i = from; i < from + count; i++) {
      this.#ring[i] = this.#io.tryLease(this.#bytes) ?? await this.#io.lease(this.#bytes);
    }
  }

  close(): void {
    for (const lease of this.#ring) lease.release();
  }
}

/** An io with room for the payloads and those in flight. */
function openFor({ bytes, count }: Job, options: OpenOptions): Promise<Io> {
  return open({ arenaBytes: (bytes + 64) * (count + 2 * BATCH), ...options });
}

/** Sends of one socket through `trySend`, `flush` and `reap`: a batch is prepared, sent and taken back. */
function batches(io: Io, socket: { trySend(lease: Lease): number }, leases: Leases) {
  let released = 0;
  const onEvent = (_id: number, event: string) => {
    if (event === "released") released += 1;
    else if (event !== "accepted") throw new Error(`a send was ${event}`);
  };
  return async (from: number, count: number) => {
    for (let at = from; at < from + count; at += BATCH) {
      released = 0;
      for (let i = at; i < at + BATCH; i++) socket.trySend(leases.at(i));
      for (io.flush(), io.reap(onEvent); released < BATCH; io.reap(onEvent)) {
        await new Promise((turn) => setImmediate(turn));
      }
      await leases.renew(at, BATCH);
    }
  };
}

/** Ringlet over UDP, without promises. */
async function udpBatch(engine: "errqueue" | "copy", job: Job): Promise<Sender> {
  const io = await openFor(job, { engine });
  const socket = await io.bindUdp({ remote: job.to });
  const leases = new Leases(io, job);
  return {
    payload: (i) => leases.at(i).bytes,
    send: batches(io, socket, leases),
    close: () => (leases.close(), io.close()),
  };
}

/** Ringlet over UDP, with a promise per send and one per release. */
async function udpPromises(job: Job): Promise<Sender> {
  const io = await openFor(job, { engine: "errqueue" });
  const socket = await io.bindUdp({ remote: job.to });
  const leases = new Leases(io, job);
  return {
    payload: (i) => leases.at(i).bytes,
    async send(from, count) {
      for (let at = from; at < from + count; at += BATCH) {
        const sends = Array.from({ length: BATCH }, (_, i) => socket.send(leases.at(at + i)));
        for (const receipt of await Promise.all(sends)) await receipt.released;
        await leases.renew(at, BATCH);
      }
    },
    close: () => (leases.close(), io.close()),
  };
}

// deno-lint-ignore require-await -- like the others
async function denoDatagram(job: Job): Promise<Sender> {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: 0 });
  const to: Deno.Addr = { transport: "udp", ...job.to };
  const payloads = buffers(job);
  return {
    payload: (i) => payloads[i],
    async send(from, count) {
      for (let at = from; at < from + count; at += BATCH) {
        await Promise.all(payloads.slice(at, at + BATCH).map((payload) => socket.send(payload, to)));
      }
    },
    close: () => socket.close(),
  };
}

/** Ringlet over TCP, with promises, `together` sends at a time. One is awaited as a program would, without a list of it. */
async function tcp(together: number, job: Job): Promise<Sender> {
  const io = await openFor(job, { engine: "auto" });
  const conn = await io.connect(job.to);
  const leases = new Leases(io, job);
  const answer = await io.lease(1);
  return {
    payload: (i) => leases.at(i).bytes,
    async send(from, count) {
      for (let at = from; at < from + count; at += together) {
        if (together === 1) await conn.send(leases.at(at));
        else await Promise.all(Array.from({ length: together }, (_, i) => conn.send(leases.at(at + i))));
      }
      await leases.renew(from, count);
      await conn.recv(answer);
    },
    close: () => (leases.close(), answer.release(), io.close()),
  };
}

/** Ringlet over TCP, without promises. */
async function tcpBatch(job: Job): Promise<Sender> {
  const io = await openFor(job, { engine: "auto" });
  const conn = await io.connect(job.to);
  const leases = new Leases(io, job);
  const answer = await io.lease(1);
  const send = batches(io, conn, leases);
  return {
    payload: (i) => leases.at(i).bytes,
    async send(from, count) {
      await send(from, count);
      await conn.recv(answer);
    },
    close: () => (leases.close(), answer.release(), io.close()),
  };
}

async function denoConn(job: Job): Promise<Sender> {
  const conn = await Deno.connect(job.to);
  const payloads = buffers(job);
  const answer = new Uint8Array(1);
  return {
    payload: (i) => payloads[i],
    async send(from, count) {
      for (let i = from; i < from + count; i++) {
        for (let at = 0; at < job.bytes;) at += await conn.write(payloads[i].subarray(at));
      }
      await conn.read(answer);
    },
    close: () => conn.close(),
  };
}

await serve({
  errqueue: (job) => udpBatch("errqueue", job),
  copy: (job) => udpBatch("copy", job),
  udpPromises,
  denoDatagram,
  tcp: (job) => tcp(BATCH, job),
  tcpAwaited: (job) => tcp(1, job),
  tcpBatch,
  denoConn,
});
