import { assert, assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { appendFile, readdir, readFile, truncate } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { encodeHeader, encodeReply } from "../../cli/wire.ts";
import { assertBooksClosed, Folder, lastLine, receive, run, start } from "./command.ts";

const FOREVER = ["--copies", "1000000"];

/** A receiver of our own: `handle` is called for the first connection. */
async function fakeReceiver(handle: (socket: Socket) => void) {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    handle(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { target: `127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

/** Says `bytes` to a receiver and answers when the receiver has closed the connection. */
async function say(port: number, bytes: Uint8Array, end: boolean): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  await once(socket, "connect");
  if (end) socket.end(bytes);
  else socket.write(bytes);
  await new Promise((resolve) => socket.on("close", resolve));
}

test("nobody listens", async () => {
  await using folder = await Folder.make();
  const { path } = await folder.file("sent", 1000);
  const { target, close } = await fakeReceiver(() => {});
  close();
  const ended = await run(["send", path, target, "--json"]);
  assertEquals(ended.code, 1);
  assertMatch(ended.stderr, /ECONNREFUSED \(nobody listens at this address\)/);
  assertEquals(lastLine(ended).error.code, "ECONNREFUSED");
});

test("strangers are told off, and the wait goes on", async () => {
  await using folder = await Folder.make();
  const { path, bytes } = await folder.file("sent", 1_000_000);
  const { receiver, port, target } = await receive("-o", folder.join("got"), "--timeout", "1");
  await say(port, new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"), true);
  await say(port, new Uint8Array(3_000_000).fill(7), true);
  await say(port, encodeHeader(10).subarray(0, 9), true);
  await say(port, encodeHeader(10).fill(255, 8), true);
  await say(port, new Uint8Array(0), true);
  await say(port, new Uint8Array(0), false); // says nothing, and would hold up the others
  assertEquals((await run(["send", path, target])).code, 0);
  const ended = await receiver.ended;
  assertEquals(ended.code, 0, ended.stderr);
  assertEquals(ended.stderr.match(/ignored a peer/g)?.length, 6);
  assertEquals(lastLine(ended).bytes, bytes.length);
  assertEquals(new Uint8Array(await readFile(folder.join("got"))), bytes);
});

test("control: other bytes than were hashed are found out at the receiver", async () => {
  await using folder = await Folder.make();
  const { bytes } = await folder.file("sent", 50_000);
  const digest = createHash("sha256").update(bytes).digest();
  const { receiver, port } = await receive("-o", folder.join("got"));
  await say(port, Buffer.concat([encodeHeader(bytes.length), bytes.with(777, bytes[777] ^ 1), digest]), true);
  const ended = await receiver.ended;
  assertEquals(ended.code, 3);
  const { sha256Sent, sha256Received } = lastLine(ended);
  assertEquals(sha256Sent, digest.toString("hex"));
  assert(sha256Received !== sha256Sent);
  assertEquals(await readdir(folder.path), ["sent"], "what is not verified is not kept");
});

test("control: a receiver that got something else is found out at the sender", async () => {
  await using folder = await Folder.make();
  const { path } = await folder.file("sent", 1000);
  const answers: [Uint8Array, number, RegExp][] = [
    [encodeReply("verified", new Uint8Array(32)), 3, /got something else/],
    [encodeReply("differs", new Uint8Array(32)), 3, /got something else/],
    [encodeReply("notStored"), 1, /could not store/],
    [new Uint8Array(48).fill(65), 1, /no `ringlet recv`/],
    [new Uint8Array(0), 1, /without an answer/],
    [new Uint8Array(10), 1, /ended 38 bytes too early/],
  ];
  for (const [answer, code, message] of answers) {
    const { target, close } = await fakeReceiver((socket) => void socket.resume().end(answer));
    const ended = await run(["send", path, target]);
    close();
    assertEquals(ended.code, code);
    assertMatch(ended.stderr, message);
    assertBooksClosed(ended);
  }
});

test("the receiver is killed in the middle", async () => {
  await using folder = await Folder.make();
  const { path } = await folder.file("sent", 30_000_000);
  const { receiver, target } = await receive("-o", folder.join("got"));
  const sender = start(["send", path, target, ...FOREVER]);
  for (let written = false; !written;) {
    written = (await readdir(folder.path)).some((name) => name === "got");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  receiver.kill("SIGKILL");
  const ended = await sender.ended;
  assertEquals(ended.code, 1);
  assertMatch(ended.stderr, /ECONNRESET|EPIPE|without an answer/);
  assertBooksClosed(ended);
});

test("the sender breaks off in the middle", async () => {
  await using folder = await Folder.make();
  for (const how of ["end", "reset"] as const) {
    const { receiver, port } = await receive("-o", folder.join("got"));
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(Buffer.concat([encodeHeader(1_000_000), new Uint8Array(500_000)]), () => {
      if (how === "end") socket.end();
      else socket.resetAndDestroy();
    });
    const ended = await receiver.ended;
    assertEquals(ended.code, 1);
    assertMatch(ended.stderr, how === "end" ? /\(500 kB of 1\.00 MB came\): the sender closed/ : /came\):.*ECONNRESET/);
    assertBooksClosed(ended);
    assertEquals(await readdir(folder.path), []);
  }
});

test("the disk is full: both sides say so", async () => {
  await using folder = await Folder.make();
  const { path } = await folder.file("sent", 20_000_000);
  const { receiver, target } = await receive("-o", "/dev/full");
  const sent = await run(["send", path, target]);
  assertEquals(sent.code, 1);
  assertMatch(sent.stderr, /The receiver could not store the file/);
  assertBooksClosed(sent);
  const received = await receiver.ended;
  assertEquals(received.code, 1);
  assertEquals(lastLine(received).error.code, "ENOSPC");
  assertBooksClosed(received);
});

test("a file that becomes shorter is an error, one that becomes longer is sent as long as it was", async () => {
  await using folder = await Folder.make();
  const { path, bytes } = await folder.file("sent", 30_000_000);
  for (const change of ["shorter", "longer"] as const) {
    // The file changes while this receiver does not read.
    const { target, close } = await fakeReceiver((socket) => {
      socket.pause();
      const goOn = () => {
        let came = 0;
        socket.on("data", (data) => {
          came += data.length;
          const whole = 16 + bytes.length + 32;
          if (came === whole) socket.write(encodeReply("verified", createHash("sha256").update(bytes).digest()));
        });
        socket.on("end", () => socket.end());
        socket.resume();
      };
      const changed = change === "shorter" ? truncate(path, 1_000_000) : appendFile(path, "more");
      changed.then(goOn);
    });
    // Little memory: most of the file is read after the change.
    const ended = await run(["send", path, target, "--arena", "256K", "--chunk", "64K"]);
    close();
    assertMatch(ended.stderr, change === "shorter" ? /became shorter/ : /first 30000000 bytes were sent/);
    assertEquals(ended.code, change === "shorter" ? 1 : 0);
    if (change === "shorter") assertBooksClosed(ended);
    await folder.file("sent", 0);
    await appendFile(path, bytes);
  }
});

test("a peer that falls silent is given up", async () => {
  await using folder = await Folder.make();
  const { path } = await folder.file("sent", 30_000_000);
  const { target, close } = await fakeReceiver((socket) => void socket.pause());
  const sent = await run(["send", path, target, "--timeout", "0.5", "--zero-copy", "always"]);
  close();
  assertEquals(sent.code, 1);
  assertMatch(sent.stderr, /No sign of life from the receiver for 0\.5 s/);
  assertBooksClosed(sent);

  const { receiver, port } = await receive("--timeout", "0.5");
  await say(port, Buffer.concat([encodeHeader(100), new Uint8Array(10)]), false);
  const received = await receiver.ended;
  assertEquals(received.code, 1);
  assertMatch(received.stderr, /No sign of life from the sender for 0\.5 s/);
  assertBooksClosed(received);
});
