/**
 * UDP on a device that lets packets leave: large datagrams through Ringlet and through the runtime's own sockets.
 *
 * @module
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { open } from "../mod.ts";
import type { EngineName } from "../net/engine.ts";
import { ceiling } from "./ceiling.ts";
import { type Bound, compete, CPU, type Metric, row, type Row, SPEED } from "./measure.ts";
import { arenaBytes, BATCH, buffers, cold, contender, hot, Leases, type Rotation, type Sender } from "./payloads.ts";
import type { Size } from "./size.ts";

const PAYLOAD_BYTES = 60_000;
/** The discard service, at an address of the benchmark's device that nobody has. */
export interface Destination {
  hostname: string;
  port: number;
}

/** Ringlet through `trySend`, `flush` and `reap`. */
export async function ringletBatch(engine: EngineName, to: Destination, rotation: Rotation): Promise<Sender> {
  await using stack = new AsyncDisposableStack();
  const io = stack.use(await open({ engine, arenaBytes: arenaBytes(rotation), onForgottenLease: () => {} }));
  const socket = await io.bindUdp({ remote: to });
  const leases = new Leases(io, rotation);
  let ended = 0;
  const onEvent = (_id: number, event: string) => {
    if (event === "released") ended += 1;
    else if (event !== "accepted") throw new Error(`a send was ${event}`);
  };
  const owned = stack.move();
  return {
    name: engine,
    payload: (i) => leases.at(i).bytes,
    async send(from, count) {
      for (let at = from; at < from + count; at += BATCH) {
        ended = 0;
        for (let i = at; i < at + BATCH; i++) socket.trySend(leases.at(i));
        io.flush();
        for (;;) {
          io.reap(onEvent);
          if (ended === BATCH) break;
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
        leases.renew(at, BATCH);
      }
    },
    close: () => owned.disposeAsync(),
  };
}

/** Ringlet through promises. */
export async function ringletPromises(engine: EngineName, to: Destination, rotation: Rotation): Promise<Sender> {
  await using stack = new AsyncDisposableStack();
  const io = stack.use(await open({ engine, arenaBytes: arenaBytes(rotation) }));
  const socket = await io.bindUdp({ remote: to });
  const leases = new Leases(io, rotation);
  const owned = stack.move();
  return {
    name: `${engine}, a promise per send`,
    payload: (i) => leases.at(i).bytes,
    async send(from, count) {
      for (let at = from; at < from + count; at += BATCH) {
        const sends = Array.from({ length: BATCH }, (_, i) => socket.send(leases.at(at + i)));
        for (const receipt of await Promise.all(sends)) await receipt.released;
        leases.renew(at, BATCH);
      }
    },
    close: () => owned.disposeAsync(),
  };
}

// deno-lint-ignore require-await -- as the other senders
async function denoDatagram(to: Destination, rotation: Rotation): Promise<Sender> {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: 0 });
  const address: Deno.Addr = { transport: "udp", ...to };
  const payloads = buffers(rotation);
  return {
    name: "Deno.listenDatagram",
    payload: (i) => payloads[i],
    async send(from, count) {
      for (let at = from; at < from + count; at += BATCH) {
        await Promise.all(payloads.slice(at, at + BATCH).map((payload) => socket.send(payload, address)));
      }
    },
    close: () => socket.close(),
  };
}

async function nodeDgram(to: Destination, rotation: Rotation): Promise<Sender> {
  const socket = createSocket("udp4");
  socket.connect(to.port, to.hostname);
  await once(socket, "connect");
  const payloads = buffers(rotation);
  return {
    name: "node:dgram",
    payload: (i) => payloads[i],
    async send(from, count) {
      for (let at = from; at < from + count; at += BATCH) {
        await new Promise<void>((resolve, reject) => {
          let left = BATCH;
          const onSent = (error: Error | null) => {
            if (error) reject(error);
            else if (--left === 0) resolve();
          };
          for (let i = at; i < at + BATCH; i++) socket.send(payloads[i], onSent);
        });
      }
    },
    close: () => void socket.close(),
  };
}

const RINGLET = "errqueue";
const PROMISES = "errqueue, a promise per send";
const COPY = "copy";

type Target = readonly [metric: Metric, peer: string, bound: Bound, target: number];

const TARGETS: readonly Target[] = [
  [SPEED, "Deno.listenDatagram", "at least", 2],
  [SPEED, "node:dgram", "at least", 1.5],
  [SPEED, COPY, "at least", 1.5],
  [CPU, COPY, "at most", 1],
];

/** The rows of UDP. */
export async function udpRows(to: Destination, size: Size): Promise<Row[]> {
  const rows: Row[] = [];
  const cells = [
    ["UDP 60,000 B", cold(PAYLOAD_BYTES, size.roundBytes), TARGETS],
    ["UDP 60,000 B, writing timed too", cold(PAYLOAD_BYTES, size.roundBytes, "within"), []],
    ["UDP 60,000 B, hot cache", hot(PAYLOAD_BYTES, size.roundBytes), []],
  ] as const;
  for (const [cell, rotation, targets] of cells) {
    const senders = [
      await ringletBatch("errqueue", to, rotation),
      await ringletPromises("errqueue", to, rotation),
      await ringletBatch("copy", to, rotation),
      await denoDatagram(to, rotation),
      await nodeDgram(to, rotation),
    ];
    const contenders = senders.map((sender) => contender(sender, rotation));
    const results = await compete([...contenders, ...await ceiling(to, rotation)], size.rounds);
    const pairs = [...results.keys()].filter((name) => name !== RINGLET).map((name) => [RINGLET, name]);
    pairs.push([PROMISES, "Deno.listenDatagram"], [PROMISES, "node:dgram"]);
    if (results.has("C zero-copy")) pairs.push(["C zero-copy", "C copy"]);
    for (const metric of [SPEED, CPU]) {
      for (const [name, peer] of pairs) {
        const [, , ...target] = (name === RINGLET && targets.find(([m, p]) => m === metric && p === peer)) || [];
        const values = (of: string) => results.get(of)!.map(metric.of);
        const label = name === RINGLET ? cell : `${cell}: ${name}`;
        rows.push(row(label, metric.unit, values(name), [peer, values(peer)], target as [Bound, number] | []));
      }
    }
  }
  return rows;
}
