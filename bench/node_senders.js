// node:dgram and node:net as contenders, on Node and on Deno.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { BATCH, buffers, serve } from "./rounds.js";

/** @param {import("./rounds.js").Job} job */
async function dgram(job) {
  const socket = createSocket("udp4");
  socket.connect(job.to.port, job.to.hostname);
  await once(socket, "connect");
  const payloads = buffers(job);
  /** @param {number} from */
  const sendBatch = (from) =>
    new Promise((resolve, reject) => {
      let left = BATCH;
      for (let i = from; i < from + BATCH; i++) {
        socket.send(payloads[i], (error) => error ? reject(error) : --left === 0 && resolve(undefined));
      }
    });
  return {
    /** @param {number} i */
    payload: (i) => payloads[i],
    /** @param {number} from @param {number} count */
    async send(from, count) {
      for (let at = from; at < from + count; at += BATCH) await sendBatch(at);
    },
    close: () => socket.close(),
  };
}

/** @param {import("./rounds.js").Job} job */
async function net(job) {
  const socket = connect(job.to.port, job.to.hostname);
  await once(socket, "connect");
  const payloads = buffers(job);
  return {
    /** @param {number} i */
    payload: (i) => payloads[i],
    /** @param {number} from @param {number} count */
    async send(from, count) {
      const answer = once(socket, "data");
      for (let at = from; at < from + count; at += BATCH) {
        for (let i = at; i < at + BATCH - 1; i++) socket.write(payloads[i]);
        await new Promise((resolve) => socket.write(payloads[at + BATCH - 1], resolve));
      }
      await answer;
    },
    close: () => socket.destroy(),
  };
}

await serve({ dgram, net });
