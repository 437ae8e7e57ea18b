import "./setup.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { type Core, CoreError, createCore, type Handle } from "../../wasm/mod.ts";

const ARENA = 4 * 65_536;

/** Takes, cuts, retains and returns leases at random, with a plain list of ranges beside it. */
class Carving {
  model = new Map<Handle, Range>();
  real = createCore({ arenaBytes: ARENA, maxLeases: 40, maxSends: 1, maxSockets: 1, windowIds: 1 });
}

interface Range {
  start: number;
  end: number;
  /** All parts of it have come back when the memory does. */
  block: { end: number; parts: number };
  holds: number;
}

type Step = fc.Command<Map<Handle, Range>, Core>;

function nth(model: Map<Handle, Range>, i: number): [Handle, Range] {
  return [...model][i % model.size];
}

const take = fc.tuple(fc.integer({ min: 1, max: 70_000 }), fc.integer({ min: 0, max: 13 })).map(
  ([bytes, power]): Step => ({
    check: () => true,
    run(model, core) {
      if (model.size === 40) return void assertThrows(() => core.take(bytes), CoreError, "table is full");
      const align = 64 << power >>> 1;
      const lease = core.take(bytes, align);
      if (lease === undefined) {
        // It may only refuse what is large beside the longest free stretch.
        const needed = (Math.ceil(bytes / 64) * 64 + align) * 33 / 32 + 64;
        assert(core.stats().largestFreeBytes < needed, `${bytes} bytes at ${align} would fit`);
        return;
      }
      const { offset, bytes: got } = core.describe(lease);
      assertEquals(got, bytes);
      assertEquals(offset % Math.max(align, 64), 0);
      const end = offset + bytes;
      assert(end <= ARENA);
      for (const other of model.values()) {
        assert(end <= other.start || offset >= other.block.end, "memory was given out twice");
      }
      const block = { end: offset + Math.ceil(bytes / 64) * 64, parts: 1 };
      model.set(lease, { start: offset, end, block, holds: 0 });
    },
    toString: () => `take(${bytes}, ${64 << power >>> 1})`,
  }),
);

const release = fc.nat().map((i): Step => ({
  check: (model) => model.size > 0,
  run(model, core) {
    const [lease, range] = nth(model, i);
    const last = range.holds === 0;
    assertEquals(core.release(lease), last);
    if (!last) return void range.holds--;
    range.block.parts--;
    model.delete(lease);
    const error = assertThrows(() => core.release(lease), CoreError);
    assertEquals(error.code, "ERR_LEASE_STALE");
  },
  toString: () => `release(${i})`,
}));

const retain = fc.nat().map((i): Step => ({
  check: (model) => model.size > 0,
  run(model, core) {
    const [lease, range] = nth(model, i);
    core.retain(lease);
    range.holds++;
  },
  toString: () => `retain(${i})`,
}));

const cut = fc.tuple(fc.nat(), fc.nat()).map(([i, where]): Step => ({
  check: (model) => model.size > 0 && model.size < 40,
  run(model, core) {
    const [lease, range] = nth(model, i);
    const at = where % (range.end - range.start + 1);
    if (range.holds > 0) return void assertThrows(() => core.cut(lease, at), CoreError, "lent or retained");
    if (at === 0 || at === range.end - range.start) {
      return void assertThrows(() => core.cut(lease, at), CoreError, "out of bounds");
    }
    const rest = core.cut(lease, at);
    range.block.parts++;
    model.set(rest, { ...range, start: range.start + at });
    range.end = range.start + at;
    const { offset, bytes } = core.describe(rest);
    assertEquals([core.describe(lease).bytes, offset], [at, range.end]);
    assertEquals(offset + bytes, model.get(rest)!.end);
  },
  toString: () => `cut(${i}, ${where})`,
}));

test("leases are aligned, never overlap, and all come back", () => {
  fc.assert(fc.property(fc.commands([take, take, release, retain, cut], { maxCommands: 150 }), (commands) => {
    const setup = new Carving();
    fc.modelRun(() => setup, commands);
    for (const [lease, { holds }] of setup.model) {
      for (let i = 0; i <= holds; i++) setup.real.release(lease);
    }
    const { freeBytes, largestFreeBytes, leases } = setup.real.stats();
    assertEquals([freeBytes, largestFreeBytes, leases], [ARENA, ARENA, 0]);
  }));
});

test("the whole arena is one lease, at any alignment up to it", () => {
  const core = createCore({ arenaBytes: ARENA });
  const whole = core.take(ARENA, ARENA)!;
  assertEquals(core.describe(whole).offset, 0);
  assertEquals(core.take(1), undefined);
  assert(core.release(whole));
  assertEquals(core.describe(core.take(ARENA)!).bytes, ARENA);
});

test("no lease crosses a piece", () => {
  const core = createCore({ arenaBytes: ARENA, pieceBytes: 65_536 });
  for (let i = 0; i < 4; i++) assertEquals(core.describe(core.take(40_000)!).offset, i * 65_536);
  assertEquals(core.take(40_000), undefined);
  assertEquals(core.describe(core.take(25_000)!).bytes, 25_000);
  const error = assertThrows(() => core.take(65_537), CoreError);
  assertEquals(error.code, "ERR_OUT_OF_RANGE");
});

test("an arena of nearly 4 GiB is carved without touching it", () => {
  const arenaBytes = 2 ** 32 - 65_536;
  const core = createCore({ arenaBytes });
  assertEquals(core.stats().freeBytes, arenaBytes);
  const low = core.take(1 << 30)!;
  const high = core.take(2 ** 31 - 65_536, 2 ** 31)!;
  assertEquals([core.describe(low).offset, core.describe(high).offset], [0, 2 ** 31]);
  core.release(low);
  core.release(high);
  assertEquals(core.describe(core.take(arenaBytes)!).bytes, arenaBytes);
});

test("a lease splits into segments", () => {
  const core = createCore({ arenaBytes: 65_536 });
  const segments = core.split(core.take(10_000)!, 1_400);
  assertEquals(segments.length, 8);
  assertEquals(segments.map((segment) => core.describe(segment).offset), segments.map((_, i) => i * 1_400));
  for (const segment of segments.slice(1)) core.release(segment);
  assertEquals(core.stats().freeBytes, 65_536 - Math.ceil(10_000 / 64) * 64);
  core.release(segments[0]);
  assertEquals(core.stats().freeBytes, 65_536);
});
