/**
 * Connects where one address of several answers, and where none does, and prints what each came to. Argument: the engine.
 */
import process from "node:process";
import type { EngineName } from "../../../mod.ts";
import { withIo } from "../../support/engines.ts";
import { SLOWNESS } from "../../support/skip.ts";
import { turns } from "../../support/turns.ts";

const SILENT = { hostname: "10.99.0.9", port: 9 };

async function outcome(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
    return "connected";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

await withIo({ engine: process.argv[2] as EngineName }, async (io) => {
  const listener = await io.listen({ hostname: "127.0.0.8", port: 0 });
  const { port } = listener.localAddr as { port: number };
  const conn = await io.connect({ hostname: "several.test", port });
  const chosen = (conn.remoteAddr as { hostname: string }).hostname;
  await conn.close();
  await listener.close();

  const abort = new AbortController();
  const aborted = outcome(() => io.connect({ ...SILENT, signal: abort.signal }));
  await turns();
  abort.abort(new Error("no patience"));
  const results = {
    chosen,
    refused: await outcome(() => io.connect({ hostname: "several.test", port })),
    timedOut: await outcome(() => io.connect({ ...SILENT, timeoutMs: 50 })),
    // The first address does not answer: it leaves time for the second.
    silentFirst: await outcome(() => io.connect({ hostname: "mixed.test", port, timeoutMs: 400 * SLOWNESS })),
    aborted: await aborted,
    unreachable: await outcome(() => io.connect({ hostname: "192.0.2.1", port: 9 })),
  };
  // The name server does not answer either.
  const lookup = new AbortController();
  const lookupAborted = outcome(() => io.connect({ hostname: "slow.test", port: 9, signal: lookup.signal }));
  const udp = await io.bindUdp({ hostname: "10.99.0.1" });
  const to = { hostname: "slow.test", port: 9 };
  const datagramAborted = outcome(() => udp.send(new Uint8Array(1), { to, signal: lookup.signal }));
  lookup.abort(new Error("no patience"));
  const slow = {
    lookupAborted: await lookupAborted,
    datagramAborted: await datagramAborted,
    lookupTimedOut: await outcome(() => io.connect({ hostname: "slow.test", port: 9, timeoutMs: 50 })),
    lookupFailed: await outcome(() => io.connect({ hostname: "slow.test", port: 9 })),
  };
  await udp.close();
  const { sockets } = io.stats();
  const closed = outcome(() => io.connect(SILENT));
  await turns();
  await io.close();
  console.log(JSON.stringify({ ...results, ...slow, closed: await closed, sockets }));
});
