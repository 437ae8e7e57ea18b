/**
 * Forgets leases and has them collected; needs --expose-gc. Prints what was reported.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { open } from "../../../mod.ts";

const { gc } = globalThis as unknown as { gc: () => void };
const reported: number[] = [];
const io = await open({ engine: "copy", arenaBytes: 1 << 20, onForgottenLease: (bytes) => reported.push(bytes) });
const udp = await io.bindUdp({ hostname: "127.0.0.1" });

async function forget(): Promise<void> {
  io.tryLease(1111);
  io.tryLease(2222)!.retain();
  io.tryLease(3333)!.release();
  await udp.send(io.tryLease(4444)!, { to: udp.localAddr });
  io.tryLease(5555)!.cut(5000).release();
}

const kept = io.tryLease(6666)!;
await forget();
for (let i = 0; i < 50 && reported.length < 3; i++) {
  gc();
  await sleep(10);
}
await sleep(50);
gc();
const { forgotten, leases } = io.stats().arena;
console.log(JSON.stringify({ reported: reported.sort(), forgotten, leases, kept: kept.state }));
kept.release();
await io.close();
