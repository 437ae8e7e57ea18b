/**
 * Ringlet as a contender: each way to send, through the batch calls and with promises.
 *
 * @module
 */
import type { Io } from "../net/io.ts";
import type { Lease } from "../net/lease.ts";
import { open, type OpenOptions, openWithin } from "../net/open.ts";
import type { TcpConn } from "../net/tcp.ts";
import type { DatagramOptions } from "../net/datagram_sends.ts";
import type { Destination } from "../net/destinations.ts";
import type { UdpSocket } from "../net/udp.ts";
import { Alarm } from "./alarm.ts";
import { type Job, type Sender, serve, type Traveller } from "./rounds.js";

/** How a contender sends. */
interface Way {
  readonly options: OpenOptions;
  /** The arena is registered: it has to be, or must not be. */
  readonly registered?: boolean;
}

const ZERO_COPY = { engine: "uring", zeroCopy: "always", zeroCopyThresholdBytes: 0 } as const;

const WAYS: Record<string, Way> = {
  copy: { options: { engine: "uring", zeroCopy: "never" } },
  zc: { options: ZERO_COPY, registered: false },
  fixed: { options: ZERO_COPY, registered: true },
  auto: { options: {} },
  errqueue: { options: { engine: "errqueue" } },
  copyEngine: { options: { engine: "copy" } },
};

/** Leases lie 64 bytes apart, and there is room for a few more. */
const SPARE_BYTES = 64;
const SPARE_LEASES = 64;

/** A socket of either kind. */
type Socket = UdpSocket | TcpConn;

/** What the paths work with: sockets, and payloads in leases that the program retains, so that each comes back to it. */
class Bench {
  readonly io: Io;
  readonly sockets: readonly Socket[];
  readonly leases: readonly Lease[];
  readonly depth: number;
  /** Sends that are made together. */
  readonly together: number;
  /** What is said of the sends of each payload, which are as many. */
  readonly options: readonly (DatagramOptions | undefined)[];
  readonly #conn: TcpConn | undefined;
  readonly #answer: Lease;
  #turn = 0;

  constructor(
    io: Io,
    sockets: readonly Socket[],
    { bytes, count, depth, segmentBytes }: Job,
    stream: boolean,
    way: Way,
    destinations: readonly Destination[],
  ) {
    this.io = io;
    this.sockets = sockets;
    this.leases = Array.from({ length: count }, () => io.tryLease(bytes)!.retain());
    this.depth = depth;
    const options = segmentBytes === 0 ? undefined : { segmentBytes };
    this.options = destinations.length === 0 ? [options] : destinations.map((to) => ({ ...options, to }));
    // The notifications of a stream come with the peer's acknowledgement, which may be delayed by 40 ms until more comes: so
    // two batches take turns there.
    this.together = stream && way.options.zeroCopy === "always" ? Math.ceil(depth / 2) : depth;
    this.#conn = stream ? sockets[0] as TcpConn : undefined;
    this.#answer = io.tryLease(1)!;
  }

  /** The socket whose turn it is. */
  next(): Socket {
    const socket = this.sockets[this.#turn];
    this.#turn = this.#turn + 1 < this.sockets.length ? this.#turn + 1 : 0;
    return socket;
  }

  /** The receiver of a stream tells when all has arrived. */
  async arrived(): Promise<void> {
    await this.#conn?.recv(this.#answer);
  }

  async close(): Promise<void> {
    for (const lease of this.leases) lease.release();
    this.#answer.release();
    await this.io.close();
  }
}

/** `trySend`, `flush`, `reap` and `reapable`. */
function batch(bench: Bench): Sender["send"] {
  const { io, leases, depth, together, options } = bench;
  let lent = 0;
  const onEvent = (_id: number, event: string) => {
    if (event === "released") lent -= 1;
    else if (event !== "accepted") throw new Error(`a send was ${event}`);
  };
  return async (from, count) => {
    let lease = from, to = 0;
    for (let left = count * options.length; left > 0;) {
      const n = Math.min(together, left);
      for (let i = 0; i < n; i++) {
        if (bench.next().trySend(leases[lease], options[to]) < 0) throw new Error("there was no room for a send");
        if (++to === options.length) {
          lease += 1;
          to = 0;
        }
      }
      left -= n;
      lent += n;
      io.flush();
      // Room for the next ones; at the end, nothing left.
      const most = left > 0 ? depth - Math.min(together, left) : 0;
      while (io.reap(onEvent), lent > most) await io.reapable();
    }
    await bench.arrived();
  };
}

/** A promise for each send, and one for its release. */
function promises(bench: Bench): Sender["send"] {
  const { leases, depth, together, options: [options] } = bench;
  return async (from, count) => {
    const end = from + count;
    let before: Promise<unknown> | undefined;
    for (let at = from; at < end; at += together) {
      const batch = leases.slice(at, Math.min(at + together, end));
      const receipts = await Promise.all(batch.map((lease) => bench.next().send(lease, options)));
      const released = Promise.all(receipts.map((receipt) => receipt.released));
      await (together < depth ? before : released);
      before = released;
    }
    await before;
    await bench.arrived();
  };
}

/** One send at a time, as a program that only streams a file would. */
function awaited(bench: Bench): Sender["send"] {
  const { leases, options: [options] } = bench;
  return async (from, count) => {
    for (let i = from; i < from + count; i++) await bench.next().send(leases[i], options);
    await bench.arrived();
  };
}

/** A promise for all destinations of a payload. */
function fanOut({ leases, sockets: [socket], options }: Bench): Sender["send"] {
  const destinations = options.map((each) => each!.to!);
  return async (from, count) => {
    for (const lease of leases.slice(from, from + count)) {
      const { accepted, released } = await (socket as UdpSocket).fanOut(lease, destinations);
      if (accepted !== destinations.length) throw new Error(`${accepted} were accepted`);
      await released;
    }
  };
}

async function openFor({ bytes, count }: Job, { options, registered }: Way): Promise<Io> {
  const arenaBytes = (bytes + SPARE_BYTES) * (count + SPARE_LEASES);
  const io = await openWithin(registered === false ? { registeredBytes: 0 } : {}, { ...options, arenaBytes });
  if (registered !== true || io.capabilities.registeredBytes >= arenaBytes) return io;
  await io.close();
  throw Object.assign(new Error("the arena cannot be registered: RLIMIT_MEMLOCK"), { code: "ENOMEM" });
}

const PATHS = { batch, promises, awaited, fanOut, saying: batch };

async function sender(transport: string, path: keyof typeof PATHS, way: Way, job: Job): Promise<Sender> {
  const io = await openFor(job, way);
  const sockets: Socket[] = [];
  const maxInFlightBytes = 2 ** 32 - 1;
  const remote = job.destinations === 1 ? job.to : undefined;
  // Trains are cut as their socket says, or as each of them does.
  const [ofSocket, ofSends] = path === "saying" ? [0, job.segmentBytes] : [job.segmentBytes, 0];
  for (let i = 0; i < job.sockets; i++) {
    sockets.push(
      transport === "udp"
        ? await io.bindUdp({ remote, segmentBytes: ofSocket || undefined, maxInFlightBytes })
        : await io.connect({ ...job.to, maxInFlightBytes, noDelay: true }),
    );
  }
  const destinations = [];
  for (let i = 0; job.destinations > 1 && i < job.destinations; i++) {
    destinations.push(await (sockets[0] as UdpSocket).destination({ ...job.to, port: job.to.port + i }));
  }
  const bench = new Bench(io, sockets, { ...job, segmentBytes: ofSends }, transport === "tcp", way, destinations);
  return { payload: (i) => bench.leases[i].bytes, send: PATHS[path](bench), close: () => bench.close() };
}

/** A message and its answer, with promises. */
async function trip(job: Job): Promise<Traveller> {
  const io = await open();
  const conn = await io.connect({ ...job.to, noDelay: true });
  const message = (await io.lease(job.bytes)).retain();
  const answer = await io.lease(job.bytes);
  return {
    async trip() {
      await conn.send(message);
      for (let left = job.bytes; left > 0;) left -= (await conn.recv(answer))!;
    },
    close: () => io.close(),
  };
}

/** From a datagram's arrival at a sleeping process to the end of its `recv`. */
async function wake({ bytes }: Job, { options }: Way): Promise<Traveller> {
  const io = await open(options);
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  const lease = await io.lease(bytes);
  const alarm = new Alarm(udp.localAddr.port);
  return {
    async trip() {
      alarm.set();
      await udp.recv(lease);
      return alarm.elapsedMs();
    },
    async close() {
      await alarm.close();
      await io.close();
    },
  };
}

const contenders: Record<string, (job: Job) => Promise<Sender | Traveller>> = { trip };
for (const name of ["auto", "errqueue"]) contenders[`wake-${name}`] = (job) => wake(job, WAYS[name]);
for (const transport of ["udp", "tcp"]) {
  for (const path of Object.keys(PATHS) as (keyof typeof PATHS)[]) {
    for (const [name, way] of Object.entries(WAYS)) {
      contenders[`${transport}-${path}-${name}`] = (job) => sender(transport, path, way, job);
    }
  }
}
await serve(contenders);
