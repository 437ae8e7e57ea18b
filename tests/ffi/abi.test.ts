/** Every number of ffi/abi.ts and ffi/errno.ts against the C headers of both processors, by a program of static assertions. */
import { assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { type Arch, C, epollEvent, layout } from "../../ffi/abi.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { layout as core } from "../../wasm/mod.ts";
import { lacks, testIf } from "../support/skip.ts";

const HEADERS = [
  "errno.h",
  "fcntl.h",
  "net/if.h",
  "netdb.h",
  "netinet/in.h",
  "netinet/tcp.h",
  "netinet/udp.h",
  "poll.h",
  "stddef.h",
  "stdio.h",
  "sys/epoll.h",
  "sys/eventfd.h",
  "sys/ioctl.h",
  "sys/mman.h",
  "sys/resource.h",
  "sys/socket.h",
  "sys/syscall.h",
  "sys/un.h",
  "sys/utsname.h",
  "time.h",
  "linux/errqueue.h",
  "linux/io_uring.h",
  "linux/net_tstamp.h",
  "linux/sockios.h",
];

/**
 * What headers older than the kernel named lack, said here a second time. A compiler that needs it warns, and the test prints that;
 * tests/ffi/uring.test.ts has the kernel's own word on it.
 */
const NEWER = [
  // The same commit turned the reserved last field of both offset structs into user_addr.
  {
    lacking: "IORING_SETUP_NO_MMAP",
    kernel: "6.5",
    definitions: ["IORING_SETUP_NO_MMAP (1U << 14)", "user_addr resv2"],
  },
];

/** A C compiler for each processor; the machine's own may also be plain `cc`. */
const COMPILERS: Readonly<Record<Arch, string>> = { x64: "x86_64-linux-gnu-gcc", arm64: "aarch64-linux-gnu-gcc" };
const PACKAGES: Readonly<Record<Arch, string>> = {
  x64: "gcc libc6-dev",
  arm64: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
};

/** C expressions and the values they should have. */
function expectations(arch: Arch): Record<string, number> {
  const expected: Record<string, number> = { ...C, ...ERRNO };
  const structs = { ...layout, epoll_event: epollEvent[arch] };
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

/** The assertions that do not hold, and what the headers are too old for, as the compiler names them. */
function compile(compiler: string, expected: Record<string, number>): { refuted: string[]; older: string[] } {
  const assertions = Object.entries(expected).map(([expression, value]) =>
    // Some constants are enumerators or signed in C and unsigned here: compare 32 bits.
    `_Static_assert((unsigned)(${expression}) == (unsigned)(${value}), "${expression} is ${value}");`
  );
  const includes = HEADERS.map((header) => `#include <${header}>`);
  const guards = NEWER.flatMap(({ lacking, kernel, definitions }) => [
    `#ifndef ${lacking}`,
    `#warning "${lacking} is of Linux ${kernel}"`,
    ...definitions.map((definition) => `#define ${definition}`),
    "#endif",
  ]);
  const input = ["#define _GNU_SOURCE", ...includes, ...guards, ...assertions, ""].join("\n");
  const { status, stderr } = spawnSync(compiler, ["-fsyntax-only", "-x", "c", "-"], { input, encoding: "utf8" });
  const lines = stderr.split("\n");
  const refuted = lines.filter((line) => line.includes("error:"));
  assertEquals(status === 0, refuted.length === 0, stderr);
  return { refuted, older: lines.filter((line) => line.includes("warning:")) };
}

for (const [arch, compiler] of Object.entries(COMPILERS) as [Arch, string][]) {
  const missing = lacks(`needs a C compiler: apt-get install ${PACKAGES[arch]}`, compiler, "--version");
  testIf(missing, `constants and layouts agree with the C headers of ${arch}`, () => {
    const { refuted, older } = compile(compiler, expectations(arch));
    for (const warning of older) console.log(`NOTE headers of ${arch}: ${warning}`);
    assertEquals(refuted, []);
    assertEquals(older.filter((warning) => !NEWER.some(({ lacking }) => warning.includes(lacking))), []);
    const wrong = { EINVAL: 21, "sizeof(struct msghdr)": 57, IORING_SETUP_NO_MMAP: 1 << 13 };
    assertEquals(compile(compiler, wrong).refuted.length, 3, "wrong values are noticed");
  });
}
