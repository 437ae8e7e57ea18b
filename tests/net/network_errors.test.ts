/**
 * What the network answers to datagrams that could not be delivered: told as events, and to no send or receive that has nothing to do
 * with it; beside zero-copy completions, which come the same way.
 */
import { assert, assertEquals } from "@std/assert";
import type { InternetAddress, Io, NetworkError, UdpSocket } from "../../mod.ts";
import { NetworkErrors } from "../../net/network_errors.ts";
import { childJson, inNamespace } from "../support/child.ts";
import { eachEngine, ENGINES, NO_ENGINE } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { assertLedger } from "../support/ledger.ts";
import { countEntering } from "../support/ring.ts";
import { lacks, NO_NAMESPACE, testIf } from "../support/skip.ts";
import { settled, turns } from "../support/turns.ts";
import { leases, numbered, numberIn, releaseAll, sendNumbers } from "../support/udp.ts";

const hostname = "127.0.0.1";
// deno-lint-ignore no-explicit-any -- this file passes what the types forbid
type Anything = any;

/** An address where nobody listens. */
async function deadAddress(io: Io, hostname: string): Promise<InternetAddress> {
  const udp = await io.bindUdp({ hostname });
  const { localAddr } = udp;
  await udp.close();
  return localAddr;
}

/** The next `count` errors. */
async function take(udp: UdpSocket, count: number): Promise<NetworkError[]> {
  const errors: NetworkError[] = [];
  for await (const error of udp.errors()) {
    errors.push(error);
    if (errors.length === count) break;
  }
  return errors;
}

const REFUSED = {
  "IPv4": { at: hostname, to: hostname, icmp: { origin: "icmp", icmpType: 3, icmpCode: 3 } },
  "IPv6": { at: "::1", to: "::1", icmp: { origin: "icmp6", icmpType: 1, icmpCode: 4 } },
  "IPv4 on a socket of both": { at: "::", to: hostname, icmp: { origin: "icmp", icmpType: 3, icmpCode: 3 } },
};

for (const [way, { at, to, icmp }] of Object.entries(REFUSED)) {
  eachEngine(`errors: nobody listens; ${way}`, async (io) => {
    const dead = await deadAddress(io, to);
    const metadata = { receiveTime: true, receiveLocalAddress: true, receiveHopLimit: true, receiveTrafficClass: true };
    for (const options of [{}, { remote: dead }, metadata]) {
      const udp = await io.bindUdp({ hostname: at, errors: true, ...options });
      const waiting = take(udp, 1);
      assertEquals(await settled(waiting), false);
      await udp.send(new Uint8Array(100), { to: dead });
      assertEquals(await waiting, [{ code: "ECONNREFUSED", to: dead, reporter: to, ...icmp, missed: 0 }] as Anything);
      // Told before anybody asks.
      await udp.send(new Uint8Array(100), { to: dead });
      await turns();
      assertEquals((await take(udp, 1))[0].to, dead);
      await udp.close();
    }
  });
}

eachEngine("errors: no send and no receive fails for another datagram", async (io) => {
  const dead = await deadAddress(io, hostname);
  const live = await io.bindUdp({ hostname, receiveBufferBytes: 1 << 20 });
  const udp = await io.bindUdp({ hostname, errors: true });
  const COUNT = 300;
  const mine = await io.lease(100);
  const receiving = udp.recv(mine);
  const into = await leases(io, 64, 20_000);
  const heard: NetworkError[] = [];
  const listening = (async () => {
    for await (const error of udp.errors()) heard.push(error);
  })();
  let received = 0;
  for (let i = 0; i < COUNT; i += 20) {
    // Zero-copy where the engine has it, by the ways of promises and of the batch calls.
    const sent = Array.from({ length: 20 }, (_, j) => {
      const to = j % 3 === 1 ? dead : live.localAddr;
      return udp.send(numbered(i + j, 2000), { to });
    });
    for (const receipt of await Promise.all(sent)) await receipt.released;
    while (received < (i + 20) / 20 * 13) {
      for (const datagram of await live.recvMany(into)) {
        assert(numberIn(datagram) % 20 % 3 !== 1);
        received += 1;
      }
    }
  }
  const batch = await leases(io, 30, 1000);
  const outcomes: Record<string, number> = {};
  for (const [i, lease] of batch.entries()) {
    assert(udp.trySend(lease, { to: i % 3 === 1 ? dead : live.localAddr }) >= 0);
  }
  while ((outcomes.released ?? 0) + (outcomes.refused ?? 0) < 30) {
    io.flush();
    io.reap((_id, event) => outcomes[event] = (outcomes[event] ?? 0) + 1);
    await turns(1);
  }
  assertEquals(outcomes, { accepted: 30, released: 30 });
  assertEquals(await settled(receiving), false, "the receive did not hear of it either");
  await sendNumbers(live, udp, 5, 6);
  await receiving;
  assertEquals(numberIn({ lease: mine }), 5);
  assert(heard.length >= 50, `${heard.length} errors`);
  for (const error of heard) assertEquals([error.code, error.to], ["ECONNREFUSED", dead]);
  await udp.close();
  await listening;
  releaseAll([...into, mine]);
  assertLedger(io);
});

eachEngine("errors: a send that fails by itself still does, once", async (io) => {
  const udp = await io.bindUdp({ hostname, errors: true, zeroCopyThresholdBytes: 0 });
  const dead = await deadAddress(io, hostname);
  const lease = await io.lease(1000);
  for (let i = 0; i < 3; i++) {
    await fails("EACCES", () => udp.send(lease, { to: { hostname: "127.255.255.255", port: 9 } }), {
      syscall: "sendmsg",
    });
    assertEquals(lease.state, "leased");
    await (await udp.send(new Uint8Array(10), { to: dead })).released;
  }
  await (await udp.send(lease, { to: udp.localAddr })).released;
  assertEquals(lease.state, "free");
});

eachEngine("errors: without the option nothing changes", async (io) => {
  const dead = await deadAddress(io, hostname);
  const udp = await io.bindUdp({ hostname });
  for (let i = 0; i < 5; i++) await (await udp.send(new Uint8Array(10), { to: dead })).released;
  await fails("ERR_INVALID_ARG", () => udp.errors(), { says: "errors: true" });
  const connected = await io.bindUdp({ hostname, remote: dead, errors: false });
  await connected.send(new Uint8Array(1));
  await turns();
  await fails("ECONNREFUSED", () => connected.send(new Uint8Array(1)));
});

eachEngine("errors: of those nobody takes the last are kept, and the others are counted", async (io) => {
  const dead = await deadAddress(io, hostname);
  const udp = await io.bindUdp({ hostname, errors: true });
  for (let i = 0; i < 30; i++) {
    for (
      const receipt of await Promise.all(Array.from({ length: 10 }, () => udp.send(new Uint8Array(1), { to: dead })))
    ) {
      await receipt.released;
    }
    await turns(1);
  }
  await turns();
  const [first, second, ...others] = await take(udp, 256);
  assertEquals([first.missed, second.missed, others.length], [300 - 256, 0, 254]);
  const abort = new AbortController();
  const more = udp.errors({ signal: abort.signal }).next();
  assertEquals(await settled(more), false);
  abort.abort(new Error("not to be thrown"));
  assertEquals((await more).done, true);
});

eachEngine("errors: loops share them, and end with the socket", async (io) => {
  const dead = await deadAddress(io, hostname);
  const udp = await io.bindUdp({ hostname, errors: true });
  let heard = 0;
  const loops = Array.from({ length: 2 }, async () => {
    for await (const _ of udp.errors()) heard += 1;
  });
  for (let i = 0; i < 10; i++) {
    await udp.send(new Uint8Array(1), { to: dead });
    await turns(1);
  }
  await turns();
  assertEquals(heard, 10);
  await udp.close();
  await Promise.all(loops);
  await fails("ERR_CLOSED", () => udp.errors());
  const other = await io.bindUdp({ hostname, errors: true });
  for (const options of [null, 5, { batch: 5 }] as Anything[]) {
    await fails("ERR_INVALID_ARG", () => other.errors(options));
  }
  await fails("ERR_INVALID_ARG", () => io.bindUdp({ hostname, errors: "yes" as Anything }), { says: "errors" });
  await fails("ERR_INVALID_ARG", () => other.configure({ errors: false } as Anything), { says: "errors" });
  const reason = new Error("too late");
  let thrown: unknown;
  try {
    other.errors({ signal: AbortSignal.abort(reason) });
  } catch (error) {
    thrown = error;
  }
  assertEquals(thrown === reason, true);
});

eachEngine("errors: those that the kernel has no room to keep disturb nobody", async (io, engine) => {
  const dead = await deadAddress(io, hostname);
  const udp = await io.bindUdp({ hostname, errors: true, receiveBufferBytes: 1 });
  const other = await io.bindUdp({ hostname });
  await sendNumbers(other, udp, 0, 50); // fills its receive buffer
  await udp.send(new Uint8Array(10), { to: dead });
  const entering = engine === "uring" ? countEntering() : undefined;
  await turns(20);
  entering?.[Symbol.dispose]();
  assert(entering === undefined || entering.calls.length < 20, `${entering?.calls.length} entries into the kernel`);
  const abort = new AbortController();
  const waiting = udp.errors({ signal: abort.signal }).next();
  assertEquals(await settled(waiting), false, "the kernel had room: nothing is tested");
  abort.abort();
  using into = await io.lease(100);
  await (await udp.send(new Uint8Array(10), { to: other.localAddr })).released;
  assertEquals((await other.recv(into)).bytes, 10);
  assertEquals((await udp.recv(into)).from, other.localAddr);
});

testIf(undefined, "errors: what failed is tried again while there is news, and twice without", () => {
  const errors = new NetworkErrors();
  const news = (origin: "icmp" | "local") =>
    errors.push({ code: "EMSGSIZE", to: { hostname, port: 1 }, origin, icmpType: 0, icmpCode: 0 });
  const excuses = (slot: number, generation: number, code = "EMSGSIZE") => errors.excuse(slot, generation, code);
  assertEquals([excuses(0, 1), excuses(0, 1), excuses(0, 1)], [true, true, false]);
  assertEquals([excuses(1, 1), excuses(0, 2)], [true, true], "another send, and another use of the record");
  news("icmp");
  assertEquals([excuses(0, 1), excuses(0, 1), excuses(0, 1)], [true, true, false]);
  news("local");
  assertEquals([excuses(5, 1, "EACCES")], [true], "this host's own refusals have one code");
  news("local");
  assertEquals([excuses(6, 1), excuses(6, 1)], [false, true], "this one was refused by this host");
});

const PROGRAM = new URL("./programs/network_errors.ts", import.meta.url);
const [unshare, ...rest] = inNamespace("ip link add v0 type veth peer name v1", "ip link add d0 type ifb");
const NO_ROUTER = NO_NAMESPACE ?? lacks("needs veth and ifb devices", unshare, ...rest, "true");

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine] ?? NO_ROUTER, `errors: what a router answers, beside zero-copy [${engine}]`, async () => {
    const outcome = await childJson<Record<string, unknown>>(PROGRAM, { args: [engine], within: inNamespace() });
    const icmp = { origin: "icmp", reporter: "10.77.3.2" };
    const icmp6 = { origin: "icmp6", reporter: "fd77:3::2" };
    assertEquals(outcome, {
      unreachable: { code: "EHOSTUNREACH", to: "10.88.0.1", ...icmp, icmpType: 3, icmpCode: 1 },
      prohibited: { code: "EHOSTUNREACH", to: "10.90.0.1", ...icmp, icmpType: 3, icmpCode: 13 },
      "too big": { code: "EMSGSIZE", to: "10.89.0.1", ...icmp, icmpType: 3, icmpCode: 4, mtuBytes: 1300 },
      "unreachable 6": { code: "ENETUNREACH", to: "fd88::1", ...icmp6, icmpType: 1, icmpCode: 0 },
      "prohibited 6": { code: "EACCES", to: "fd90::1", ...icmp6, icmpType: 1, icmpCode: 1 },
      "too big 6": { code: "EMSGSIZE", to: "fd89::1", ...icmp6, icmpType: 2, icmpCode: 0, mtuBytes: 1300 },
      local: { code: "EMSGSIZE", to: "10.77.3.2", origin: "local", mtuBytes: 1500, thrown: "EMSGSIZE", more: 0 },
      route: { thrown: "EHOSTUNREACH", heard: 0 },
      zeroCopy: engine === "copy" ? { copied: 20, notCopied: 0 } : { copied: 0, notCopied: 20 },
    });
  });
}
