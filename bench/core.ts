// The core's hot paths as multiples of an empty WebAssembly call from JavaScript.
//
//   deno run bench/core.ts [--json] [--quick]
//
// Rounds of all cells are interleaved and medians compared, so that a busy machine slows all of them alike.
import { type Core, createCore } from "../wasm/mod.ts";

/** One result. */
export interface Row {
  cell: string;
  ours: number;
  peer: number;
  peerName: string;
  ratio: number;
  unit: string;
}

const LEASES = 64;
const BATCH = 32;
const SEND_BYTES = 60_000;

/** Does `count` operations. */
type Cell = (count: number) => void;

/** Sends, accepts, completes and takes the events of retained leases, so that no carving is in it. */
function lending(core: Core): { single: Cell; batched: Cell } {
  const { raw, u32, out, regions } = core;
  const socket = raw.socket_new(1, 0xffff_ffff);
  const generation = u32[out];
  const slots: number[] = [];
  const generations: number[] = [];
  for (let i = 0; i < LEASES; i++) {
    slots[i] = raw.lease_take(SEND_BYTES, 64);
    generations[i] = u32[out];
    raw.lease_retain(slots[i], generations[i]);
  }
  const lengths = regions.BATCH / 4 + 14;
  let next = 0;
  const single: Cell = (count) => {
    for (let i = 0; i < count; i++) {
      const lease = i % LEASES;
      const send = raw.send_one(socket, generation, 1, 0, slots[lease], generations[lease], 0, SEND_BYTES);
      raw.accept(send, u32[out], SEND_BYTES, 1);
      if (raw.complete(socket, generation, next, next, 0) !== 1) throw new Error("nothing was completed");
      next = (next + 1) >>> 0;
      raw.events_take(2);
    }
  };
  const batched: Cell = (count) => {
    for (let i = 0; i < count; i += BATCH) {
      for (let j = 0; j < BATCH; j++) {
        const lease = (i + j) % LEASES;
        raw.send_one(socket, generation, 1, 0, slots[lease], generations[lease], 0, SEND_BYTES);
      }
      const messages = raw.batch_fill(socket, generation, BATCH);
      for (let j = 0; j < messages; j++) u32[lengths + j * 16] = SEND_BYTES;
      raw.batch_done(socket, generation, messages);
      if (raw.complete(socket, generation, next, (next + BATCH - 1) >>> 0, 0) !== BATCH) {
        throw new Error("not all were completed");
      }
      next = (next + BATCH) >>> 0;
      raw.events_take(raw.events_ready());
    }
  };
  return { single, batched };
}

/** The ledger alone: an id is given for one more byte of a long stream send, and completed. */
function counting(core: Core): Cell {
  const { raw, u32, out } = core;
  const socket = raw.socket_new(0, 0xffff_ffff);
  const generation = u32[out];
  const bytes = 1 << 30;
  const lease = raw.lease_take(bytes, 64);
  const leaseGeneration = u32[out];
  raw.lease_retain(lease, leaseGeneration);
  let next = 0;
  let left = 0;
  let send = 0;
  let sendGeneration = 0;
  return (count) => {
    if (left <= count) {
      if (left > 0) raw.send_cancel(send, sendGeneration);
      raw.events_take(raw.events_ready());
      send = raw.send_one(socket, generation, 1, 0, lease, leaseGeneration, 0, bytes);
      sendGeneration = u32[out];
      left = bytes;
    }
    left -= count;
    for (let i = 0; i < count; i++) {
      raw.accept(send, sendGeneration, 1, 1);
      if (raw.complete(socket, generation, next, next, 0) !== 1) throw new Error("nothing was completed");
      next = (next + 1) >>> 0;
    }
  };
}

/** Takes and returns leases of mixed sizes, with others between them so that blocks are split and merged. */
function carving(core: Core): Cell {
  const { raw, u32, out } = core;
  const sizes = [1_400, 60_000, 200, 16_384, 4_096, 65_536, 9_000, 512];
  const held: [slot: number, generation: number][] = [];
  for (let i = 0; i < 256; i++) held.push([raw.lease_take(sizes[i & 7], 64), u32[out]]);
  for (let i = 0; i < 256; i += 2) raw.lease_release(...held[i]);
  return (count) => {
    for (let i = 0; i < count; i++) {
      const slot = raw.lease_take(sizes[i & 7], 64);
      if (raw.lease_release(slot, u32[out]) !== 1) throw new Error("not returned");
    }
  };
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** Runs everything and returns the rows. */
export function run(quick: boolean): Row[] {
  const count = quick ? 64_000 : 320_000;
  const rounds = quick ? 15 : 41;
  const lend = lending(createCore({ arenaBytes: 64 << 20 }));
  const { raw } = createCore({ arenaBytes: 65_536 });
  const cells: Record<string, Cell> = {
    "empty call": (count) => {
      for (let i = 0; i < count; i++) raw.version();
    },
    "ledger: lend an id + complete it": counting(createCore({ arenaBytes: 1 << 30 })),
    "a whole send, in batches of 32": lend.batched,
    "a whole send, one by one": lend.single,
    "carve + return": carving(createCore({ arenaBytes: 64 << 20 })),
  };
  const times: Record<string, number[]> = {};
  for (let round = -3; round < rounds; round++) {
    for (const [name, cell] of Object.entries(cells)) {
      const start = performance.now();
      cell(count);
      // The first rounds let the compilers finish.
      if (round >= 0) (times[name] ??= []).push((performance.now() - start) * 1e6 / count);
    }
  }
  const [[peerName, empty], ...rest] = Object.entries(times);
  const peer = median(empty);
  return rest.map(([cell, values]) => {
    const ours = median(values);
    return { cell, ours, peer, peerName, ratio: ours / peer, unit: "ns" };
  });
}

if (import.meta.main) {
  const rows = run(Deno.args.includes("--quick"));
  if (Deno.args.includes("--json")) {
    console.log(JSON.stringify(rows));
  } else {
    for (const { cell, ours, peer, ratio } of rows) {
      console.log(
        `${cell.padEnd(36)} ${ours.toFixed(1)} ns = ${ratio.toFixed(1)} × empty call (${peer.toFixed(2)} ns)`,
      );
    }
  }
}
