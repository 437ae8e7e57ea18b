import { assert, assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { assertBooksClosed, Folder, lastLine, receive, start } from "./command.ts";

test("Ctrl-C while a receiver waits", async () => {
  const { receiver } = await receive();
  receiver.kill("SIGINT");
  const ended = await receiver.ended;
  assertEquals(ended.code, 130);
  assertEquals(ended.stderr, "ringlet: Interrupted\n");
  assertEquals(lastLine(ended).exitCode, 130);
});

test("a signal in the middle of a transfer ends the sender with its books closed", async () => {
  await using folder = await Folder.make();
  const { path } = await folder.file("sent", 30_000_000);
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    // It takes a little and then nothing: loans are stalled in the kernel when the signal comes.
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.pause());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const connected = once(server, "connection");
    const target = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const sender = start(["send", path, target, "--zero-copy", "always", "--json"]);
    await connected;
    await setTimeout(300);
    sender.kill(signal);
    const ended = await sender.ended;
    server.close();
    assertEquals(ended.code, code);
    assertMatch(ended.stderr, /^ringlet: (Interrupted|Terminated)\n/);
    assertBooksClosed(ended);
    const { lent, released, inFlight, bytes, error } = lastLine(ended);
    assertEquals([released, inFlight, error.code], [lent, 0, signal]);
    assert(bytes > 0 && bytes < 30_000_000);
  }
});

test("a receiver that is interrupted tells its sender, and leaves no half file", async () => {
  await using folder = await Folder.make();
  const { path } = await folder.file("sent", 30_000_000);
  const { receiver, target } = await receive("-o", folder.join("got"));
  const sender = start(["send", path, target, "--copies", "1000000"]);
  while (!(await readdir(folder.path)).includes("got")) await setTimeout(10);
  receiver.kill("SIGINT");
  const received = await receiver.ended;
  assertEquals(received.code, 130);
  assertBooksClosed(received);
  const sent = await sender.ended;
  assertEquals(sent.code, 1);
  assertMatch(sent.stderr, /The receiver was stopped|closed the connection|ECONNRESET|EPIPE/);
  assertBooksClosed(sent);
  assertEquals((await readdir(folder.path)).sort(), ["got", "sent"]);
});

test("the demo ends at once and leaves no process behind", async () => {
  // The demo hands this value on to the processes it starts, so that they can be found.
  for (const [mark, pauseMs] of [["31.0625", 0], ["31.1875", 700]] as const) {
    const demo = start(["demo", "--copies", "1000000", "--timeout", mark]);
    await demo.said(/Sending/);
    await setTimeout(pauseMs);
    demo.kill("SIGINT");
    const ended = await demo.ended;
    assertEquals(ended.code, 130, ended.stderr);
    assertMatch(ended.stderr, /Interrupted/);
    while ((await processesWith(mark)).length > 0) await setTimeout(20);
  }
});

/** Processes with `word` on their command line. */
async function processesWith(word: string): Promise<string[]> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "")));
  return lines.filter((line) => line.includes(word));
}
