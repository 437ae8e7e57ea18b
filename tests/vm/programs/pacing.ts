/**
 * Sends datagrams over loopback that say when they may leave, and others that do not, and prints by how much the earliest of each was
 * received before its time, in milliseconds. Argument: the engine.
 */
import process from "node:process";
import type { EngineName, OutgoingDatagram } from "../../../mod.ts";
import { withIo } from "../../support/engines.ts";
import { numbered, numberIn } from "../../support/udp.ts";

const DATAGRAMS = 10;
/** Long enough for a slow machine to have sent all of them before the first may leave. */
const FIRST_NS = 1_000_000_000n;
const INTERVAL_NS = 20_000_000n;

await withIo({ engine: process.argv[2] as EngineName }, async (io) => {
  const receiver = await io.bindUdp({ hostname: "127.0.0.1", receiveTime: true });
  const sender = await io.bindUdp({ hostname: "127.0.0.1", remote: receiver.localAddr, transmitTimes: true });
  const earlyMs = async (paced: boolean) => {
    const epochNs = BigInt(Date.now()) * 1_000_000n - io.monotonicNs();
    const first = io.monotonicNs() + FIRST_NS;
    const times = Array.from({ length: DATAGRAMS }, (_, i) => first + BigInt(i) * INTERVAL_NS);
    const batch = times.map((transmitNs, i): OutgoingDatagram => ({
      data: numbered(i),
      ...(paced ? { transmitNs } : {}),
    }));
    const { accepted } = await sender.sendMany(batch);
    if (accepted !== DATAGRAMS) throw new Error(`${accepted} were accepted`);
    const early: number[] = [];
    using lease = await io.lease(100);
    while (early.length < DATAGRAMS) {
      const { receivedNs } = await receiver.recv(lease);
      early.push(Number(times[numberIn({ lease })] - (receivedNs! - epochNs)) / 1e6);
    }
    return Math.max(...early);
  };
  console.log(JSON.stringify({ paced: await earlyMs(true), unpaced: await earlyMs(false) }));
});
