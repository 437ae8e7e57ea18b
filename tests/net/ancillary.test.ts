/**
 * Control messages, made up: whole ones, cut ones, hostile ones. What real kernels write is in metadata.test.ts.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { C } from "../../ffi/abi.ts";
import { openSystem } from "../../ffi/system.ts";
import type { Metadata } from "../../mod.ts";
import { AddressBook } from "../../net/address_book.ts";
import { decodeMetadata, findExtendedError } from "../../net/ancillary.ts";

const book = new AddressBook(openSystem());

/** A control message as it should be. */
interface Message {
  level: number;
  type: number;
  payload: Uint8Array;
}

function words(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

/** One message after another, as CMSG_SPACE lays them out; the padding holds rubbish. */
function encode(messages: readonly Message[]): Uint8Array {
  const spaces = messages.map(({ payload }) => 16 + Math.ceil(payload.length / 8) * 8);
  const bytes = new Uint8Array(spaces.reduce((sum, space) => sum + space, 0)).fill(0xa5);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [i, { level, type, payload }] of messages.entries()) {
    view.setBigUint64(at, BigInt(16 + payload.length), true);
    view.setInt32(at + 8, level, true);
    view.setInt32(at + 12, type, true);
    bytes.set(payload, at + 16);
    at += spaces[i];
  }
  return bytes;
}

/** Decodes from a view that ends where the bytes end, so that a read beyond them throws. */
function decode(bytes: Uint8Array, at = 0, end = bytes.length): Metadata {
  const told = {};
  decodeMetadata(told, new DataView(bytes.slice().buffer, 0, end), at, end, book);
  return told;
}

/** Each kind with a value, and what it tells. */
const KINDS: [Message, Metadata][] = [
  [{ level: C.IPPROTO_UDP, type: C.UDP_GRO, payload: words(1400) }, { segmentBytes: 1400 }],
  [
    { level: C.IPPROTO_IP, type: C.IP_PKTINFO, payload: new Uint8Array([7, 0, 0, 0, 10, 0, 0, 9, 10, 1, 2, 3]) },
    { localAddress: "10.1.2.3", interfaceIndex: 7 },
  ],
  [
    {
      level: C.IPPROTO_IPV6,
      type: C.IPV6_PKTINFO,
      payload: new Uint8Array([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 3, 0, 0, 0]),
    },
    { localAddress: "2001:db8::5", interfaceIndex: 3 },
  ],
  [
    {
      level: C.IPPROTO_IPV6,
      type: C.IPV6_PKTINFO,
      payload: new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1, 3, 0, 0, 0]),
    },
    { localAddress: "192.0.2.1", interfaceIndex: 3 },
  ],
  [{ level: C.IPPROTO_IP, type: C.IP_TOS, payload: new Uint8Array([0xbb]) }, { trafficClass: 0xbb, ecn: 3 }],
  [{ level: C.IPPROTO_IPV6, type: C.IPV6_TCLASS, payload: words(0x29) }, { trafficClass: 0x29, ecn: 1 }],
  [{ level: C.IPPROTO_IP, type: C.IP_TTL, payload: words(64) }, { hopLimit: 64 }],
  [{ level: C.IPPROTO_IPV6, type: C.IPV6_HOPLIMIT, payload: words(255) }, { hopLimit: 255 }],
  [
    { level: C.SOL_SOCKET, type: C.SO_TIMESTAMPNS, payload: words(1_700_000_000, 0, 999_999_999, 0) },
    { receivedNs: 1_700_000_000_999_999_999n },
  ],
  [{ level: C.SOL_SOCKET, type: C.SO_RXQ_OVFL, payload: words(0xffff_ffff) }, { dropped: 0xffff_ffff }],
];

const anyInt = fc.oneof(fc.integer({ min: -3, max: 300 }), fc.integer());
const unknown: fc.Arbitrary<[Message, Metadata]> = fc.record({
  level: anyInt,
  type: anyInt,
  payload: fc.uint8Array({ maxLength: 40 }),
}).filter(({ level, type }) => !KINDS.some(([known]) => known.level === level && known.type === type))
  .map((message) => [message, {}]);
const known = fc.constantFrom(...KINDS);

test("control messages: whatever stands between them, those that are known are found", () => {
  fc.assert(fc.property(fc.array(fc.oneof(known, unknown), { maxLength: 12 }), (messages) => {
    const bytes = encode(messages.map(([message]) => message));
    assertEquals(decode(bytes), Object.assign({}, ...messages.map(([, told]) => told)));
  }));
});

test("control messages: cut anywhere, exactly those that are whole are told", () => {
  const bytes = encode(KINDS.map(([message]) => message));
  const ends: number[] = [];
  for (const [{ payload }] of KINDS) {
    const start = Math.ceil((ends.at(-1) ?? 0) / 8) * 8;
    ends.push(start + 16 + payload.length);
  }
  for (let end = 0; end <= bytes.length; end++) {
    const whole = KINDS.filter((_, i) => ends[i] <= end).map(([, told]) => told);
    assertEquals(decode(bytes, 0, end), Object.assign({}, ...whole), `cut at ${end}`);
  }
});

test("control messages: one that is shorter than its kind tells nothing", () => {
  for (const [message, told] of KINDS) {
    for (let length = 0; length < message.payload.length; length++) {
      const short = { ...message, payload: message.payload.slice(0, length) };
      assertEquals(decode(encode([short, KINDS[6][0]])), { hopLimit: 64 }, `${JSON.stringify(Object.keys(told))}`);
    }
    assertEquals(decode(encode([{ ...message, payload: new Uint8Array([...message.payload, 1, 2, 3]) }])), told);
  }
});

test("control messages: lengths that lie end the walk, and nothing beyond the end is read", () => {
  const lengths = [0n, 1n, 15n, 17n, 20n, 1n << 31n, (1n << 32n) - 1n, 1n << 32n, (1n << 32n) + 20n, (1n << 64n) - 1n];
  for (const length of lengths) {
    const bytes = encode([KINDS[0][0], KINDS[6][0]]);
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    const told = decode(bytes);
    if (length === 20n) assertEquals(told, { segmentBytes: 1400, hopLimit: 64 });
    else if (length === 17n) assertEquals(told, { hopLimit: 64 });
    else assertEquals(told, {}, `${length}`);
  }
  assertEquals(decode(encode([{ level: C.IPPROTO_UDP, type: C.UDP_GRO, payload: words(0) }])), {});
  assertEquals(decode(encode([{ level: C.IPPROTO_UDP, type: C.UDP_GRO, payload: words(-5 >>> 0) }])), {});
});

test("control messages: any bytes at any place are read within their bounds, and the walk ends", () => {
  const small = fc.integer({ min: 0, max: 24 });
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    // Mostly zeros and small numbers look like headers.
    fc.array(fc.oneof(small, fc.constant(0)), { maxLength: 300 }).map((values) => Uint8Array.from(values)),
  );
  fc.assert(
    fc.property(bytes, fc.nat(40), (bytes, at) => {
      decode(bytes, at);
      findExtendedError(new DataView(bytes.slice().buffer), at, bytes.length);
    }),
    { numRuns: 2000 },
  );
});

test("extended errors: found in either family, and only whole", () => {
  for (
    const { level, type, size } of [
      { level: C.IPPROTO_IP, type: C.IP_RECVERR, size: 32 },
      { level: C.IPPROTO_IPV6, type: C.IPV6_RECVERR, size: 44 },
    ]
  ) {
    const find = (bytes: Uint8Array, end = bytes.length) =>
      findExtendedError(new DataView(bytes.slice().buffer), 0, end);
    const bytes = encode([KINDS[8][0], { level, type, payload: new Uint8Array(size) }]);
    const at = 32 + 16;
    assertEquals(find(bytes), at);
    assertEquals(find(bytes, at + size), at);
    for (const end of [0, 20, 48, at + size - 1]) assertEquals(find(bytes, end), -1);
    assertEquals(find(encode([{ level, type, payload: new Uint8Array(size - 1) }])), -1);
    assertEquals(find(encode([{ level, type: type + 1, payload: new Uint8Array(size) }])), -1);
  }
});

test("addresses are remembered without being mixed up, however many there are", () => {
  const view = new DataView(new ArrayBuffer(32));
  const put = (port: number, host: number, v6: boolean) => {
    view.setUint16(0, v6 ? C.AF_INET6 : C.AF_INET, true);
    view.setUint16(2, port, false);
    for (let i = 4; i < 32; i++) view.setUint8(i, 0);
    view.setUint32(v6 ? 20 : 4, host, false);
    return book.name(view, 0, v6 ? 28 : 16);
  };
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5000; i++) {
      const host = 0x0a000000 + i;
      const text = [24, 16, 8, 0].map((shift) => host >>> shift & 0xff).join(".");
      assertEquals(put(i + 1, host, false), { hostname: text, port: i + 1 });
      assertEquals(put(i + 1, 0x10000 + i, true).port, i + 1);
    }
  }
  const first = put(5, 0x7f000001, false);
  assertEquals(put(5, 0x7f000001, false) === first, true, "the same object");
  // What stands behind a short address does not count.
  view.setUint32(20, 12345, false);
  assertEquals(book.name(view, 0, 16) === first, true);
});
