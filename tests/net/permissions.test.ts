/**
 * Permissions of the runtime: FFI for libc's path alone is enough to open, and sockets ask for the net permission that FFI would
 * slip past.
 */
import { assert, assertEquals } from "@std/assert";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import process from "node:process";
import { openSystem } from "../../ffi/system.ts";
import { childJson, runChild } from "../support/child.ts";
import { testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/permissions.ts", import.meta.url);
const LIBC = openSystem().libc.path;
const NO_PERMISSIONS = process.versions.deno === undefined ? "only Deno asks for permissions" : undefined;

/** The program with these permissions. */
async function withPermissions(port: number, ...flags: string[]): Promise<Record<string, string>> {
  const directory = realpathSync(mkdtempSync(`${tmpdir()}/ringlet-`));
  try {
    flags = flags.map((flag) => flag.replace("DIRECTORY", directory));
    return await childJson<Record<string, string>>(PROGRAM, { args: [String(port), directory], flags });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function refused(outcome: string | undefined, flag: string): boolean {
  return outcome?.startsWith("NotCapable") === true && outcome.includes(flag);
}

testIf(NO_PERMISSIONS, "libc's absolute path is all of FFI that is needed; without net nothing goes out", async () => {
  const { open, ledger, sockets, ...all } = await withPermissions(0, `--allow-ffi=${LIBC}`);
  assertEquals([open, ledger, sockets], ["done", "true", "0"]);
  for (const [name, outcome] of Object.entries(all)) {
    if (name.includes("datagram")) continue; // there is no socket to send it with
    assert(refused(outcome, name.includes("path") ? "--allow-read" : "--allow-net"), `${name}: ${outcome}`);
  }
});

testIf(NO_PERMISSIONS, "a net permission for one host and port is a permission for nothing else", async () => {
  const port = await freePort();
  const results = await withPermissions(port, `--allow-ffi=${LIBC}`, `--allow-net=127.0.0.1:${port}`);
  for (const name of ["open", "listen", "connect", "bindUdp"]) assertEquals([name, results[name]], [name, "done"]);
  for (const name of ["connect elsewhere", "connect to a name", "bindUdp with remote"]) {
    assert(refused(results[name], "--allow-net"), `${name}: ${results[name]}`);
  }
  for (const name of ["first datagram to a host", "first batched datagram to a host"]) {
    assert(refused(results[name], "--allow-net"), `${name}: ${results[name]}`);
  }
});

testIf(NO_PERMISSIONS, "a Unix socket's path is read and written", async () => {
  const both = await withPermissions(0, `--allow-ffi=${LIBC}`, "--allow-read=DIRECTORY", "--allow-write=DIRECTORY");
  assertEquals([both["listen at a path"], both["connect to a path"]], ["done", "done"]);
  const one = await withPermissions(0, `--allow-ffi=${LIBC}`, "--allow-read=DIRECTORY");
  assert(refused(one["listen at a path"], "--allow-write"), one["listen at a path"]);
});

testIf(NO_PERMISSIONS, "without FFI open says what is needed, and with the wrong path too", async () => {
  // One flag at least: Deno's node:child_process gives every permission to a child that has none.
  for (const flags of [["--allow-env"], ["--allow-ffi=/lib/nowhere.so"]]) {
    const { status, stdout } = await runChild(PROGRAM, { args: ["0", "/nowhere"], flags });
    assertEquals(status, 0);
    const { open } = JSON.parse(stdout);
    assert(open.startsWith("RingletError: Cannot open"), open);
    assert(open.includes("--allow-ffi"), open);
  }
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
