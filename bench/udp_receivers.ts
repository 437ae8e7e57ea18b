/**
 * Ways to receive datagrams, as contenders: each finds a burst in its socket's buffer, and takes it out. Only the taking is timed.
 *
 *   udp_receivers.ts NAME
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { C } from "../ffi/abi.ts";
import { encodeNumeric } from "../ffi/address.ts";
import { openSystem } from "../ffi/system.ts";
import { type EngineName, open } from "../mod.ts";

const BYTES = 1200;
/** As many as a socket's buffer holds unless it is made larger. */
const BURST = 64;
const BATCH = 32;
const hostname = "127.0.0.1";

interface Receiver {
  readonly port: number;
  /** Takes `count` datagrams; answers how many bytes they had. */
  take(count: number): Promise<number>;
  close(): unknown;
}

async function ringlet(engine: EngineName, way: string): Promise<Receiver> {
  const io = await open({ engine, arenaBytes: 1 << 20 });
  const udp = await io.bindUdp({ hostname });
  const leases = await Promise.all(Array.from({ length: BATCH }, () => io.lease(2048)));
  const loop = udp.datagrams({ batch: BATCH, leaseBytes: 2048 })[Symbol.asyncIterator]();
  const ways: Record<string, (count: number) => Promise<number>> = {
    async recv(count) {
      let bytes = 0;
      while (count-- > 0) bytes += (await udp.recv(leases[0])).bytes;
      return bytes;
    },
    async recvMany(count) {
      let bytes = 0;
      while (count > 0) {
        const datagrams = await udp.recvMany(leases);
        for (const datagram of datagrams) bytes += datagram.bytes;
        count -= datagrams.length;
      }
      return bytes;
    },
    async datagrams(count) {
      let bytes = 0;
      while (count-- > 0) {
        const { value } = await loop.next();
        bytes += value.bytes;
        value.lease.release();
      }
      return bytes;
    },
  };
  return { port: udp.localAddr.port, take: ways[way], close: () => io.close() };
}

// deno-lint-ignore require-await -- like the others
async function listenDatagram(): Promise<Receiver> {
  const socket = Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
  return {
    port: (socket.addr as Deno.NetAddr).port,
    async take(count) {
      let bytes = 0;
      while (count-- > 0) bytes += (await socket.receive())[0].length;
      return bytes;
    },
    close: () => socket.close(),
  };
}

async function dgram(): Promise<Receiver> {
  const socket = createSocket("udp4");
  socket.bind(0, hostname);
  await once(socket, "listening");
  let [left, bytes] = [0, 0];
  let done: (bytes: number) => void;
  socket.on("message", (message: Buffer) => {
    bytes += message.length;
    if (--left === 0) done(bytes);
  });
  return {
    port: socket.address().port,
    take(count) {
      [left, bytes] = [count, 0];
      return new Promise((resolve) => done = resolve);
    },
    close: () => socket.close(),
  };
}

const CONTENDERS: Record<string, () => Promise<Receiver>> = {
  "Deno.listenDatagram": listenDatagram,
  "node:dgram": dgram,
};
for (const engine of ["uring", "errqueue", "copy"] as const) {
  for (const way of ["recv", "recvMany", "datagrams"]) CONTENDERS[`${engine} ${way}`] = () => ringlet(engine, way);
}

const receiver = await CONTENDERS[process.argv[2]]();
const system = openSystem();
const { call } = system.libc;
const fd = call.socket(C.AF_INET, C.SOCK_DGRAM | C.SOCK_CLOEXEC, 0);
const address = encodeNumeric(system, hostname, receiver.port)!.bytes;
call.connect(fd, address, address.length);
const payload = new Uint8Array(BYTES);

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const result = { bytes: 0, seconds: 0 };
  while (result.seconds < Number(line)) {
    for (let i = 0; i < BURST; i++) call.write(fd, payload, BigInt(BYTES));
    const start = performance.now();
    result.bytes += await receiver.take(BURST);
    result.seconds += (performance.now() - start) / 1000;
  }
  console.log(result.bytes, result.seconds);
}
await receiver.close();
call.close(fd);
