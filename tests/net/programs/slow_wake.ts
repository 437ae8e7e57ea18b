/**
 * Closes an io whose polling thread is slow to hear of it, and says so when it is done. Argument: the engine.
 */
import process from "node:process";
import { setTimeout as later } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { openSystem } from "../../../ffi/system.ts";
import { type EngineName, open } from "../../../mod.ts";

const io = await open({ engine: process.argv[2] as EngineName, arenaBytes: 1 << 20 });
const udp = await io.bindUdp({ hostname: "127.0.0.1" });
const lease = await io.lease(100);
await sleep(100); // nothing is new, and the thread waits

const { libc } = openSystem();
const { call } = libc;
const write: typeof call.write = (...args) => {
  later(() => call.write(...args), 50).unref();
  return 8;
};
(libc as { call: unknown }).call = { ...call, write };
// Something that kept the process alive has just ended when the io is closed.
const abort = new AbortController();
const receiving = udp.recv(lease, { signal: abort.signal }).catch(() => {});
abort.abort();
await receiving;
io.close().then(() => console.log("closed"));
