/** Control messages as the kernel reads them: exact lengths, each aligned, and no more than a record holds. */
import { assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { encodeControl } from "../../net/control.ts";
import { layout } from "../../wasm/mod.ts";

/** The messages of a control buffer, walked as CMSG_NXTHDR does. */
function walk(words: Uint32Array): { level: number; type: number; data: number[] }[] {
  const bytes = new Uint8Array(words.buffer);
  const view = new DataView(words.buffer);
  const messages = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(view.getBigUint64(at, true));
    const data = [...bytes.subarray(at + 16, at + length)];
    messages.push({ level: view.getInt32(at + 8, true), type: view.getInt32(at + 12, true), data });
    at += Math.ceil(length / 8) * 8;
  }
  return messages;
}

test("the message that cuts a train is two bytes long, aligned, and the last one", () => {
  const tos = { level: 0, type: 1, data: Uint8Array.of(2, 0, 0, 0) };
  const odd = { level: 41, type: 50, data: new Uint8Array(20).fill(7) };
  const { words, byteLength, segmentBytes } = encodeControl([tos, odd], 0x1234);
  assertEquals([byteLength, words.byteLength, segmentBytes], [24 + 40 + 24, 88, 0x1234]);
  assertEquals(walk(words), [
    { level: 0, type: 1, data: [2, 0, 0, 0] },
    { level: 41, type: 50, data: Array(20).fill(7) },
    { level: 17, type: 103, data: [0x34, 0x12] },
  ]);
  assertEquals(new DataView(words.buffer).getBigUint64(64, true), 18n, "CMSG_LEN(2)");
});

test("what a record has no room for is refused", () => {
  const message = { level: 0, type: 1, data: new Uint8Array(8) };
  const most = Math.floor(layout.SEND.CONTROL_BYTES / 24);
  assertEquals(encodeControl(Array(most).fill(message)).byteLength, most * 24);
  assertThrows(() => encodeControl(Array(most + 1).fill(message)), RangeError);
  assertThrows(() => encodeControl(Array(most).fill(message), 1400), RangeError);
});
