/** io_uring's calls from both sources, on real rings. */
import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { release } from "node:os";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { C, layout } from "../../ffi/abi.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { libraryPaths } from "../../ffi/libc.ts";
import { openUring, type Uring } from "../../ffi/liburing.ts";
import { openSystem } from "../../ffi/system.ts";
import { childJson } from "../support/child.ts";
import { HANG_MS, lacks, testIf } from "../support/skip.ts";
import { lacksRing, SCRATCH_AT, SmallRing } from "./small_ring.ts";

const system = openSystem();
const { libc, runtime } = system;
const bySyscall = openUring({ arch: runtime.arch, openIfGranted: () => undefined }, libc);

const LIBURING = libraryPaths(runtime.arch, "liburing.so.2").find((path) => existsSync(path));
const NO_LIBURING = LIBURING === undefined ? "needs liburing 2.3 or newer: apt-get install liburing2" : undefined;
const NO_RING = lacksRing(system, release());
const NO_PERMISSIONS = process.versions.deno === undefined ? "only Deno asks for permissions" : undefined;
const NO_TERMINAL = lacks("needs `script` of util-linux", "script", "--version");

const PROGRAM = new URL("./programs/uring_source.ts", import.meta.url);
/** Each source, what is missing for it, and how to open it. */
const SOURCES: readonly [Uring["source"], string | undefined, () => Uring][] = [
  ["liburing", NO_LIBURING, () => system.uring()],
  ["syscall", undefined, () => bySyscall],
];

test("without liburing the calls come from libc; a system opens them once", () => {
  assertEquals(bySyscall.source, "syscall");
  assertEquals(system.uring(), system.uring());
});

testIf(NO_LIBURING, "liburing is taken where it is installed", () => {
  assertEquals(system.uring().source, "liburing");
});

/** Calls that must fail, and the errno. */
function refusals(uring: Uring, ring: SmallRing): [string, number, number][] {
  const { io_uring_params } = layout;
  const scratch = ring.base + BigInt(SCRATCH_AT);
  const params = (flags: number) => {
    ring.bytes.fill(0, SCRATCH_AT, SCRATCH_AT + io_uring_params.size);
    ring.view.setUint32(SCRATCH_AT + io_uring_params.flags, flags, true);
    return scratch;
  };
  const eventfd = libc.call.eventfd(0, C.EFD_CLOEXEC);
  try {
    return [
      ["setup without params", uring.setup(8, 0n), ERRNO.EFAULT],
      ["setup without entries", uring.setup(0, params(0)), ERRNO.EINVAL],
      ["setup with an unknown flag", uring.setup(8, params(0x80000000)), ERRNO.EINVAL],
      ["setup without memory of its own", uring.setup(8, params(C.IORING_SETUP_NO_MMAP)), ERRNO.EFAULT],
      ["enter without a descriptor", uring.enter(-1, 0, 0, 0), ERRNO.EBADF],
      ["enter on what is no ring", uring.enter(eventfd, 1, 0, 0), ERRNO.EOPNOTSUPP],
      ["enter with an unknown flag", uring.enter(ring.fd, 0, 0, 1 << 30), ERRNO.EINVAL],
      // Not -1: to newer kernels that means "without a ring".
      ["register without a descriptor", uring.register(-2, C.IORING_REGISTER_PROBE, scratch, 1), ERRNO.EBADF],
      ["register an unknown opcode", uring.register(ring.fd, 9999, scratch, 1), ERRNO.EINVAL],
      ["register nothing", uring.register(ring.fd, C.IORING_REGISTER_BUFFERS, 0n, 1), ERRNO.EFAULT],
      ["unregister nothing", uring.register(ring.fd, C.IORING_UNREGISTER_BUFFERS, 0n, 0), ERRNO.ENXIO],
    ];
  } finally {
    libc.call.close(eventfd);
  }
}

/** What the kernel says about its opcodes. */
function probe(uring: Uring, ring: SmallRing): { lastOp: number; supported: number[] } {
  const { io_uring_probe, io_uring_probe_op } = layout;
  const ops = 255;
  ring.bytes.fill(0, SCRATCH_AT, SCRATCH_AT + io_uring_probe.size + ops * io_uring_probe_op.size);
  assertEquals(uring.register(ring.fd, C.IORING_REGISTER_PROBE, ring.base + BigInt(SCRATCH_AT), ops), 0);
  const count = ring.view.getUint8(SCRATCH_AT + io_uring_probe.ops_len);
  const at = (i: number) => SCRATCH_AT + io_uring_probe.ops + i * io_uring_probe_op.size;
  const all = Array.from({ length: count }, (_, i) => i);
  for (const i of all) assertEquals(ring.view.getUint8(at(i) + io_uring_probe_op.op), i);
  return {
    lastOp: ring.view.getUint8(SCRATCH_AT + io_uring_probe.last_op),
    supported: all.filter((i) => ring.view.getUint16(at(i) + io_uring_probe_op.flags, true) & C.IO_URING_OP_SUPPORTED),
  };
}

for (const [source, missing, get] of SOURCES) {
  testIf(missing ?? NO_RING, `a ring inside WebAssembly memory completes what it is given (${source})`, () => {
    const uring = get();
    assertEquals(uring.source, source);
    using ring = new SmallRing(system, uring);
    assert(ring.fd >= 0, `setup answered ${ring.fd}`);
    const { sq_entries, cq_entries, features } = layout.io_uring_params;
    assertEquals([ring.param(sq_entries), ring.param(cq_entries)], [8, 32]);
    const promised = C.IORING_FEAT_NODROP | C.IORING_FEAT_SUBMIT_STABLE;
    assertEquals(ring.param(features) & promised, promised);
    // Three at a time, so that the slots wrap.
    let next = 0xfedc_ba98_7654_3210n;
    for (let round = 0; round < 20; round++) {
      const userData = [next++, next++, next++];
      for (const each of userData) ring.push(C.IORING_OP_NOP, each);
      assertEquals(ring.enter(3, 3), 3);
      assertEquals(ring.reap(), userData.map((userData) => ({ userData, result: 0, flags: 0 })));
    }
    assertEquals(ring.enter(0, 0), 0);
    assertEquals(ring.reap(), []);
  });

  testIf(missing ?? NO_RING, `a failed entry answers its errno; a success may be silent (${source})`, () => {
    using ring = new SmallRing(system, get());
    ring.push(C.IORING_OP_NOP, 1n, C.IOSQE_CQE_SKIP_SUCCESS);
    ring.push(255, 2n);
    ring.push(C.IORING_OP_NOP, 3n);
    assertEquals(ring.enter(3, 2), 3, "SUBMIT_ALL goes on after the one that fails");
    assertEquals(ring.reap(), [
      { userData: 2n, result: -ERRNO.EINVAL, flags: 0 },
      { userData: 3n, result: 0, flags: 0 },
    ]);
  });

  testIf(missing ?? NO_RING, `bad arguments are answered with -errno (${source})`, () => {
    using ring = new SmallRing(system, get());
    for (const [what, answer, errno] of refusals(get(), ring)) assertEquals([what, answer], [what, -errno]);
  });
}

testIf(NO_LIBURING ?? NO_RING, "both sources serve the same ring and hear the same of it", () => {
  const liburing = system.uring();
  using ring = new SmallRing(system, liburing);
  assertEquals(refusals(liburing, ring), refusals(bySyscall, ring));
  const known = probe(liburing, ring);
  assertEquals(probe(bySyscall, ring), known);
  const needed = [
    C.IORING_OP_NOP,
    C.IORING_OP_SENDMSG,
    C.IORING_OP_URING_CMD,
    C.IORING_OP_SEND_ZC,
    C.IORING_OP_SENDMSG_ZC,
  ];
  assertEquals(needed.filter((opcode) => !known.supported.includes(opcode)), []);
  assert(known.lastOp >= C.IORING_OP_SENDMSG_ZC);
  for (const uring of [bySyscall, liburing, bySyscall]) {
    ring.push(C.IORING_OP_NOP, 7n);
    assertEquals(uring.enter(ring.fd, 1, 1, C.IORING_ENTER_GETEVENTS), 1);
    assertEquals(ring.reap().map(({ userData }) => userData), [7n]);
  }
});

/** What the program says under these permissions. */
function withPermissions(...flags: string[]): Promise<Record<string, unknown>> {
  return childJson(PROGRAM, { flags });
}
const WORKS = { submitted: 1, completions: 1 };

testIf(NO_PERMISSIONS ?? NO_RING, "the permission for libc alone is enough for a ring", async () => {
  assertEquals(await withPermissions(`--allow-ffi=${libc.path}`), { source: "syscall", ...WORKS });
});

testIf(NO_PERMISSIONS ?? NO_LIBURING ?? NO_RING, "liburing is taken where it is granted", async () => {
  assertEquals(await withPermissions("--allow-ffi"), { source: "liburing", ...WORKS });
  assertEquals(await withPermissions(`--allow-ffi=${libc.path},${LIBURING}`), { source: "liburing", ...WORKS });
  const denied = libraryPaths(runtime.arch, "liburing.so.2").join(",");
  assertEquals(await withPermissions("--allow-ffi", `--deny-ffi=${denied}`), { source: "syscall", ...WORKS });
});

testIf(NO_PERMISSIONS ?? NO_TERMINAL ?? NO_RING, "nobody at a terminal is asked about liburing", () => {
  const command = `${process.execPath} run --no-check --allow-ffi=${libc.path} ${fileURLToPath(PROGRAM)}`;
  const { stdout, status } = spawnSync("script", ["-qec", command, "/dev/null"], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "inherit"],
    timeout: HANG_MS / 2,
  });
  assertEquals(status, 0, stdout);
  assert(!stdout.includes("requests ffi access"), stdout);
  assertEquals(JSON.parse(stdout.trim().split("\n").at(-1)!), { source: "syscall", ...WORKS });
});
