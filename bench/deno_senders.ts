/**
 * Ringlet and Deno's own sockets as contenders.
 *
 * @module
 */
import { open, type OpenOptions } from "../mod.ts";
import type { Io } from "../net/io.ts";
import type { Lease } from "../net/lease.ts";
import { BATCH, buffers, type Job, type Sender, serve } from "./rounds.js";

/** Payloads in leases that the program retains, so that each comes back to it when the kernel has released it. */
class Leases {
  readonly #ring: Lease[];

  constructor(io: Io, { bytes, count }: Job) {
    this.#ring = Array.from({ length: count }, () => {
      const lease = io.tryLease(bytes)!;
      lease.retain();
      return lease;
    });
  }

  at(i: number): Lease {
    return this.#ring[i];
  }

  close(): void {
    for (const lease of this.#ring) while (lease.state === "leased") lease.release();
  }
}

/** An io with room for the payloads and those in flight. */
function openFor({ bytes, count }: Job, options: OpenOptions): Promise<Io> {
  return open({ arenaBytes: (bytes + 64) * (count + 2 * BATCH), ...options });
}

/** Looks for completions before other tasks get their turn. */
const TRIES = 64;

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
      io.flush();
      // The last notifications arrive within microseconds; a turn of the event loop takes longer.
      for (let tries = 1; io.reap(onEvent), released < BATCH; tries++) {
        if (tries % TRIES === 0) await new Promise((turn) => setImmediate(turn));
      }
    }
  };
}

/** Ringlet over UDP, without promises. */
async function udpBatch(options: OpenOptions, job: Job): Promise<Sender> {
  const io = await openFor(job, options);
  const socket = await io.bindUdp({ remote: job.to });
  const leases = new Leases(io, job);
  return {
    payload: (i) => leases.at(i).bytes,
    send: batches(io, socket, leases),
    close: () => (leases.close(), io.close()),
  };
}

/** Ringlet over UDP, with a promise per send and one per release. */
async function udpPromises(job: Job, engine: "uring" | "errqueue" = "errqueue"): Promise<Sender> {
  const io = await openFor(job, { engine, zeroCopyThresholdBytes: 0 });
  const socket = await io.bindUdp({ remote: job.to });
  const leases = new Leases(io, job);
  return {
    payload: (i) => leases.at(i).bytes,
    async send(from, count) {
      for (let at = from; at < from + count; at += BATCH) {
        const sends = Array.from({ length: BATCH }, (_, i) => socket.send(leases.at(at + i)));
        for (const receipt of await Promise.all(sends)) await receipt.released;
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
  errqueue: (job) => udpBatch({ engine: "errqueue" }, job),
  copy: (job) => udpBatch({ engine: "copy" }, job),
  uring: (job) => udpBatch({ engine: "uring", zeroCopyThresholdBytes: 0 }, job),
  uringCopy: (job) => udpBatch({ engine: "uring", zeroCopy: "never" }, job),
  uringPromises: (job) => udpPromises(job, "uring"),
  udpPromises,
  denoDatagram,
  tcp: (job) => tcp(BATCH, job),
  tcpAwaited: (job) => tcp(1, job),
  tcpBatch,
  denoConn,
});
