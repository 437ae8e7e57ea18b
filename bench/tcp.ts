/**
 * TCP over loopback, to one receiver in another process.
 *
 * @module
 */
import { lastLevelCacheBytes } from "./cache.ts";
import { type Cell, type Command, deno, hasNode, Lines, node } from "./child.ts";
import { contest, type Pair } from "./contest.ts";
import { CPU, type Row, SPEED, type Target } from "./measure.ts";
import type { BenchOptions } from "./options.ts";

const AWAITED = "auto, one at a time";
const PIPELINED = "auto";
const BATCH = "auto, batch";
const DENO = "Deno.Conn.write";
const DENO_NET = "node:net (Deno)";
const NODE_NET = "node:net (Node)";

const CELLS: readonly (readonly [name: string, payloadBytes: number, target: Target])[] = [
  ["TCP 64 KiB", 64 << 10, ["at least", 1.2]],
  ["TCP 1 MiB", 1 << 20, ["at least", 0.9]],
];

/** The rows of TCP. */
export async function tcp(size: BenchOptions): Promise<Row[]> {
  const rotationBytes = 2 * lastLevelCacheBytes();
  const commands = new Map<string, Command>([
    [PIPELINED, deno("deno_senders.ts", ["tcp"])],
    [AWAITED, deno("deno_senders.ts", ["tcpAwaited"])],
    [BATCH, deno("deno_senders.ts", ["tcpBatch"])],
    [DENO, deno("deno_senders.ts", ["denoConn"])],
    [DENO_NET, deno("node_senders.js", ["net"])],
  ]);
  if (await hasNode()) commands.set(NODE_NET, node("node_senders.js", ["net"]));
  const rows: Row[] = [];
  const sink = new Lines(deno("sink.ts", [`${rotationBytes}`]));
  try {
    const to = { hostname: "127.0.0.1", port: Number(await sink.next()) };
    for (const [name, payloadBytes, target] of CELLS) {
      const payloads = rotationBytes / payloadBytes;
      const cell: Cell = { name, payloads, writing: "before" };
      const pairs: Pair[] = [];
      for (const peer of [DENO, DENO_NET, NODE_NET]) {
        pairs.push([PIPELINED, peer, SPEED, target], [PIPELINED, peer, CPU], [AWAITED, peer, SPEED], [
          BATCH,
          peer,
          SPEED,
        ]);
      }
      rows.push(...await contest({ to, payloadBytes, payloads }, commands, [{ cell, pairs }], size));
    }
  } finally {
    await sink.close();
  }
  return rows;
}
