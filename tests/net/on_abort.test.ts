/** Thousands may share a signal, and each listens, or stops listening, by itself. */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { onAbort } from "../../net/on_abort.ts";

/** A signal that counts its listeners. */
function counted(): { controller: AbortController; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  let count = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: unknown[]) => {
    count += 1;
    Reflect.apply(addEventListener, signal, args);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    count -= 1;
    Reflect.apply(removeEventListener, signal, args);
  };
  return { controller, listeners: () => count };
}

test("one listener for all who share a signal, and none when nobody listens", () => {
  const { controller: { signal }, listeners } = counted();
  const stops = Array.from({ length: 1000 }, () => onAbort(signal, () => {}));
  assertEquals(listeners(), 1);
  for (const stop of stops.slice(1)) stop();
  assertEquals(listeners(), 1);
  stops[0]();
  assertEquals(listeners(), 0);
  const told: string[] = [];
  onAbort(signal, () => told.push("again"));
  assertEquals(listeners(), 1);
  for (const stop of stops) stop(); // a second time: nobody else's business
  assertEquals(listeners(), 1);
});

test("all who listen are told, in order, once", () => {
  const { controller, listeners } = counted();
  const { signal } = controller;
  const told: number[] = [];
  const stops = Array.from({ length: 5 }, (_, i) =>
    onAbort(signal, () => {
      told.push(i);
      if (i === 1) stops[3](); // who stops listening meanwhile is not told
    }));
  stops[2]();
  controller.abort();
  controller.abort();
  assertEquals(told, [0, 1, 4]);
  assertEquals(listeners(), 0);
  for (const stop of stops) stop();
  assertEquals(listeners(), 0);
});
