/**
 * Gives up name lookups and connects in every way while nobody answers, and falls off its end: the process must exit although the
 * lookups go on. Argument: the engine.
 */
import process from "node:process";
import { type EngineName, RingletError } from "../../../mod.ts";
import { withIo } from "../../support/engines.ts";
import { turns } from "../../support/turns.ts";

const to = { hostname: "slow.test", port: 9 };
const SILENT = { hostname: "10.99.0.9", port: 9 };
/** A timeout that must not keep the process alive when the connect is over. */
const NEVER_MS = 2 ** 31 - 1;
const payload = new Uint8Array(1);

async function outcome(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(() => "done", (error) => error);
  return error instanceof RingletError ? `${error.code} ${error.syscall ?? ""}: ${error.message}` : String(error);
}

await withIo({ engine: process.argv[2] as EngineName }, async (io) => {
  const abort = new AbortController();
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  const closed = await io.bindUdp({ hostname: "127.0.0.1" });
  const pending = {
    timeout: outcome(io.connect({ ...to, timeoutMs: 50 })),
    abort: outcome(io.connect({ ...to, signal: abort.signal })),
    abortBeforeTimeout: outcome(io.connect({ ...to, timeoutMs: NEVER_MS, signal: abort.signal })),
    abortConnecting: outcome(io.connect({ ...SILENT, timeoutMs: NEVER_MS, signal: abort.signal })),
    abortFirst: outcome(io.connect({ hostname: "mixed.test", port: 9, timeoutMs: NEVER_MS, signal: abort.signal })),
    datagramAbort: outcome(udp.send(payload, { to, signal: abort.signal })),
    socketClose: outcome(closed.send(payload, { to })),
    ioClose: outcome(io.connect(to)),
    listenClose: outcome(io.listen(to)),
    bindClose: outcome(io.bindUdp({ remote: to })),
    datagramClose: outcome(udp.send(payload, { to })),
  };
  await turns();
  abort.abort(new Error("no patience"));
  await closed.close();
  await pending.timeout;
  await io.close();
  const results: Record<string, string> = {};
  for (const [name, promise] of Object.entries(pending)) results[name] = await promise;
  console.log(JSON.stringify(results));
});
