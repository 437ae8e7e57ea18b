import "./setup.ts";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { type Core, createCore, type Handle, handleGeneration, handleSlot } from "../../wasm/mod.ts";

/** A kernel that counts ids as kernels do, and knows what it still holds. */
class Kernel {
  readonly core: Core;
  readonly socket: Handle;
  /** Ids not completed, oldest first, with the send they stand for. */
  readonly held: { id: number; send: Handle | undefined }[] = [];
  /** Ids of a send that are not completed. */
  readonly parts = new Map<Handle, number>();
  next: number;
  accepted = 0;
  released = 0;

  constructor(firstId: number) {
    this.core = createCore({ arenaBytes: 65_536, maxLeases: 256, maxSends: 64, maxSockets: 1, windowIds: 32 });
    this.socket = this.core.socket();
    this.core.raw.socket_set_next(handleSlot(this.socket), handleGeneration(this.socket), firstId);
    this.next = firstId;
  }

  /** Room in the window, from the oldest id that is not completed on. */
  room(): number {
    return 32 - (this.held.length === 0 ? 0 : this.next - this.held[0].id >>> 0);
  }

  takeId(send: Handle | undefined): void {
    this.held.push({ id: this.next, send });
    this.next = (this.next + 1) >>> 0;
  }

  /** A send of 300 bytes, accepted in parts. */
  send(parts: number): void {
    if (this.room() < parts) return;
    const send = this.core.lend(this.socket, this.core.take(300)!);
    this.parts.set(send, parts);
    for (let part = 1; part <= parts; part++) {
      const { id, left } = this.core.accept(send, part === parts ? 300 - 100 * (parts - 1) : 100)!;
      assertEquals([id, left === 0], [this.next, part === parts]);
      this.takeId(send);
    }
    this.events();
  }

  /** A call that failed and took an id all the same. */
  fail(): void {
    if (this.room() === 0) return;
    assertEquals(this.core.takeId(this.socket), this.next);
    this.takeId(undefined);
  }

  /** Completes a run of ids, oldest or newest, in one range. */
  finish(count: number, newest: boolean): void {
    const run: { id: number; send: Handle | undefined }[] = [];
    while (run.length < count && this.held.length > 0) {
      const at = newest ? this.held.at(-1)! : this.held[0];
      const last = run.at(-1);
      if (last && this.core.seq.distance(newest ? at.id : last.id, newest ? last.id : at.id) !== 1) break;
      run.push(newest ? this.held.pop()! : this.held.shift()!);
    }
    if (run.length === 0) return;
    for (const { send } of run) {
      if (send !== undefined) this.parts.set(send, this.parts.get(send)! - 1);
    }
    const [lo, hi] = newest ? [run.at(-1)!.id, run[0].id] : [run[0].id, run.at(-1)!.id];
    const resolution = this.core.complete(this.socket, lo, hi, false);
    assertEquals(resolution, { resolved: run.length, duplicate: 0, unknown: 0, adopted: 0 });
    this.events();
    // Late or duplicate completions change nothing.
    const again = this.core.complete(this.socket, lo, hi, true);
    assertEquals([again.resolved, again.duplicate + again.unknown], [0, run.length]);
  }

  events(): void {
    this.core.drain((event, send) => {
      if (event === "accepted") return void this.accepted++;
      this.released++;
      assertEquals(this.parts.get(send), 0, "released while the kernel holds a part of it");
      this.parts.delete(send);
    });
    const { lent, released, inFlight, sends, accepted } = this.core.stats();
    assertEquals(lent, released + inFlight);
    assertEquals(inFlight, this.parts.size);
    assertEquals(sends, accepted);
  }
}

const step = fc.oneof(
  fc.integer({ min: 1, max: 3 }).map((parts) => (kernel: Kernel) => kernel.send(parts)),
  fc.constant((kernel: Kernel) => kernel.fail()),
  fc.tuple(fc.integer({ min: 1, max: 9 }), fc.boolean())
    .map(([count, newest]) => (kernel: Kernel) => kernel.finish(count, newest)),
);

test("every send is released once, none early, none lost, across 2^32", () => {
  fc.assert(
    fc.property(fc.integer({ min: -60, max: 3 }), fc.array(step, { maxLength: 120 }), (near, steps) => {
      const kernel = new Kernel(near >>> 0);
      for (const run of steps) run(kernel);
      while (kernel.held.length > 0) kernel.finish(32, false);
      assertEquals(kernel.accepted, kernel.released);
      const { inFlight, freeBytes, idsDuplicate, idsUnknown, notifications } = kernel.core.stats();
      assertEquals([inFlight, freeBytes], [0, 65_536]);
      assert(idsDuplicate + idsUnknown >= notifications / 2, "duplicates are counted");
      kernel.core.closeSocket(kernel.socket);
    }),
  );
});

test("a range that wraps, as a real kernel sent it", () => {
  const kernel = new Kernel(4_294_967_293);
  for (let i = 0; i < 8; i++) kernel.send(1);
  assertEquals(kernel.core.complete(kernel.socket, 4_294_967_293, 4, false).resolved, 8);
  kernel.parts.forEach((_, send) => kernel.parts.set(send, 0));
  kernel.events();
  assertEquals(kernel.released, 8);
});

test("a hostile range ends at once and releases only what is out", () => {
  const kernel = new Kernel(0);
  kernel.send(1);
  const { resolved, unknown } = kernel.core.complete(kernel.socket, 1, 0, false);
  assertEquals([resolved, unknown], [1, 2 ** 32 - 1]);
  assertEquals(kernel.core.complete(kernel.socket, 77, 4_000_000_000, false).resolved, 0);
});

test("one lease lent to several sends is released when the last of them is", () => {
  const { core, socket } = new Kernel(0);
  const lease = core.take(100)!;
  core.retain(lease);
  const sends = [0, 1, 2].map(() => core.lend(socket, lease));
  for (const send of sends) core.accept(send, 100);
  assertEquals([core.stats().lent, core.describe(lease).sends], [1, 3]);
  core.complete(socket, 0, 0, false);
  core.complete(socket, 2, 2, false);
  assertEquals([core.stats().released, core.stats().inFlight], [0, 1]);
  core.complete(socket, 1, 1, true);
  assertEquals([core.stats().released, core.stats().inFlight], [1, 0]);
  assertEquals(core.release(lease), true);
  const values: number[] = [];
  core.drain((event, _send, value) => event === "released" && values.push(value));
  assertEquals(values, [0, 0, 1], "only the copied one says so");
});

test("ids that failed sends took are adopted while they are suspected, and unknown otherwise", () => {
  const { core, socket } = new Kernel(4_294_967_295);
  const slot = handleSlot(socket);
  const generation = handleGeneration(socket);
  assertEquals(core.complete(socket, 4_294_967_295, 0, false).unknown, 2);
  core.raw.suspect(slot, generation, 1);
  assertEquals(core.complete(socket, 4_294_967_295, 0, false), { resolved: 2, duplicate: 0, unknown: 0, adopted: 2 });
  core.raw.suspect(slot, generation, 0);
  assertEquals(core.socketStats(socket).nextId, 1);
  assertEquals(core.socketStats(socket).idsTaken, 2);
});

test("a full window is no room, not an error", () => {
  const { core, socket } = new Kernel(0);
  for (let i = 0; i < 32; i++) assertEquals(core.takeId(socket), i);
  assertEquals(core.takeId(socket), undefined);
  const send = core.lend(socket, core.take(10)!);
  assertEquals(core.accept(send, 10), undefined);
  core.complete(socket, 5, 5, false);
  assertEquals(core.accept(send, 10), undefined, "the oldest is still out");
  core.complete(socket, 0, 4, false);
  assertEquals(core.accept(send, 10), { id: 32, left: 0 });
});

test("a send that failed after a part was accepted is released when that part is", () => {
  const { core, socket } = new Kernel(0);
  const lease = core.take(100)!;
  const send = core.lend(socket, lease);
  core.accept(send, 40);
  assertEquals(core.fail(send), { bytesAccepted: 40, whole: false });
  assertEquals(core.stats().inFlight, 1);
  core.complete(socket, 0, 0, false);
  const events: string[] = [];
  core.drain((event) => events.push(event));
  assertEquals(events, ["released"]);
  assertEquals(core.stats().freeBytes, 65_536);
});
