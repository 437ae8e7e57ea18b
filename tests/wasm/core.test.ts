import "./setup.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  Core,
  CoreError,
  type CoreErrorCode,
  type CoreOptions,
  createCore,
  layout,
  makeHandle,
} from "../../wasm/mod.ts";

function refuses(code: CoreErrorCode, action: () => unknown, words = ""): void {
  const error = assertThrows(action, CoreError, words);
  assertEquals(error.code, code, error.message);
}

test("bad options are refused with what is allowed", () => {
  const bad: [CoreErrorCode, unknown][] = [
    ["ERR_INVALID_ARG", undefined],
    ["ERR_INVALID_ARG", {}],
    ["ERR_INVALID_ARG", null],
    ["ERR_INVALID_ARG", { arenaBytes: 65_536, foo: 1 }],
    ["ERR_INVALID_ARG", { arenaBytes: 65_536, maxleases: 5 }],
    ["ERR_INVALID_ARG", { arenaBytes: "64" }],
    ["ERR_INVALID_ARG", { arenaBytes: NaN }],
    ["ERR_INVALID_ARG", { arenaBytes: 65_536.5 }],
    ["ERR_OUT_OF_RANGE", { arenaBytes: -65_536 }],
    ["ERR_OUT_OF_RANGE", { arenaBytes: 0 }],
    ["ERR_OUT_OF_RANGE", { arenaBytes: 65_537 }],
    ["ERR_OUT_OF_RANGE", { arenaBytes: 2 ** 32 }],
    ["ERR_OUT_OF_RANGE", { arenaBytes: 65_536, maxLeases: 0 }],
    ["ERR_OUT_OF_RANGE", { arenaBytes: 65_536, maxLeases: 2 ** 21 + 1 }],
    ["ERR_OUT_OF_RANGE", { arenaBytes: 65_536, windowIds: 1_000 }],
    ["ERR_OUT_OF_RANGE", { arenaBytes: 65_536, pieceBytes: 4_096 }],
    ["ERR_OUT_OF_RANGE", { arenaBytes: 65_536, maxSockets: 2 ** 21, windowIds: 2 ** 20 }],
    ["ERR_INVALID_ARG", { arenaBytes: 65_536, memory: new Uint8Array(8) }],
    ["ERR_OUT_OF_RANGE", { arenaBytes: 65_536, memory: new WebAssembly.Memory({ initial: 4, maximum: 4 }) }],
  ];
  for (const [code, options] of bad) refuses(code, () => createCore(options as CoreOptions), "Cannot create a core");
});

test("handles that name nothing are refused", () => {
  const core = createCore({ arenaBytes: 65_536 });
  const socket = core.socket();
  const lease = core.take(10)!;
  for (const handle of [NaN, -1, 0.5, Infinity, "1", undefined, null, 2 ** 60] as number[]) {
    refuses("ERR_INVALID_ARG", () => core.release(handle));
  }
  for (const handle of [0, makeHandle(0, 2), makeHandle(5, 1), Number.MAX_SAFE_INTEGER]) {
    refuses("ERR_LEASE_STALE", () => core.release(handle));
    refuses("ERR_LEASE_STALE", () => core.lend(socket, handle));
    refuses("ERR_STALE", () => core.lend(handle, lease));
    refuses("ERR_STALE", () => core.accept(handle, 1));
    refuses("ERR_STALE", () => core.complete(handle, 0, 0, false));
  }
  assertEquals(core.stats().staleHandles, 20);
  assertEquals(core.describe(lease).implicit, true, "nothing has changed");
});

test("bad numbers are refused", () => {
  const core = createCore({ arenaBytes: 65_536 });
  const socket = core.socket();
  const lease = core.take(100)!;
  refuses("ERR_INVALID_ARG", () => core.take(NaN));
  refuses("ERR_OUT_OF_RANGE", () => core.take(0));
  refuses("ERR_OUT_OF_RANGE", () => core.take(65_537));
  refuses("ERR_OUT_OF_RANGE", () => core.take(100, 96));
  refuses("ERR_OUT_OF_RANGE", () => core.take(100, 131_072));
  refuses("ERR_OUT_OF_RANGE", () => core.lend(socket, lease, { at: 50, bytes: 51 }));
  refuses("ERR_OUT_OF_RANGE", () => core.lend(socket, lease, { at: 100 }));
  refuses("ERR_OUT_OF_RANGE", () => core.lend(socket, lease, { bytes: 0 }));
  refuses("ERR_INVALID_ARG", () => core.socket({ kind: "raw" as "stream" }));
  for (const options of [null, 5, "stream", { kinds: "stream" }, { kind: Symbol("x") }] as never[]) {
    refuses("ERR_INVALID_ARG", () => core.socket(options), "make a socket");
  }
  for (const options of [null, 5, { byteLength: 5 }, { at: 5n }, { bytes: "5" }] as never[]) {
    refuses("ERR_INVALID_ARG", () => core.lend(socket, lease, options), "lend a lease");
  }
  refuses("ERR_OUT_OF_RANGE", () => core.complete(socket, 0, 2 ** 32, false));
  const send = core.lend(socket, lease);
  refuses("ERR_OUT_OF_RANGE", () => core.accept(send, 101));
  refuses("ERR_OUT_OF_RANGE", () => core.accept(send, 0));
});

test("full tables are errors, a full arena is not", () => {
  const core = createCore({ arenaBytes: 65_536, maxLeases: 2, maxSends: 1, maxSockets: 1 });
  const socket = core.socket();
  refuses("ERR_NO_SLOT", () => core.socket());
  const lease = core.take(65_536)!;
  assertEquals(core.take(1), undefined);
  core.retain(lease);
  core.lend(socket, lease);
  refuses("ERR_NO_SLOT", () => core.lend(socket, lease));
  refuses("ERR_BUSY", () => core.closeSocket(socket));
});

test("a split that would need too many leases changes nothing", () => {
  const core = createCore({ arenaBytes: 65_536, maxLeases: 8 });
  const lease = core.take(1_000)!;
  refuses("ERR_NO_SLOT", () => core.split(lease, 100));
  assertEquals([core.describe(lease).bytes, core.stats().leases, core.spareLeases], [1_000, 1, 7]);
  assertEquals(core.split(lease, 125).length, 8);
  assertEquals(core.spareLeases, 0);
});

test("a lease that a receive fills cannot be cut or sent", () => {
  const core = createCore({ arenaBytes: 65_536 });
  const { raw, u32, out } = core;
  const socket = core.socket();
  const slot = raw.lease_take(100, 64);
  const lease = makeHandle(slot, u32[out]);
  assertEquals(raw.lease_lend(slot, 1), 0);
  assertEquals(raw.lease_lend(slot, 1), layout.FAULT.BUSY);
  assertEquals(core.stats().inFlight, 1);
  refuses("ERR_LEASE_BUSY", () => core.cut(lease, 50));
  refuses("ERR_LEASE_BUSY", () => core.lend(socket, lease));
  assertEquals(raw.lease_unlend(slot, 1), 0);
  assertEquals(raw.lease_unlend(slot, 1), layout.FAULT.BUSY);
  assertEquals(core.cut(lease, 50) > 0, true);
});

test("cores do not share anything", () => {
  const [a, b] = [createCore({ arenaBytes: 65_536 }), createCore({ arenaBytes: 131_072 })];
  a.take(1_000);
  assertEquals([a.stats().leases, b.stats().leases], [1, 0]);
  assertEquals([a.stats().freeBytes, b.stats().freeBytes], [64_512, 131_072]);
  assert(a instanceof Core);
});

test("a handler that throws loses no event and gets none twice", () => {
  const core = createCore({ arenaBytes: 65_536 });
  const socket = core.socket();
  for (let i = 0; i < 3; i++) core.accept(core.lend(socket, core.take(10)!), 10, false);
  const seen: string[] = [];
  const note = (event: string, send: number) => {
    seen.push(`${event} ${send}`);
    if (seen.length === 3) throw new Error("enough");
  };
  assertThrows(() => core.drain(note), Error, "enough");
  assertEquals(core.drain(note), 3);
  assertEquals(new Set(seen).size, 6);
  refuses("ERR_BUSY", () => {
    core.accept(core.lend(socket, core.take(10)!), 10, false);
    core.drain(() => void core.drain(() => {}));
  });
});

test("memory does not grow with the number of sends", () => {
  const core = createCore({ arenaBytes: 65_536, maxLeases: 4, maxSends: 4, maxSockets: 1, windowIds: 4 });
  const socket = core.socket();
  const before = core.memory.buffer.byteLength;
  let id = 0;
  for (let i = 0; i < 100_000; i++) {
    core.accept(core.lend(socket, core.take(1_000)!), 1_000);
    core.complete(socket, id, id, false);
    id = core.seq.next(id);
    core.drain(() => {});
  }
  assertEquals(core.memory.buffer.byteLength, before);
  assertEquals(core.u8.byteLength, before, "no view was detached");
  const { lent, released, maxInFlight } = core.stats();
  assertEquals([lent, released, maxInFlight], [100_000, 100_000, 1]);
});

test("regions are apart, page-aligned, and as large as the layout says", () => {
  const { regions, memory } = createCore({ arenaBytes: 1 << 20, maxLeases: 100, maxSends: 10, maxSockets: 3 });
  const { OUT, COUNTERS, EVENTS, LEASES, SENDS, SOCKETS, BATCH, SCRATCH, END } = regions;
  const bounds: [number, number][] = [
    [OUT, layout.OUT_WORDS * 4],
    [COUNTERS, layout.COUNTERS.length * 8],
    [EVENTS, 2 * 10 * layout.EVENT_BYTES],
    [LEASES, 100 * layout.LEASE.BYTES],
    [SENDS, 10 * layout.SEND.BYTES],
    [SOCKETS, 3 * layout.SOCKET.BYTES],
    [BATCH, layout.BATCH.MESSAGES * layout.BATCH.BYTES],
    [SCRATCH, layout.SCRATCH_BYTES],
  ];
  let last = 0;
  for (const [start, bytes] of bounds) {
    assertEquals(start % 4_096, 0);
    assert(start >= last, "regions overlap");
    last = start + bytes;
  }
  assert(last <= END && END === memory.buffer.byteLength);
});
