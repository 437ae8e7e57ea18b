import "./setup.ts";
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { createCore } from "../../wasm/mod.ts";

const { seq, raw } = createCore({ arenaBytes: 65_536 });
const CIRCLE = 2n ** 32n;
const mod = (value: bigint): bigint => ((value % CIRCLE) + CIRCLE) % CIRCLE;

/** Ids, more often than not where they wrap. */
const id = fc.oneof(
  fc.integer({ min: -20, max: 20 }).map((near) => near >>> 0),
  fc.constantFrom(0x7fff_ffff, 0x8000_0000, 0x8000_0001),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);

test("the id after the largest is 0", () => {
  assertEquals(seq.next(4_294_967_295), 0);
  assertEquals(seq.next(0), 1);
});

test("serial arithmetic is arithmetic on a circle of 2^32", () => {
  fc.assert(fc.property(id, id, id, (a, b, x) => {
    const distance = mod(BigInt(b) - BigInt(a));
    assertEquals(BigInt(seq.distance(a, b)), distance);
    assertEquals(BigInt(seq.next(a)), mod(BigInt(a) + 1n));
    assertEquals(BigInt(seq.length(a, b)), distance + 1n);
    assertEquals(seq.contains(a, b, x), mod(BigInt(x) - BigInt(a)) <= distance);
    const half = CIRCLE / 2n;
    const order = distance === 0n ? 0 : distance === half ? undefined : distance < half ? -1 : 1;
    assertEquals(seq.compare(a, b), order);
  }));
});

test("a range walked by equality has as many ids as it says", () => {
  fc.assert(fc.property(id, fc.integer({ min: 0, max: 300 }), (lo, more) => {
    const hi = (lo + more) >>> 0;
    let count = 1;
    for (let at = lo; at !== hi; at = seq.next(at)) {
      assertEquals(seq.contains(lo, hi, at), true);
      count++;
    }
    assertEquals(count, seq.length(lo, hi));
    assertEquals(seq.contains(lo, hi, seq.next(hi)), false);
  }));
});

test("a range of every id has length 2^32, which the raw function calls 0", () => {
  assertEquals(seq.length(5, 4), 2 ** 32);
  assertEquals(raw.seq_len(5, 4), 0);
});
