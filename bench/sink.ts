/**
 * The receiver of the TCP benchmark: throws away what comes, within the kernel (MSG_TRUNC), so that it is the senders that are
 * measured, and answers a byte for every so many, so that they know when all has arrived.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { libcPaths } from "../ffi/libc.ts";
import { openSystem } from "../ffi/system.ts";

const MAX_CONNECTIONS = 64;
const DISCARD_BYTES = 1n << 30n;
const LOOPBACK = Uint8Array.of(C.AF_INET, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);

const { arch } = openSystem();
const path = libcPaths(arch).find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});
// Blocking calls: this process does nothing else.
const libc = Deno.dlopen(path!, {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  accept: { parameters: ["i32", "u64", "u64"], result: "i32" },
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
  recv: { parameters: ["i32", "u64", "u64", "i32"], result: "i32" },
  write: { parameters: ["i32", "buffer", "u64"], result: "i32" },
}).symbols;

const listener = libc.socket(C.AF_INET, C.SOCK_STREAM, 0);
const address = LOOPBACK.slice();
libc.bind(listener, address, address.length);
libc.listen(listener, MAX_CONNECTIONS);
libc.getsockname(listener, address, new Uint8Array(Uint32Array.of(address.length).buffer));
console.log(address[2] << 8 | address[3]);

const answerEvery = Number(Deno.args[0]);
const answer = new Uint8Array(1);
/** Bytes since the last answer. */
const received = new Map<number, number>();
const { size, fd, events, revents } = layout.pollfd;
const polled = new Uint8Array(size * (MAX_CONNECTIONS + 2));
const view = new DataView(polled.buffer);

/** The end of standard input is the end of the benchmark. */
const STDIN = 0;
let watched: number[] = [];
function watch(fds: number[]): void {
  watched = fds;
  watched.forEach((descriptor, i) => {
    view.setInt32(i * size + fd, descriptor, true);
    view.setInt16(i * size + events, C.POLLIN, true);
  });
}

watch([STDIN, listener]);
for (;;) {
  libc.poll(polled, BigInt(watched.length), -1);
  for (const [i, descriptor] of watched.entries()) {
    if (view.getInt16(i * size + revents, true) === 0) continue;
    if (descriptor === STDIN) Deno.exit();
    if (descriptor === listener) {
      const connection = libc.accept(listener, 0n, 0n);
      received.set(connection, 0);
      watch([...watched, connection]);
    } else {
      discard(descriptor);
    }
  }
}

function discard(connection: number): void {
  const n = libc.recv(connection, 0n, DISCARD_BYTES, C.MSG_TRUNC);
  if (n <= 0) {
    received.delete(connection);
    watch(watched.filter((descriptor) => descriptor !== connection));
    return;
  }
  let bytes = received.get(connection)! + n;
  for (; bytes >= answerEvery; bytes -= answerEvery) libc.write(connection, answer, 1n);
  received.set(connection, bytes);
}
