/**
 * Deno's own sockets as contenders.
 *
 * @module
 */
import { Alarm } from "./alarm.ts";
import { buffers, datagrams, type Job, type Sender, serve, type Traveller } from "./rounds.js";

// deno-lint-ignore require-await -- like the others
async function datagram(job: Job): Promise<Sender> {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: 0 });
  const to = Array.from({ length: job.destinations }, (_, i): Deno.NetAddr => {
    return { transport: "udp", hostname: job.to.hostname, port: job.to.port + i };
  });
  const payloads = buffers(job);
  const sent = datagrams(payloads, job);
  const ofEach = sent.length / job.count;
  return {
    payload: (i) => payloads[i],
    async send(from, count) {
      const end = (from + count) * ofEach;
      for (let at = from * ofEach; at < end; at += job.depth) {
        const together = sent.slice(at, Math.min(at + job.depth, end));
        await Promise.all(together.map(({ bytes, port }) => socket.send(bytes, to[port - job.to.port])));
      }
    },
    close: () => socket.close(),
  };
}

async function conn(job: Job): Promise<Sender> {
  const conn = await Deno.connect(job.to);
  conn.setNoDelay();
  const payloads = buffers(job);
  const answer = new Uint8Array(1);
  return {
    payload: (i) => payloads[i],
    async send(from, count) {
      for (let i = from; i < from + count; i++) {
        for (let at = 0; at < job.bytes;) at += await conn.write(payloads[i].subarray(at));
      }
      await conn.read(answer);
    },
    close: () => conn.close(),
  };
}

async function connTrip(job: Job): Promise<Traveller> {
  const conn = await Deno.connect(job.to);
  conn.setNoDelay();
  const message = new Uint8Array(job.bytes);
  const answer = new Uint8Array(job.bytes);
  return {
    async trip() {
      await conn.write(message);
      for (let at = 0; at < answer.length;) at += (await conn.read(answer.subarray(at)))!;
    },
    close: () => conn.close(),
  };
}

// deno-lint-ignore require-await -- like the others
async function wake(): Promise<Traveller> {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const alarm = new Alarm((socket.addr as Deno.NetAddr).port);
  return {
    async trip() {
      alarm.set();
      await socket.receive();
      return alarm.elapsedMs();
    },
    async close() {
      await alarm.close();
      socket.close();
    },
  };
}

await serve({ datagram, conn, connTrip, wake });
