/**
 * Sends off this host, in a namespace with an ifb device (10.77.0.0/24, which never copies) and a veth device (10.78.0.0/24) with no
 * neighbours, where the kernel holds datagrams until it gives up on the address. Prints what happened. Argument: the engine.
 */
import process from "node:process";
import type { EngineName } from "../../../mod.ts";
import { withIo } from "../../support/engines.ts";
import { assertLedger } from "../../support/ledger.ts";
import { until } from "../../support/turns.ts";

await withIo({ engine: process.argv[2] as EngineName }, async (io) => {
  const udp = await io.bindUdp({ hostname: "10.77.0.1" });
  const copied: boolean[] = [];
  for (let i = 0; i < 20; i++) {
    const receipt = await udp.send(await io.lease(60_000), { to: { hostname: "10.77.0.2", port: 9 } });
    copied.push((await receipt.released).copied);
  }
  const { idsNotCopied, idsCopied } = udp.stats();

  // Held by the kernel beyond the close: quarantined, and let go of in the end.
  const held = await io.bindUdp({ hostname: "10.78.0.1" });
  const leases = await Promise.all([io.lease(1200), io.lease(1200)]);
  const receipts = await Promise.all(
    leases.map((lease) => held.send(lease, { to: { hostname: "10.78.0.2", port: 9 } })),
  );
  await held.close({ deadlineMs: 20 });
  const { quarantined, inFlight, sockets } = io.stats();
  const states = leases.map(({ state }) => state);
  assertLedger(io);
  await Promise.all(receipts.map(({ released }) => released));
  await until(() => io.stats().quarantined.sockets === 0);
  console.log(JSON.stringify({
    copied: copied.filter(Boolean).length,
    idsNotCopied,
    idsCopied,
    quarantined,
    inFlight,
    sockets,
    states,
    statesAfter: leases.map(({ state }) => state),
  }));
});
