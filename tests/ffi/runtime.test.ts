import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { C, layout } from "../../ffi/abi.ts";
import { ERRNO, errnoAdvice, errnoName } from "../../ffi/errno.ts";
import { LIBC, libcPaths } from "../../ffi/libc.ts";
import { openSystem } from "../../ffi/system.ts";

const system = openSystem();
const { runtime, libc } = system;

test("libc is opened by an absolute path", () => {
  assert(libc.path.startsWith("/"));
  assert(libcPaths("x64").every((path) => path.startsWith("/")));
  assert(libcPaths("arm64").every((path) => path.startsWith("/")));
});

test("a library that is nowhere says where it was looked for", () => {
  const error = assertThrows(() => runtime.openLibrary(["/no/such/a.so", "/no/such/b.so"], LIBC), Error);
  assert(error.message.includes("/no/such/a.so") && error.message.includes("/no/such/b.so"));
});

test("a library is opened without asking where it is granted, or not at all", () => {
  const symbols = { absolute: { name: "abs", parameters: ["i32"], result: "i32" } } as const;
  const missing = { no_such_function: { parameters: [], result: "i32" } } as const;
  const opened = runtime.openIfGranted(["/no/such/library.so", libc.path], symbols);
  assertEquals(opened?.absolute(-7), 7);
  assertEquals(runtime.openIfGranted(["/no/such/library.so"], symbols), undefined);
  assertEquals(runtime.openIfGranted([libc.path], missing), undefined);
  assertEquals(runtime.openIfGranted([], symbols), undefined);
});

test("a second library changes nothing for the first", () => {
  const bytes = new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1 }).buffer);
  const base = runtime.addressOf(bytes);
  runtime.openLibrary([libc.path], LIBC).close();
  assertEquals(runtime.addressOf(bytes), base);
  assertEquals(libc.call.close(-1), -1);
  assertEquals(libc.errno(), ERRNO.EBADF);
});

test("errno is that of the call before", () => {
  for (let i = 0; i < 10_000; i++) {
    assertEquals(libc.call.close(-1), -1);
    assertEquals(libc.errno(), ERRNO.EBADF);
    assertEquals(libc.call.socket(-1, C.SOCK_STREAM, 0), -1);
    assertEquals(libc.errno(), ERRNO.EAFNOSUPPORT);
  }
});

test("the address of a memory is where C reads it", () => {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2 });
  const bytes = new Uint8Array(memory.buffer);
  const base = runtime.addressOf(bytes);
  assertEquals(base % 4096n, 0n);
  bytes[70_000] = 42;
  const read = new Uint8Array(1);
  libc.call.peek(read, base + 70_000n, 1n);
  assertEquals(read[0], 42);
  libc.call.poke(base + 70_001n, new Uint8Array([43]), 1n);
  assertEquals(bytes[70_001], 43);
  assertEquals(runtime.addressOf(bytes.subarray(100)), base + 100n);
});

test("a descriptor's flags are read and set", () => {
  const pipe = new Int32Array(2);
  assertEquals(libc.call.pipe2(new Uint8Array(pipe.buffer), C.O_CLOEXEC | C.O_NONBLOCK), 0);
  const flags = libc.call.fcntl(pipe[0], C.F_GETFL, 0);
  assertEquals(flags & C.O_NONBLOCK, C.O_NONBLOCK);
  assertEquals(libc.call.fcntl(pipe[0], C.F_SETFL, flags & ~C.O_NONBLOCK), 0);
  assertEquals(libc.call.fcntl(pipe[0], C.F_GETFL, 0) & C.O_NONBLOCK, 0);
  for (const fd of pipe) libc.call.close(fd);
});

test("the limit of locked memory is the process's", () => {
  const limits = new BigUint64Array(layout.rlimit.size / 8);
  assertEquals(libc.call.getrlimit(C.RLIMIT_MEMLOCK, new Uint8Array(limits.buffer)), 0);
  const text = readFileSync("/proc/self/limits", "utf8").match(/^Max locked memory +(\S+) +(\S+)/m)!;
  const [soft, hard] = text.slice(1).map((limit) => limit === "unlimited" ? 2n ** 64n - 1n : BigInt(limit));
  assertEquals([limits[layout.rlimit.rlim_cur / 8], limits[layout.rlimit.rlim_max / 8]], [soft, hard]);
});

test("a watched pipe tells every writer", async () => {
  const pipe = new Int32Array(2);
  assertEquals(libc.call.pipe2(new Uint8Array(pipe.buffer), C.O_CLOEXEC | C.O_NONBLOCK), 0);
  const ring = () => libc.call.write(pipe[1], new Uint8Array(1), 1n);
  let wake = () => {};
  const watch = runtime.watchPipe(pipe[0], () => wake());
  for (let i = 0; i < 3; i++) {
    const rung = new Promise<void>((resolve) => wake = resolve);
    assertEquals(ring(), 1);
    await rung;
  }
  watch.close();
  libc.call.close(pipe[1]);
});

test("errno numbers have names, and the common ones advice", () => {
  for (const [name, errno] of Object.entries(ERRNO)) assertEquals(errnoName(errno), name);
  assertEquals(errnoName(9999), "E9999");
  assertEquals(errnoAdvice(9999), "");
  assert(errnoAdvice(ERRNO.ECONNREFUSED) !== "");
});
