import { assert, assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import { chmod, readdir, readFile, stat, symlink } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { testIf } from "../support/skip.ts";
import { type Ended, Folder, lastLine, receive, run, start } from "./command.ts";

const FIELDS = [
  "engine",
  "reason",
  "bytes",
  "sends",
  "lent",
  "released",
  "inFlight",
  "copied",
  "notCopied",
  "maxInFlight",
  "seconds",
  "cpuSecondsPerGB",
  "sha256Sent",
  "sha256Received",
];

const HAS_IPV6 = Object.values(networkInterfaces()).flat().some((each) => each?.address === "::1");
const NO_IPV6 = HAS_IPV6 ? undefined : "needs an IPv6 loopback";

function assertVerified(ended: Ended, bytes: Uint8Array, copies = 1): void {
  assertEquals(ended.code, 0, ended.stderr);
  const result = lastLine(ended);
  for (const field of FIELDS) assert(field in result, `${field} is missing`);
  const hash = createHash("sha256").update(bytes).digest("hex");
  assertEquals([result.sha256Sent, result.sha256Received], [hash, hash]);
  assertEquals([result.bytes, result.released, result.inFlight], [bytes.length * copies, result.lent, 0]);
  assertEquals(result.copied + result.notCopied, result.sends);
  assert(result.lent >= result.sends && result.maxInFlight >= 1);
}

test("files of every size arrive as they are", async () => {
  await using folder = await Folder.make();
  const cases: [bytes: number, sender: string[], receiver: string[]][] = [
    [0, [], []],
    [1, [], []],
    [4096, ["--chunk", "4096"], ["--chunk", "1"]],
    [100_001, ["--chunk", "1K", "--arena", "64K"], ["--chunk", "333", "--arena", "64K"]],
    [5_000_000, ["--engine", "copy"], ["--engine", "copy"]],
    [40_000_000, ["--zero-copy", "always", "--chunk", "1M"], []],
  ];
  for (const [byteLength, senderArgs, receiverArgs] of cases) {
    const { path, bytes } = await folder.file("sent", byteLength);
    const { receiver, target } = await receive("-o", folder.join("got"), ...receiverArgs);
    assertVerified(await run(["send", path, target, "--json", ...senderArgs]), bytes);
    assertVerified(await receiver.ended, bytes);
    assertEquals(new Uint8Array(await readFile(folder.join("got"))), bytes);
    assertEquals((await readdir(folder.path)).sort(), ["got", "sent"]);
  }
});

test("several copies are verified one by one; a received file replaces another and keeps its mode", async () => {
  await using folder = await Folder.make();
  const { path, bytes } = await folder.file("sent", 700_000);
  await folder.file("old", 10);
  await chmod(folder.join("old"), 0o640);
  await symlink("old", folder.join("link"));
  const { receiver, target } = await receive("-o", folder.join("link"));
  assertVerified(await run(["send", path, target, "--json", "--copies", "3"]), bytes, 3);
  assertVerified(await receiver.ended, bytes, 3);
  assertEquals(new Uint8Array(await readFile(folder.join("old"))), bytes);
  assertEquals((await stat(folder.join("old"))).mode & 0o777, 0o640);
  assertEquals((await readdir(folder.path)).sort(), ["link", "old", "sent"]);
});

test("names, and devices as output", async () => {
  await using folder = await Folder.make();
  const { path, bytes } = await folder.file("sent", 300_000);
  const { receiver, port } = await receive("-o", "/dev/null");
  assertVerified(await run(["send", path, `localhost:${port}`, "--json"]), bytes);
  assertVerified(await receiver.ended, bytes);
});

testIf(NO_IPV6, "IPv6", async () => {
  await using folder = await Folder.make();
  const { path, bytes } = await folder.file("sent", 300_000);
  const receiver = start(["recv", "0", "--host", "::1", "--json"]);
  const [, port] = await receiver.said(/"port":(\d+)/);
  assertVerified(await run(["send", path, `[::1]:${port}`, "--json"]), bytes);
  assertVerified(await receiver.ended, bytes);
});

test("without --json there is a table with equal hashes, and no progress bar as nobody watches", async () => {
  await using folder = await Folder.make();
  const { path, bytes } = await folder.file("sent", 20_000_000);
  const receiver = start(["recv", "0", "--host", "127.0.0.1"]);
  const [, target] = await receiver.said(/listening at (127\.0\.0\.1:\d+)/);
  const hash = createHash("sha256").update(bytes).digest("hex");
  const sent = await run(["send", path, target]);
  for (const { code, stdout, stderr } of [sent, await receiver.ended]) {
    assertEquals(code, 0);
    assertMatch(stdout, /engine +\w+\nwhy +\S.*\nbytes +20\.0 MB\n/);
    assertMatch(stdout, new RegExp(`SHA-256 sent +${hash}\nSHA-256 received +${hash} +equal\n`));
    const [, lent, released] = stdout.match(/loans lent +([\d,]+)\n +released +([\d,]+)\n +in flight +0\n/)!;
    assertEquals(released, lent);
    assert(!(stdout + stderr).includes("\r"), "there is a progress bar");
  }
});

test("--quiet says nothing when all is well", async () => {
  await using folder = await Folder.make();
  const { path } = await folder.file("sent", 1000);
  const { receiver, target } = await receive();
  assertEquals(await run(["send", path, target, "-q"]), { code: 0, stdout: "", stderr: "" });
  assertEquals((await receiver.ended).code, 0);
});
