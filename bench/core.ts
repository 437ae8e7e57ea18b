/**
 * The core's hot paths as multiples of an empty WebAssembly call from JavaScript.
 *
 * @module
 */
import { type Core, createCore } from "../wasm/mod.ts";
import { type Row, row, type Target } from "./measure.ts";
import type { Size } from "./options.ts";

const LEASES = 64;
const BATCH = 32;
const SEND_BYTES = 60_000;

/** Does `count` operations. */
type Cell = (count: number) => void;

/** Sends, accepts, completes and takes the events of retained leases, so that no carving is in it. */
function lending(core: Core): { single: Cell; batched: Cell } {
  const { raw, u32, out, regions } = core;
  const socket = raw.socket_new(1, 0xffff_ffff, 0);
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
  const socket = raw.socket_new(0, 0xffff_ffff, 0);
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
      if (left > 0) raw.send_cancel(send, sendGeneration, 0);
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

/** Calls of a cell in one round. */
const CALLS = { quick: 64_000, full: 320_000 };
/** They are short, so that there can be more of them than elsewhere. */
const ROUNDS = { quick: 15, full: 41 };
/** Rounds before those, for the compilers to finish. */
const WARM_UPS = 3;

/** What a cell should cost at most, by the start of its name. */
const TARGETS: Record<string, number> = { ledger: 8, carve: 20 };

/** The rows of the core. */
// deno-lint-ignore require-await -- like the other parts
export async function core({ quick }: Size): Promise<Row[]> {
  const calls = quick ? CALLS.quick : CALLS.full;
  const rounds = quick ? ROUNDS.quick : ROUNDS.full;
  const { raw } = createCore({ arenaBytes: 65_536 });
  const lend = lending(createCore({ arenaBytes: 64 << 20 }));
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
  for (let round = -WARM_UPS; round < rounds; round++) {
    for (const [name, cell] of Object.entries(cells)) {
      const start = performance.now();
      cell(calls);
      if (round >= 0) (times[name] ??= []).push((performance.now() - start) * 1e6 / calls);
    }
  }
  const [[peer, empty], ...others] = Object.entries(times);
  return others.map(([name, values]) => {
    const start = Object.keys(TARGETS).find((start) => name.startsWith(start));
    const target: Target | undefined = start === undefined ? undefined : ["at most", TARGETS[start]];
    return row(name, "ns", values, peer, empty, target);
  });
}
