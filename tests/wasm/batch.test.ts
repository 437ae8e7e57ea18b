import "./setup.ts";
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { createCore, layout } from "../../wasm/mod.ts";

const { BATCH, BATCH_REASON, FAULT, SEND, SEND_FLAG, SOCKET_KIND } = layout;
const CORE_BASE = 0x7f12_3456_0000n;
const ARENA_BASE = 0x7e00_fff0_0000n;

/** A core with one socket, and what the kernel would read. */
function machine(kind: number, limit = 0xffff_ffff, windowIds = 8) {
  const core = createCore({ arenaBytes: 1 << 20, windowIds });
  const { raw, u32, out, regions } = core;
  const words = (address: bigint): [number, number] => [Number(address & 0xffff_ffffn), Number(address >> 32n)];
  raw.core_bases(...words(CORE_BASE), ...words(ARENA_BASE));
  const view = new DataView(core.memory.buffer);
  const socket = raw.socket_new(kind, limit, 0);
  const generation = u32[out];
  const send = (bytes: number, flags: number = SEND_FLAG.ZERO_COPY, nameBytes = 0) => {
    const lease = raw.lease_take(bytes, 64);
    const [leaseGeneration, offset] = [u32[out], u32[out + 1]];
    const slot = raw.send_one(socket, generation, flags, nameBytes, lease, leaseGeneration, 0, bytes);
    return { slot, generation: u32[out], name: u32[out + 1], offset };
  };
  /** Message `i`, with its iovecs followed through the core's memory. */
  const message = (i: number) => {
    const at = regions.BATCH + i * BATCH.BYTES;
    const iovecs = Number(view.getBigUint64(at + 16, true) - CORE_BASE);
    const count = Number(view.getBigUint64(at + 24, true));
    const iovec = (i: number) => [
      Number(view.getBigUint64(iovecs + i * 16, true) - ARENA_BASE),
      Number(view.getBigUint64(iovecs + i * 16 + 8, true)),
    ];
    return {
      name: view.getBigUint64(at, true),
      nameBytes: view.getUint32(at + 8, true),
      iovecs: Array.from({ length: count }, (_, i) => iovec(i)),
      control: [view.getBigUint64(at + 32, true), view.getBigUint64(at + 40, true)],
    };
  };
  const taken = (i: number, bytes: number) =>
    view.setUint32(regions.BATCH + i * BATCH.BYTES + BATCH.LENGTH, bytes, true);
  return { core, raw, u32, out, view, regions, socket, generation, send, message, taken };
}

test("a batch is what sendmmsg reads", () => {
  const { raw, u32, out, regions, socket, generation, send, message, taken, view } = machine(SOCKET_KIND.DATAGRAM);
  const first = send(1_000, SEND_FLAG.ZERO_COPY, 16);
  const second = send(2_000);
  assertEquals(first.name, regions.SENDS + first.slot * SEND.BYTES + SEND.NAME);
  assertEquals(raw.batch_fill(socket, generation, 10), 2);
  assertEquals([u32[out], u32[out + 1]], [1, 3_000]);
  assertEquals(message(0), {
    name: CORE_BASE + BigInt(first.name),
    nameBytes: 16,
    iovecs: [[first.offset, 1_000]],
    control: [0n, 0n],
  });
  assertEquals(message(1), { name: 0n, nameBytes: 0, iovecs: [[second.offset, 2_000]], control: [0n, 0n] });
  // The record's own message is the same.
  const own = regions.SENDS + second.slot * SEND.BYTES + SEND.MSGHDR;
  assertEquals(
    view.getBigUint64(own + 16, true),
    CORE_BASE + BigInt(regions.SENDS + second.slot * SEND.BYTES + SEND.IOVECS),
  );
  taken(0, 1_000);
  taken(1, 2_000);
  assertEquals(raw.batch_done(socket, generation, 2), 0);
  assertEquals(u32[out], 3_000);
  assertEquals(raw.complete(socket, generation, 0, 1, 0), 2);
});

test("a stream resumes where the kernel stopped", () => {
  const { raw, u32, out, socket, generation, message, taken } = machine(SOCKET_KIND.STREAM);
  const send = raw.send_new(socket, generation, SEND_FLAG.ZERO_COPY, 0);
  const sendGeneration = u32[out];
  const offsets = [100, 200, 300].map((bytes) => {
    const lease = raw.lease_take(bytes, 64);
    const [leaseGeneration, offset] = [u32[out], u32[out + 1]];
    assertEquals(raw.send_lease(send, sendGeneration, lease, leaseGeneration, 10, bytes - 10), 0);
    return offset + 10;
  });
  assertEquals(raw.send_queue(send, sendGeneration), 0);
  const steps: [number, number[][]][] = [
    [50, [[offsets[0], 90], [offsets[1], 190], [offsets[2], 290]]],
    [40, [[offsets[0] + 50, 40], [offsets[1], 190], [offsets[2], 290]]],
    [200, [[offsets[1], 190], [offsets[2], 290]]],
    [280, [[offsets[2] + 10, 280]]],
  ];
  for (const [bytes, iovecs] of steps) {
    assertEquals(raw.batch_fill(socket, generation, 1), 1);
    assertEquals(message(0).iovecs, iovecs);
    taken(0, bytes);
    raw.batch_done(socket, generation, 1);
    assertEquals(u32[out], bytes);
  }
  assertEquals(raw.batch_fill(socket, generation, 1), 0);
  assertEquals(u32[out + 2], BATCH_REASON.EMPTY);
  assertEquals(raw.complete(socket, generation, 0, 3, 0), 4);
});

test("one flag for a batch: a copy between loans ends it", () => {
  const { raw, u32, out, socket, generation, send } = machine(SOCKET_KIND.DATAGRAM);
  send(10);
  send(10, 0);
  send(10);
  assertEquals(raw.batch_fill(socket, generation, 10), 1);
  assertEquals(u32[out], 1);
  assertEquals(raw.batch_copy(socket, generation), 0);
  assertEquals(raw.batch_fill(socket, generation, 10), 2);
  assertEquals(u32[out], 0);
});

test("the window and the byte limit stop a batch, but nothing in flight never does", () => {
  const few = machine(SOCKET_KIND.DATAGRAM, 0xffff_ffff, 2);
  for (let i = 0; i < 3; i++) few.send(10);
  assertEquals(few.raw.batch_fill(few.socket, few.generation, 10), 2);
  few.taken(0, 10);
  few.taken(1, 10);
  assertEquals(few.raw.batch_done(few.socket, few.generation, 2), 1);
  assertEquals(few.raw.batch_fill(few.socket, few.generation, 10), 0);
  assertEquals(few.u32[few.out + 2], BATCH_REASON.WINDOW);

  const small = machine(SOCKET_KIND.STREAM, 100);
  for (let i = 0; i < 2; i++) small.send(1_000);
  assertEquals(small.raw.batch_fill(small.socket, small.generation, 10), 1, "larger than the limit, but alone");
  small.taken(0, 1_000);
  small.raw.batch_done(small.socket, small.generation, 1);
  assertEquals(small.raw.batch_fill(small.socket, small.generation, 10), 0);
  assertEquals(small.u32[small.out + 2], BATCH_REASON.LIMIT);
  small.raw.complete(small.socket, small.generation, 0, 0, 0);
  assertEquals(small.raw.batch_fill(small.socket, small.generation, 10), 1);
});

test("a failed head leaves the queue, and its lease is the program's again", () => {
  const { raw, u32, out, socket, generation, send } = machine(SOCKET_KIND.DATAGRAM);
  const failed = send(10);
  const next = send(20);
  assertEquals(raw.batch_fail(socket, generation, 0), failed.slot);
  assertEquals([...u32.subarray(out, out + 3)], [failed.generation, 0, 1]);
  assertEquals(raw.batch_fail(socket, generation, 0), next.slot);
  assertEquals(raw.batch_fail(socket, generation, 0), FAULT.BUSY);
  assertEquals(raw.in_flight(), 0);
});

test("a batch is answered once, and not for more than it had", () => {
  const { raw, socket, generation, send, taken } = machine(SOCKET_KIND.DATAGRAM);
  send(10);
  send(10);
  assertEquals(raw.batch_done(socket, generation, 1), FAULT.RANGE, "nothing was filled");
  assertEquals(raw.batch_fill(socket, generation, 1), 1);
  assertEquals(raw.batch_done(socket, generation, 2), FAULT.RANGE);
  taken(0, 10);
  assertEquals(raw.batch_done(socket, generation, 1), 1);
  assertEquals(raw.batch_done(socket, generation, 1), FAULT.RANGE);
});

test("an empty datagram takes an id, an empty stream send takes none", () => {
  for (const [kind, next] of [[SOCKET_KIND.DATAGRAM, 1], [SOCKET_KIND.STREAM, 0]]) {
    const { raw, u32, out, socket, generation, taken } = machine(kind);
    const send = raw.send_new(socket, generation, SEND_FLAG.ZERO_COPY, 0);
    raw.send_queue(send, u32[out]);
    assertEquals(raw.batch_fill(socket, generation, 1), 1);
    taken(0, 0);
    assertEquals(raw.batch_done(socket, generation, 1), 0);
    raw.socket_state(socket, generation);
    assertEquals(u32[out], next);
  }
});
