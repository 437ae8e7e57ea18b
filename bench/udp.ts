/**
 * UDP on a device that lets packets leave: large datagrams through Ringlet, the runtimes' own sockets and C.
 *
 * @module
 */
import { lastLevelCacheBytes } from "./cache.ts";
import { type Cell, type Command, compile, deno, hasNode, node } from "./child.ts";
import { contest, type Pair } from "./contest.ts";
import { CPU, type Row, SPEED } from "./measure.ts";
import type { BenchOptions } from "./options.ts";

const PAYLOAD_BYTES = 60_000;
/** Payloads that stay in the cache; a batch. */
const HOT_PAYLOADS = 32;
const COLD_PAYLOADS = Math.ceil(2 * lastLevelCacheBytes() / PAYLOAD_BYTES / HOT_PAYLOADS) * HOT_PAYLOADS;

const BATCH = "errqueue";
const PROMISES = "errqueue, promises";
const COPY = "copy";
const DENO = "Deno.listenDatagram";
const DENO_DGRAM = "node:dgram (Deno)";
const NODE_DGRAM = "node:dgram (Node)";
const C_COPY = "C copy";
const C_ZERO_COPY = "C zero-copy";

const COLD: Cell = { name: "UDP 60,000 B", payloads: COLD_PAYLOADS, writing: "before" };
const WITHIN: Cell = { ...COLD, name: "UDP 60,000 B, writing timed", writing: "within" };
const HOT: Cell = { ...COLD, name: "UDP 60,000 B, hot cache", payloads: HOT_PAYLOADS };

const PAIRS: readonly Pair[] = [
  [BATCH, DENO, SPEED, ["at least", 2]],
  [BATCH, DENO_DGRAM, SPEED, ["at least", 1.5]],
  [BATCH, NODE_DGRAM, SPEED, ["at least", 1.5]],
  [BATCH, COPY, SPEED, ["at least", 1.5]],
  [BATCH, COPY, CPU, ["at most", 1]],
  [BATCH, DENO, CPU],
  [BATCH, NODE_DGRAM, CPU],
  [BATCH, C_ZERO_COPY, SPEED],
  [PROMISES, DENO, SPEED],
  [PROMISES, NODE_DGRAM, SPEED],
  [PROMISES, COPY, SPEED],
  [PROMISES, COPY, CPU],
  [C_ZERO_COPY, C_COPY, SPEED],
  [C_ZERO_COPY, C_COPY, CPU],
];

/** The rows of UDP. */
export async function udp({ device, folder, ...size }: BenchOptions): Promise<Row[]> {
  if (device === undefined) return [];
  const commands = new Map<string, Command>([
    [BATCH, deno("deno_senders.ts", ["errqueue"])],
    [PROMISES, deno("deno_senders.ts", ["udpPromises"])],
    [COPY, deno("deno_senders.ts", ["copy"])],
    [DENO, deno("deno_senders.ts", ["denoDatagram"])],
    [DENO_DGRAM, deno("node_senders.js", ["dgram"])],
  ]);
  if (await hasNode()) commands.set(NODE_DGRAM, node("node_senders.js", ["dgram"]));
  const program = await compile("udp_copy_zc.c", folder);
  if (program !== undefined) commands.set(C_COPY, [program, "copy"]).set(C_ZERO_COPY, [program, "zerocopy"]);

  const untargeted = PAIRS.map(([ours, peer, metric]): Pair => [ours, peer, metric]);
  const matches = [{ cell: COLD, pairs: PAIRS }, { cell: WITHIN, pairs: untargeted }, { cell: HOT, pairs: untargeted }];
  return await contest({ to: device, payloadBytes: PAYLOAD_BYTES, payloads: COLD_PAYLOADS }, commands, matches, size);
}
