/**
 * The receiver of one contender of the TCP benchmarks: throws away what comes, within the kernel (MSG_TRUNC), so that it is the
 * sender that is measured, and answers on the first connection each time that so many bytes have come, so that the sender knows.
 *
 *   sink.ts BYTES ANSWER_BYTES
 *
 * With both numbers the same it is an echo.
 *
 * @module
 */
import { C, epollEvent } from "../ffi/abi.ts";
import { openSystem } from "../ffi/system.ts";
import { libcPath } from "./libc_path.ts";

const BACKLOG = 4096;
const EVENTS = 64;
const DISCARD_BYTES = 1n << 30n;
const LOOPBACK = Uint8Array.of(C.AF_INET, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
/** The end of standard input is the end of the benchmark. */
const STDIN = 0;

const { arch } = openSystem();
// Blocking calls: this process does nothing else.
const libc = Deno.dlopen(libcPath(), {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  accept: { parameters: ["i32", "u64", "u64"], result: "i32" },
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  recv: { parameters: ["i32", "u64", "u64", "i32"], result: "i32" },
  write: { parameters: ["i32", "buffer", "u64"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
}).symbols;

const [answerEvery, answerBytes] = Deno.args.map(Number);
const answer = new Uint8Array(answerBytes);
const listener = libc.socket(C.AF_INET, C.SOCK_STREAM, 0);
const address = LOOPBACK.slice();
libc.bind(listener, address, address.length);
libc.listen(listener, BACKLOG);
libc.getsockname(listener, address, new Uint8Array(Uint32Array.of(address.length).buffer));

const { size, events, data } = epollEvent[arch];
const ready = new Uint8Array(size * EVENTS);
const view = new DataView(ready.buffer);
const epoll = libc.epoll_create1(0);
function watch(fd: number): void {
  view.setUint32(events, C.EPOLLIN, true);
  view.setUint32(data, fd, true);
  libc.epoll_ctl(epoll, C.EPOLL_CTL_ADD, fd, ready);
}

let first: number | undefined;
let received = 0;
function discard(connection: number): void {
  const n = libc.recv(connection, 0n, DISCARD_BYTES, C.MSG_TRUNC);
  if (n <= 0) return void libc.close(connection);
  received += n;
  for (; received >= answerEvery; received -= answerEvery) libc.write(first!, answer, BigInt(answerBytes));
}

watch(STDIN);
watch(listener);
console.log(address[2] << 8 | address[3]);
for (;;) {
  const n = libc.epoll_wait(epoll, ready, EVENTS, -1);
  const descriptors = Array.from({ length: n }, (_, i) => view.getUint32(i * size + data, true));
  for (const descriptor of descriptors) {
    if (descriptor === STDIN) Deno.exit();
    if (descriptor === listener) {
      const connection = libc.accept(listener, 0n, 0n);
      first ??= connection;
      watch(connection);
    } else {
      discard(descriptor);
    }
  }
}
