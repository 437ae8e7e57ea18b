/** Every number of ffi/abi.ts and ffi/errno.ts against the system's own headers, by a C program. */
import { assertEquals } from "@std/assert";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { type Arch, C, epollEvent, layout } from "../../ffi/abi.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { layout as core } from "../../wasm/mod.ts";

const HEADERS = [
  "errno.h",
  "fcntl.h",
  "net/if.h",
  "netdb.h",
  "netinet/in.h",
  "netinet/tcp.h",
  "poll.h",
  "stddef.h",
  "stdio.h",
  "sys/epoll.h",
  "sys/eventfd.h",
  "sys/ioctl.h",
  "sys/resource.h",
  "sys/socket.h",
  "sys/un.h",
  "time.h",
  "linux/errqueue.h",
  "linux/sockios.h",
];

/** C expressions and the values they should have. */
function expectations(): Record<string, number> {
  const expected: Record<string, number> = { ...C, ...ERRNO };
  const structs = { ...layout, epoll_event: epollEvent[process.arch as Arch] };
  for (const [name, { size, ...fields }] of Object.entries(structs)) {
    expected[`sizeof(struct ${name})`] = size;
    for (const [field, offset] of Object.entries(fields)) expected[`offsetof(struct ${name}, ${field})`] = offset;
  }
  // What the core writes by itself.
  expected["sizeof(struct mmsghdr) + 0"] = core.BATCH.BYTES;
  expected["offsetof(struct mmsghdr, msg_len) + 0"] = core.BATCH.LENGTH;
  expected["sizeof(struct msghdr) + 0"] = core.SEND.IOVECS - core.SEND.MSGHDR;
  expected["sizeof(struct iovec) * 16"] = core.SEND.NAME - core.SEND.IOVECS;
  return expected;
}

function evaluate(expressions: readonly string[]): number[] {
  const folder = mkdtempSync(join(tmpdir(), "ringlet-abi-"));
  try {
    const lines = expressions.map((expression) => `  printf("%lld\\n", (long long)(${expression}));`);
    const includes = HEADERS.map((header) => `#include <${header}>`);
    const source = ["#define _GNU_SOURCE", ...includes, "int main(void) {", ...lines, "}", ""].join("\n");
    writeFileSync(join(folder, "abi.c"), source);
    execFileSync("cc", ["-o", join(folder, "abi"), join(folder, "abi.c")]);
    return execFileSync(join(folder, "abi"), { encoding: "utf8" }).trim().split("\n").map(Number);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function hasCompiler(): boolean {
  try {
    execFileSync("cc", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const skip = hasCompiler() ? false : "no C compiler (apt-get install gcc libc6-dev)";
if (skip) console.log(`SKIP constants and layouts agree with the C headers: ${skip}`);

test("constants and layouts agree with the C headers", { skip }, () => {
  const expected = expectations();
  const names = Object.keys(expected);
  const values = evaluate(names);
  // EPOLLET and the like are unsigned here and signed in C.
  const found = Object.fromEntries(names.map((name, i) => [name, expected[name] > 0 ? values[i] >>> 0 : values[i]]));
  assertEquals(found, expected);
});
