/**
 * What `open()` comes to where something is forbidden: by itself, and when it is told to take the ring. Sends on what it got.
 */
import { open, RingletError } from "../../../mod.ts";
import { fillPattern, mismatch, receive } from "../../support/bytes.ts";
import { withIo } from "../../support/engines.ts";
import { connectedPair } from "../../support/pairs.ts";

const BYTES = 500_000;

const insisted = await open({ engine: "uring", arenaBytes: 1 << 20 }).then(
  async (io) => {
    await io.close();
    return "opened";
  },
  (error) => {
    if (!(error instanceof RingletError)) throw error;
    return `${error.code}: ${error.message} (${error.advice})`;
  },
);
await withIo({ engine: "auto" }, async (io) => {
  const { conn, peer } = await connectedPair(io);
  const lease = await io.lease(BYTES);
  fillPattern(lease.bytes);
  const receiving = receive(io, peer, BYTES);
  await (await conn.send(lease)).released;
  const wrong = mismatch(await receiving);
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  using into = await io.lease(60_000);
  const receipt = await udp.send(await io.lease(60_000), { to: udp.localAddr });
  const { bytes } = await udp.recv(into);
  await receipt.released;
  console.log(JSON.stringify({ ...io.engine, ...io.capabilities, insisted, wrong, bytes }));
});
