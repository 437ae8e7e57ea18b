/**
 * Which sends ask for zero-copy: the threshold, the modes, and the switch to copying and back; all of it visible in stats().
 */
import { assert, assertEquals } from "@std/assert";
import { type Io, open, type SocketStats, type UdpSocket } from "../../mod.ts";
import { ZeroCopyPolicy } from "../../net/zerocopy_policy.ts";
import { assertAllReturned } from "../support/ledger.ts";
import { testIf } from "../support/skip.ts";
import { eachEngine } from "../support/engines.ts";

const hostname = "127.0.0.1";

/** Sends so many bytes and waits for the release. Answers whether they went as zero-copy. */
async function sendOne(io: Io, socket: UdpSocket, bytes: number): Promise<boolean> {
  const before = socket.stats().bytesZeroCopy;
  const receipt = await socket.send(await io.lease(bytes), { to: { hostname, port: 9 } });
  await receipt.released;
  return socket.stats().bytesZeroCopy > before;
}

function policyOf({ zeroCopy }: SocketStats): [string, number, boolean] {
  return [zeroCopy.mode, zeroCopy.thresholdBytes, zeroCopy.asking];
}

testIf(undefined, "the threshold: by default, of open, and of the socket", async () => {
  const io = await open({ engine: "errqueue", arenaBytes: 1 << 20 });
  const standard = await io.bindUdp({ hostname });
  assertEquals(policyOf(standard.stats()), ["auto", 10_240, true]);
  assertEquals([await sendOne(io, standard, 10_239), await sendOne(io, standard, 10_240)], [false, true]);
  const own = await io.bindUdp({ hostname, zeroCopyThresholdBytes: 100, zeroCopy: "always" });
  assertEquals(policyOf(own.stats()), ["always", 100, true]);
  assertEquals([await sendOne(io, own, 99), await sendOne(io, own, 100)], [false, true]);
  await io.close();
  const other = await open({ engine: "errqueue", arenaBytes: 1 << 20, zeroCopyThresholdBytes: 500, zeroCopy: "never" });
  const never = await other.bindUdp({ hostname });
  assertEquals(policyOf(never.stats()), ["never", 500, false]);
  assertEquals(await sendOne(other, never, 60_000), false);
  const always = await other.bindUdp({ hostname, zeroCopy: "always" });
  assertEquals([await sendOne(other, always, 499), await sendOne(other, always, 500)], [false, true]);
  await other.close();
  assertAllReturned(other);
});

testIf(undefined, "auto stops asking where the kernel copies anyway, and asks again later", async () => {
  const io = await open({ engine: "errqueue", arenaBytes: 1 << 20 });
  const socket = await io.bindUdp({ hostname });
  const asked: boolean[] = [];
  for (let i = 0; i < 700; i++) asked.push(await sendOne(io, socket, 20_000)); // loopback: always copied
  const { zeroCopy, idsCopied, idsNotCopied } = socket.stats();
  assert(zeroCopy.stopped >= 2, `stopped ${zeroCopy.stopped} times`);
  assert(zeroCopy.pauseSends > 0 && !zeroCopy.asking, "it pauses");
  assertEquals(idsNotCopied, 0);
  assertEquals(asked.filter(Boolean).length, idsCopied);
  const firstPause = asked.indexOf(false);
  const askedAgain = asked.indexOf(true, firstPause);
  assert(firstPause > 0 && askedAgain > firstPause, "it asked, stopped, and asked again");
  await io.close();
  assertAllReturned(io);
});

testIf(undefined, "auto goes on asking where the kernel does not copy, and starts again when it stops copying", () => {
  const policy = new ZeroCopyPolicy("auto", 10);
  assertEquals([policy.wants(9), policy.wants(10)], [false, true]);
  for (let i = 0; i < 1000; i++) policy.learn(1, false);
  for (let i = 0; i < 15; i++) policy.learn(1, true);
  policy.learn(1, false); // not in a row
  for (let i = 0; i < 15; i++) policy.learn(1, true);
  assertEquals(policy.wants(10), true);
  policy.learn(1, true);
  assertEquals([policy.wants(10), policy.stats().stopped], [false, 1]);
  const pauses: number[] = [];
  for (let round = 0; round < 12; round++) {
    let pause = 0;
    while (!policy.wants(10)) pause += 1;
    pauses.push(pause);
    policy.learn(2, true);
  }
  assert(pauses.every((pause, i) => i < 2 || pause >= pauses[i - 1]), "ever more seldom");
  assertEquals(pauses.at(-1), pauses.at(-2), "but never for good");
  while (!policy.wants(10));
  policy.learn(1, false);
  assertEquals(policy.stats().asking, true);
});

eachEngine("the mode always asks as long as the engine can, and says so", async (io, engine) => {
  const socket = await io.bindUdp({ hostname });
  for (let i = 0; i < 40; i++) assertEquals(await sendOne(io, socket, 5000), engine !== "copy");
  const stats = socket.stats();
  assertEquals([stats.sends, stats.accepted, stats.bytesAccepted], [40, 40, 200_000]);
  assertEquals(stats.bytesZeroCopy, engine === "copy" ? 0 : 200_000);
});
