// node:dgram and node:net as contenders, on Node and on Deno.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { buffers, datagrams, serve } from "./rounds.js";

/** @param {import("./rounds.js").Job} job */
async function dgram(job) {
  const socket = createSocket("udp4");
  if (job.destinations === 1) {
    socket.connect(job.to.port, job.to.hostname);
    await once(socket, "connect");
  }
  const payloads = buffers(job);
  const sent = datagrams(payloads, job);
  const ofEach = sent.length / job.count;
  /** @param {number} from @param {number} to */
  const sendTogether = (from, to) =>
    new Promise((resolve, reject) => {
      let left = to - from;
      /** @param {Error | null} error */
      const onSent = (error) => error ? reject(error) : --left === 0 && resolve(undefined);
      for (let i = from; i < to; i++) {
        const { bytes, port } = sent[i];
        if (job.destinations === 1) socket.send(bytes, onSent);
        else socket.send(bytes, port, job.to.hostname, onSent);
      }
    });
  return {
    /** @param {number} i */
    payload: (i) => payloads[i],
    /** @param {number} from @param {number} count */
    async send(from, count) {
      const end = (from + count) * ofEach;
      for (let at = from * ofEach; at < end; at += job.depth) await sendTogether(at, Math.min(at + job.depth, end));
    },
    close: () => socket.close(),
  };
}

/** @param {import("./rounds.js").Job} job */
async function net(job) {
  const socket = connect({ port: job.to.port, host: job.to.hostname, noDelay: true });
  await once(socket, "connect");
  const payloads = buffers(job);
  return {
    /** @param {number} i */
    payload: (i) => payloads[i],
    /** @param {number} from @param {number} count */
    async send(from, count) {
      const answer = once(socket, "data");
      const end = from + count;
      for (let at = from; at < end; at += job.depth) {
        const last = Math.min(at + job.depth, end) - 1;
        for (let i = at; i < last; i++) socket.write(payloads[i]);
        await new Promise((resolve) => socket.write(payloads[last], resolve));
      }
      await answer;
    },
    close: () => socket.destroy(),
  };
}

/** @param {import("./rounds.js").Job} job */
async function netTrip(job) {
  const socket = connect({ port: job.to.port, host: job.to.hostname, noDelay: true });
  await once(socket, "connect");
  const message = new Uint8Array(job.bytes);
  let arrived = () => {};
  let missing = 0;
  socket.on("data", (bytes) => (missing -= bytes.length) === 0 && arrived());
  return {
    trip: () =>
      new Promise((resolve) => {
        arrived = () => resolve(undefined);
        missing = message.length;
        socket.write(message);
      }),
    close: () => socket.destroy(),
  };
}

await serve({ dgram, net, netTrip });
