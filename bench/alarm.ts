/**
 * A thread that sends a datagram now and then and notes when, so that its receiver can tell how long it took to wake up.
 *
 * @module
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { C } from "../ffi/abi.ts";
import { libcPath } from "./libc_path.ts";

/** Long enough for the receiver to be asleep. */
const PAUSE_MS = 1;
const CLOCK_MONOTONIC = 1;

const libc = Deno.dlopen(libcPath(), {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  sendto: { parameters: ["i32", "buffer", "u64", "i32", "buffer", "u32"], result: "i64" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
}).symbols;

const time = new BigInt64Array(2);
const timeBytes = new Uint8Array(time.buffer);

/** One clock for all threads, in milliseconds. */
function now(): number {
  libc.clock_gettime(CLOCK_MONOTONIC, timeBytes);
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
}

/** See the module. */
export class Alarm {
  readonly #sent = new Float64Array(new SharedArrayBuffer(8));
  readonly #worker: Worker;

  /** @param port Where to, on this host. */
  constructor(port: number) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: { port, sent: this.#sent } });
  }

  /** Asks for the next datagram. */
  set(): void {
    this.#worker.postMessage(undefined);
  }

  /** Milliseconds since it was sent. */
  elapsedMs(): number {
    return now() - this.#sent[0];
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

if (!isMainThread && workerData?.sent !== undefined) {
  const { port, sent } = workerData;
  const address = Uint8Array.of(C.AF_INET, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  const fd = libc.socket(C.AF_INET, C.SOCK_DGRAM, 0);
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  parentPort!.on("message", () => {
    Atomics.wait(sleeper, 0, 0, PAUSE_MS);
    sent[0] = now();
    libc.sendto(fd, timeBytes, 16n, 0, address, address.length);
  });
}
