/**
 * Multicast and broadcast, in a network namespace with the dummy-like device `m0`. Prints what came through. Argument: the engine.
 */
import process from "node:process";
import type { EngineName, UdpSocket } from "../../../mod.ts";
import { withIo } from "../../support/engines.ts";
import { settled } from "../../support/turns.ts";

await withIo({ engine: process.argv[2] as EngineName }, async (io) => {
  const results: Record<string, unknown> = {};

  /** Whether a datagram sent to `group` reaches `receiver`. */
  async function reaches(sender: UdpSocket, receiver: UdpSocket, hostname: string): Promise<boolean> {
    using into = await io.lease(100);
    const abort = new AbortController();
    const receiving = receiver.recv(into, { signal: abort.signal });
    receiving.catch(() => {});
    const to = { hostname, port: receiver.localAddr.port };
    const receipt = await sender.send(new TextEncoder().encode(hostname), { to });
    const reached = await settled(receiving);
    abort.abort();
    await receiving.catch(() => {});
    await receipt.released;
    return reached;
  }

  const group = "239.7.7.7";
  const receiver = await io.bindUdp({ hostname: "0.0.0.0" });
  const sender = await io.bindUdp({ hostname: "10.88.0.1" });
  results.before = await reaches(sender, receiver, group);
  receiver.joinMulticast(group, { interface: "m0" });
  results.joined = await reaches(sender, receiver, group);
  results.twice = code(() => receiver.joinMulticast(group, { interface: "m0" }));
  sender.configure({ multicastLoop: false });
  results.noLoop = await reaches(sender, receiver, group);
  sender.configure({ multicastLoop: true });
  receiver.leaveMulticast(group, { interface: "m0" });
  results.left = await reaches(sender, receiver, group);
  results.leftTwice = code(() => receiver.leaveMulticast(group, { interface: "m0" }));
  receiver.joinMulticast(group);
  results.joinedByRoute = await reaches(sender, receiver, group);

  const dual = await io.bindUdp({ hostname: "::" });
  results.dual = await reaches(dual, receiver, group);
  dual.configure({ multicastLoop: false });
  results.dualNoLoop = await reaches(dual, receiver, group);
  receiver.joinMulticast(group, { interface: "m1" });
  results.dualAcross = await reaches(dual, receiver, group);
  dual.configure({ multicastTtl: 0 });
  results.dualStaysHere = !await reaches(dual, receiver, group);

  const group6 = "ff12::7:7";
  const receiver6 = await io.bindUdp({ hostname: "::" });
  const sender6 = await io.bindUdp({ hostname: "::" });
  results.before6 = await reaches(sender6, receiver6, `${group6}%m0`);
  receiver6.joinMulticast(group6, { interface: "m0" });
  results.joined6 = await reaches(sender6, receiver6, `${group6}%m0`);
  receiver6.leaveMulticast(group6, { interface: "m0" });
  results.left6 = await reaches(sender6, receiver6, `${group6}%m0`);

  const broadcaster = await io.bindUdp({ hostname: "0.0.0.0", broadcast: true });
  results.broadcast = await reaches(broadcaster, receiver, "10.88.0.255");
  broadcaster.configure({ broadcast: false });
  results.broadcastOff = await reaches(broadcaster, receiver, "10.88.0.255").catch((error) => error.code);
  console.log(JSON.stringify(results));
});

function code(action: () => void): string {
  try {
    action();
    return "done";
  } catch (error) {
    return (error as { code: string }).code;
  }
}
