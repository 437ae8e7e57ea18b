import { assert, assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import { chmod, copyFile, cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { selfCommand } from "../../cli/child.ts";
import { forbidding, NO_SECCOMP } from "../support/seccomp.ts";
import { lacks, NO_ROOT, testIf } from "../support/skip.ts";
import { type Ended, Folder, lastLine, run, Started } from "./command.ts";

const UNSHARE = ["unshare", NO_ROOT === undefined ? "-n" : "-rn"];
const ADD_DEVICE =
  "PATH=$PATH:/usr/sbin:/sbin; for kind in ifb dummy; do ip link add name ringlet1 type $kind && exit; done; exit 1";
const NO_DEVICE = lacks("needs an ifb or dummy device in a namespace", UNSHARE[0], UNSHARE[1], "sh", "-c", ADD_DEVICE);

const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const NO_NOBODY = NO_ROOT ?? lacks("needs setpriv", "setpriv", "--version");
const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

/** Runs the demo as nobody, from copies of the runtime and the sources that nobody may read, wherever the originals are. */
async function runAsNobody(...limits: string[]): Promise<Ended> {
  await using folder = await Folder.make();
  await chmod(folder.path, 0o755);
  const runtime = folder.join("runtime");
  await copyFile(process.execPath, runtime);
  await chmod(runtime, 0o755);
  for (const name of ["mod.ts", "deno.json", "cli", "ffi", "net", "wasm"]) {
    const filter = (path: string) => !path.endsWith("target");
    await cp(join(PROJECT, name), folder.join(name), { recursive: true, filter });
  }
  const [, ...rest] = selfCommand();
  const command = [...limits, ...NOBODY, runtime, ...rest.slice(0, -1), folder.join("cli/main.ts")];
  return await new Started([...command, "demo", "--json", "--copies", "1"], { HOME: "/nonexistent" }).ended;
}

/** Forbids network namespaces to what it starts. */
const NO_MORE_NAMESPACES = [
  "unshare",
  "-r",
  "sh",
  "-c",
  'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"',
  "-",
];

/** A demo that ended well, as JSON. */
// deno-lint-ignore no-explicit-any -- tests look into it
function assertDemo(ended: Ended): any {
  assertEquals([ended.code, ended.stderr], [0, ""]);
  const result = lastLine(ended);
  assertEquals(result.sha256Sent, result.sha256Received);
  for (const leg of [result, result.receiver, ...result.offHost === null ? [] : [result.offHost]]) {
    assertEquals([leg.released, leg.inFlight], [leg.lent, 0]);
    assertEquals(leg.copied + leg.notCopied, leg.sends);
    assert(leg.seconds > 0 && leg.maxInFlight > 0);
  }
  assert(result.offHost !== null || result.offHostReason.length > 10);
  return result;
}

test("the demo sends the running executable several times", async () => {
  const result = assertDemo(await run(["demo", "--json"]));
  const file = await readFile(process.execPath);
  assertEquals(result.sha256Sent, createHash("sha256").update(file).digest("hex"));
  assert(result.bytes >= 2 * file.length && result.bytes % file.length === 0);
  assert(result.cpuSecondsPerGB > 0);
});

testIf(NO_DEVICE, "its second leg is not copied", async () => {
  const { engine, offHost } = assertDemo(await run(["demo", "--json", "--engine", "errqueue", "--copies", "1"]));
  assertEquals([engine, offHost.engine], ["errqueue", "errqueue"]);
  assert(offHost.notCopied > offHost.sends / 2, `${offHost.notCopied} of ${offHost.sends} sends were read in place`);
});

testIf(NO_DEVICE, "control: with the copy engine everything is copied", async () => {
  const { engine, copied, sends, offHost } = assertDemo(
    await run(["demo", "--json", "--engine", "copy", "--copies", "1"]),
  );
  assertEquals([engine, copied], ["copy", sends]);
  assertEquals([offHost.engine, offHost.notCopied], ["copy", 0]);
});

test("a file of one's own is sent once, an empty one too", async () => {
  await using folder = await Folder.make();
  for (const byteLength of [0, 3_000_000]) {
    const { path, bytes } = await folder.file("own", byteLength);
    const result = assertDemo(await run(["demo", path, "--json", "--no-off-host"]));
    assertEquals([result.bytes, result.file], [byteLength, path]);
    assertEquals(result.sha256Received, createHash("sha256").update(bytes).digest("hex"));
    assertEquals([result.offHost, result.offHostReason], [null, "left out by --no-off-host"]);
  }
});

/** Without the second leg the demo succeeds and gives this reason, in JSON and under the table. */
async function assertNoOffHost(reason: RegExp, options: Parameters<typeof run>[1]): Promise<void> {
  await using folder = await Folder.make();
  const { path } = await folder.file("own", 1000);
  const { offHost, offHostReason } = assertDemo(await run(["demo", path, "--json"], options));
  assertEquals(offHost, null);
  assertMatch(offHostReason, reason);
  const { stdout } = await run(["demo", path], options);
  assert(stdout.includes(`\nNothing was sent over a device that does not copy: ${offHostReason}\n`), stdout);
}

test("without unshare, the demo says what to install", async () => {
  await assertNoOffHost(/unshare is missing; install util-linux/, { env: { PATH: "/nonexistent" } });
});

testIf(NO_DEVICE, "without the right to make a device, the demo says so", async () => {
  await using folder = await Folder.make();
  await writeFile(folder.join("ip"), "#!/bin/sh\necho 'RTNETLINK answers: Operation not permitted' >&2\nexit 2\n");
  await chmod(folder.join("ip"), 0o755);
  await assertNoOffHost(/^ip link add .*Operation not permitted/, {
    env: { PATH: `${folder.path}:${process.env.PATH}` },
  });
});

testIf(
  lacks("needs user namespaces", NO_MORE_NAMESPACES[0], ...NO_MORE_NAMESPACES.slice(1), "true"),
  "where namespaces are not allowed, the demo says so",
  () => assertNoOffHost(/no network namespace can be made here/, { wrapper: NO_MORE_NAMESPACES }),
);

testIf(NO_SECCOMP, "where io_uring is forbidden, the table says so, for both ends and both legs", async () => {
  await using folder = await Folder.make();
  const { path } = await folder.file("own", 1_000_000);
  const wrapper = forbidding("setup EPERM");
  const { code, stdout } = await run(["demo", path], { wrapper });
  const row = (label: string) => stdout.split("\n").find((line) => line.startsWith(label)) ?? "";
  assertEquals(code, 0);
  assertEquals(row("engine").match(/errqueue/g)?.length, NO_DEVICE === undefined ? 3 : 2, stdout);
  assertEquals(row("why").match(/io_uring is forbidden/g)?.length, NO_DEVICE === undefined ? 3 : 2, stdout);
  const insisted = await run(["demo", path, "--engine", "uring"], { wrapper });
  assertEquals([insisted.code, insisted.stdout.includes("SHA-256")], [4, false]);
  assertMatch(insisted.stderr, /Cannot open with engine "uring": io_uring is forbidden/);
});

testIf(NO_NOBODY, "the demo needs no privilege", async () => {
  assertDemo(await runAsNobody());
});

testIf(
  NO_NOBODY ?? lacks("needs prlimit", "prlimit", "--version"),
  "the demo needs little lockable memory",
  async () => {
    assertDemo(await runAsNobody("prlimit", "--memlock=1048576"));
  },
);

testIf(
  process.versions.deno === undefined ? "only Deno has permissions" : undefined,
  "a missing permission ends with 4 and says which",
  async () => {
    const [program, , , file] = selfCommand();
    const flags = ["--no-prompt", "--allow-read", "--allow-env", "--allow-sys"];
    const { code, stderr } = await new Started([program, "run", ...flags, file, "demo"]).ended;
    assertEquals(code, 4);
    assertMatch(stderr, /--allow-ffi/);
  },
);

testIf(
  lacks("needs script (bsdutils)", "script", "-qec", "true", "/dev/null"),
  "on a terminal there is a progress bar with a rate and the time left",
  async () => {
    const words = [...selfCommand(), "demo", "--no-off-host", "--copies", "4"].map((word) => `'${word}'`).join(" ");
    const { code, stdout } = await new Started(["script", "-qec", words, "/dev/null"]).ended;
    assertEquals(code, 0);
    const bar = stdout.split("\r").find((line) => line.includes("left"));
    assertMatch(bar ?? "", /send \[[#-]{24}\] +\d+% +.* of .*B\/s +[\d:-]+ left/);
    assertMatch(stdout, /SHA-256 received .* equal/);
  },
);
