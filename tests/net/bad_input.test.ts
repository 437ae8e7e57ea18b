/**
 * Bad input is refused before the kernel sees it, with what was wrong and what is allowed.
 */
import { assert, assertEquals } from "@std/assert";
import { open, RingletError } from "../../mod.ts";
import { eachEngine } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { connectedPair } from "../support/pairs.ts";
import { testIf } from "../support/skip.ts";

// deno-lint-ignore no-explicit-any -- this file passes what the types forbid
type Anything = any;

const NO_NUMBERS: Anything[] = ["5", 5n, true, {}, [], null, () => 5];
const BAD_NUMBERS = [NaN, -1, 0.5, Infinity, -Infinity, 2 ** 53, 1e300];

testIf(undefined, "open: sizes and choices", async () => {
  for (
    const name of [
      "arenaBytes",
      "registerBytes",
      "maxLeases",
      "maxSends",
      "maxSockets",
      "windowIds",
      "zeroCopyThresholdBytes",
    ]
  ) {
    for (const value of NO_NUMBERS) {
      if (value === null) continue; // the same as leaving it out
      await fails("ERR_INVALID_ARG", () => open({ [name]: value }), { says: name });
    }
    for (const value of BAD_NUMBERS) await fails("ERR_OUT_OF_RANGE", () => open({ [name]: value }), { says: name });
  }
  for (const name of ["arenaBytes", "maxLeases", "maxSends", "maxSockets", "windowIds"]) {
    await fails("ERR_OUT_OF_RANGE", () => open({ [name]: 0 }), { says: name });
  }
  await fails("ERR_OUT_OF_RANGE", () => open({ arenaBytes: 2 ** 32 }));
  await fails("ERR_OUT_OF_RANGE", () => open({ arenaBytes: 1 << 20, windowIds: 1000 }), { says: "power of two" });
  const tooMuch = { engine: "errqueue", maxSockets: 2 ** 20, windowIds: 2 ** 20 } as const;
  await fails("ERR_OUT_OF_RANGE", () => open({ arenaBytes: 1 << 20, ...tooMuch }));
  for (const engine of ["", "epoll", 5, "ERRQUEUE", {}] as Anything[]) {
    await fails("ERR_INVALID_ARG", () => open({ engine }), { says: "errqueue" });
  }
  await fails("ERR_INVALID_ARG", () => open({ zeroCopy: "maybe" as Anything }), { says: "always" });
  await fails("ERR_INVALID_ARG", () => open({ onForgottenLease: "log" as Anything }));
  await fails("ERR_INVALID_ARG", () => open({ arenabytes: 5 } as Anything), { says: "arenabytes" });
  for (const options of [null, 5, "x", []] as Anything[]) await fails("ERR_INVALID_ARG", () => open(options));
});

eachEngine("lease: lengths and alignments", async (io) => {
  const ways: ((bytes: Anything) => unknown)[] = [(bytes) => io.lease(bytes), (bytes) => io.tryLease(bytes)];
  for (const lease of ways) {
    for (const value of [...NO_NUMBERS, undefined]) await fails("ERR_INVALID_ARG", () => lease(value));
    for (const value of [...BAD_NUMBERS, 0]) await fails("ERR_OUT_OF_RANGE", () => lease(value));
  }
  for (const alignBytes of [3, 0, -64, NaN, 96, 2 ** 33]) {
    await fails("ERR_OUT_OF_RANGE", () => io.lease(64, { alignBytes }));
    await fails("ERR_OUT_OF_RANGE", () => io.tryLease(64, { alignBytes }));
  }
  await fails("ERR_INVALID_ARG", () => io.lease(64, { align: 64 } as Anything));
  await fails("ERR_INVALID_ARG", () => io.lease(64, { signal: "stop" as Anything }));
  await fails("ERR_INVALID_ARG", () => io.reap("handler" as Anything));
  assertEquals(io.stats().arena.leases, 0);
});

eachEngine("addresses: ports, hostnames and paths", async (io) => {
  const hostname = "127.0.0.1";
  for (const port of [65_536, -1, NaN, 0.5, 2 ** 32]) {
    await fails("ERR_OUT_OF_RANGE", () => io.connect({ hostname, port }), { says: "65535" });
    await fails("ERR_OUT_OF_RANGE", () => io.listen({ hostname, port }));
    await fails("ERR_OUT_OF_RANGE", () => io.bindUdp({ hostname, port }));
    await fails("ERR_OUT_OF_RANGE", () => io.bindUdp({ remote: { hostname, port } }));
    await fails("ERR_OUT_OF_RANGE", () => io.connect({ hostname, port: 9, localPort: port }));
  }
  for (const port of ["80", null, {}, 80n] as Anything[]) {
    await fails("ERR_INVALID_ARG", () => io.connect({ hostname, port }));
    await fails("ERR_INVALID_ARG", () => io.listen({ hostname, port }));
  }
  await fails("ERR_OUT_OF_RANGE", () => io.connect({ hostname, port: 0 }), { says: "from 1" });
  await fails("ERR_OUT_OF_RANGE", () => io.bindUdp({ remote: { hostname, port: 0 } }));
  for (const name of ["", 5, "a\0b", null, {}] as Anything[]) {
    await fails("ERR_INVALID_ARG", () => io.connect({ hostname: name, port: 9 }));
    await fails("ERR_INVALID_ARG", () => io.listen({ hostname: name ?? 5, port: 0 }));
    await fails("ERR_INVALID_ARG", () => io.connect({ path: name ?? 5 }));
  }
  await fails("ERR_INVALID_ARG", () => io.connect({}));
  await fails("ERR_INVALID_ARG", () => io.listen({}));
  await fails("ERR_INVALID_ARG", () => io.connect(undefined as Anything));
  await fails("ERR_INVALID_ARG", () => io.connect({ path: "/tmp/x", port: 5 }));
  await fails("ERR_OUT_OF_RANGE", () => io.connect({ path: `/tmp/${"x".repeat(120)}` }), { says: "107" });
  await fails("ERR_INVALID_ARG", () => io.connect({ hostname, port: 9, nodelay: true } as Anything), {
    says: "nodelay",
  });
  for (const timeoutMs of [0, -1, NaN, 2 ** 31]) {
    await fails("ERR_OUT_OF_RANGE", () => io.connect({ hostname, port: 9, timeoutMs }));
  }
  await fails("ERR_INVALID_ARG", () => io.connect({ hostname, port: 9, signal: {} as Anything }));
  for (const backlog of [0, -1, 2 ** 31]) await fails("ERR_OUT_OF_RANGE", () => io.listen({ port: 0, backlog }));
  assertEquals(io.stats().sockets, 0);
});

eachEngine("addresses: hostnames that can be none", async (io) => {
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  const data = new Uint8Array(1);
  for (const name of [" 127.0.0.1", "é.test", "x".repeat(300), "[::1]", "\0x", "x\0", "a b", "a/b", "x:y", "*.test"]) {
    const to = { hostname: name, port: 9 };
    await fails("ERR_INVALID_ARG", () => io.connect(to), { says: "hostname" });
    await fails("ERR_INVALID_ARG", () => io.listen(to), { says: "hostname" });
    await fails("ERR_INVALID_ARG", () => io.bindUdp(to), { says: "hostname" });
    await fails("ERR_INVALID_ARG", () => io.bindUdp({ remote: to }), { says: "hostname" });
    await fails("ERR_INVALID_ARG", () => udp.send(data, { to }), { says: "hostname" });
    using lease = await io.lease(1);
    await fails("ERR_INVALID_ARG", () => udp.trySend(lease, { to }), { says: "hostname" });
  }
  // Only a path may begin with NUL.
  await fails("ERR_INVALID_ARG", () => io.connect({ hostname: "127.0.0.1", port: 9, localHostname: "\x00127.0.0.1" }), {
    says: "NUL",
  });
  await fails("ERR_INVALID_ARG", () => udp.joinMulticast("\x00239.1.1.1"), { says: "NUL" });
  await fails("ERR_INVALID_ARG", () => udp.joinMulticast("239.1.1.1", { interface: "\0lo" }), { says: "NUL" });
  for (const path of ["\0", "\0a\0b", "/tmp/a\0b"]) {
    await fails("ERR_INVALID_ARG", () => io.connect({ path }), { says: "path" });
  }
});

eachEngine("sends: data, ranges and options", async (io) => {
  const { conn } = await connectedPair(io);
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  const to = udp.localAddr;
  for (
    const data of ["text", 5, null, undefined, {}, new ArrayBuffer(5), [5], ["x"], new Uint16Array(2)] as Anything[]
  ) {
    await fails("ERR_INVALID_ARG", () => conn.send(data));
    await fails("ERR_INVALID_ARG", () => udp.send(data, { to }));
    await fails("ERR_INVALID_ARG", () => conn.trySend(data));
    await fails("ERR_INVALID_ARG", () => udp.trySend(data, { to }));
  }
  await fails("ERR_INVALID_ARG", () => conn.trySend(new Uint8Array(5) as Anything), { says: "takes a Lease" });
  using lease = await io.lease(1000);
  const ranges: Anything[] = [
    { offset: 1000 },
    { offset: -1 },
    { offset: NaN },
    { offset: 0.5 },
    { byteLength: 0 },
    { byteLength: 1001 },
    { offset: 999, byteLength: 2 },
  ];
  for (const range of ranges) {
    await fails("ERR_OUT_OF_RANGE", () => conn.send(lease, range));
    await fails("ERR_OUT_OF_RANGE", () => conn.trySend(lease, range));
    await fails("ERR_OUT_OF_RANGE", () => udp.send(lease, { ...range, to }));
    await fails("ERR_OUT_OF_RANGE", () => udp.trySend(lease, { ...range, to }));
  }
  await fails("ERR_INVALID_ARG", () => conn.send(lease, { offset: "0" as Anything }));
  await fails("ERR_INVALID_ARG", () => conn.send([lease], { offset: 0 }), { says: "single lease" });
  await fails("ERR_INVALID_ARG", () => conn.send(lease, { flags: 5 } as Anything));
  await fails("ERR_INVALID_ARG", () => conn.send(lease, { signal: 5 as Anything }));
  await fails("ERR_INVALID_ARG", () => conn.send(lease, null as Anything));
  for (const target of [5, {}, new Uint8Array(5), null, undefined] as Anything[]) {
    await fails("ERR_INVALID_ARG", () => conn.recv(target));
    await fails("ERR_INVALID_ARG", () => udp.recv(target));
  }
  await fails("ERR_INVALID_ARG", () => conn.recv(lease, { signal: 5 as Anything }));
  for (const bad of [5, "127.0.0.1:9", null, {}, { hostname: "127.0.0.1" }] as Anything[]) {
    await fails("ERR_INVALID_ARG", () => udp.send(lease, { to: bad }));
    await fails("ERR_INVALID_ARG", () => udp.trySend(lease, { to: bad }));
  }
  for (const port of [0, 65_536, NaN]) {
    await fails("ERR_OUT_OF_RANGE", () => udp.send(lease, { to: { hostname: "127.0.0.1", port } }));
  }
  assertEquals([lease.state, io.stats().lent, io.stats().arena.leases], ["leased", 0, 1]);
});

eachEngine("sends: options that do not exist or are of another kind", async (io) => {
  const { conn } = await connectedPair(io);
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  const to = udp.localAddr;
  using lease = await io.lease(1000);
  const calls: { call: (options: Anything) => unknown; good: Anything; signal?: AbortSignal }[] = [
    { call: (options) => conn.send(lease, options), good: {} },
    { call: (options) => udp.send(lease, options), good: { to } },
    { call: (options) => conn.trySend(lease, options), good: {}, signal: new AbortController().signal },
    { call: (options) => udp.trySend(lease, options), good: { to }, signal: new AbortController().signal },
  ];
  for (const { call, good, signal } of calls) {
    for (const options of [null, 5, "x", true, [], Symbol("x"), () => {}]) {
      await fails("ERR_INVALID_ARG", () => call(options), { says: "options must be an object" });
    }
    await fails("ERR_INVALID_ARG", () => call({ ...good, bytelength: 5 }), { says: "bytelength" });
    if (signal !== undefined) await fails("ERR_INVALID_ARG", () => call({ ...good, signal }), { says: "signal" });
    for (const name of ["offset", "byteLength"]) {
      for (const value of ["5", "70000", 5n, 70_000n, true, {}, null, Symbol("5")]) {
        await fails("ERR_INVALID_ARG", () => call({ ...good, [name]: value }), { says: name });
      }
      for (const value of [-70_000, 70_000, -Infinity]) {
        await fails("ERR_OUT_OF_RANGE", () => call({ ...good, [name]: value }), { says: name });
      }
    }
    if (good.to === undefined) continue;
    for (const bad of [Symbol("x"), 5n, () => {}]) await fails("ERR_INVALID_ARG", () => call({ to: bad }));
    for (const port of [Symbol("x"), 5n]) await fails("ERR_INVALID_ARG", () => call({ to: { ...to, port } }));
    for (const hostname of [Symbol("x"), 5n]) await fails("ERR_INVALID_ARG", () => call({ to: { ...to, hostname } }));
  }
  assertEquals([lease.state, io.stats().lent], ["leased", 0]);
});

eachEngine("a full table does not hide bad input", async (io) => {
  const { conn } = await connectedPair(io);
  conn.trySend(io.tryLease(10)!);
  io.flush();
  using lease = await io.lease(10);
  assertEquals(conn.trySend(lease), -1, "nobody has reaped the events");
  await fails("ERR_OUT_OF_RANGE", () => conn.trySend(lease, { byteLength: 11 }));
}, { maxSends: 1 });

eachEngine("options of open sockets", async (io) => {
  const { conn } = await connectedPair(io);
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  for (const noDelay of [1, "yes", null] as Anything[]) {
    await fails("ERR_INVALID_ARG", () => conn.configure({ noDelay }));
  }
  for (const keepAliveProbes of [0, 128, NaN]) {
    await fails("ERR_OUT_OF_RANGE", () => conn.configure({ keepAliveProbes }));
  }
  for (const multicastTtl of [-1, 256, 0.5]) await fails("ERR_OUT_OF_RANGE", () => udp.configure({ multicastTtl }));
  await fails("ERR_INVALID_ARG", () => conn.configure({ broadcast: true } as Anything));
  await fails("ERR_INVALID_ARG", () => udp.configure({ noDelay: true } as Anything));
  await fails("ERR_INVALID_ARG", () => udp.joinMulticast("not an address"));
  await fails("ERR_INVALID_ARG", () => udp.joinMulticast(5 as Anything));
  await fails("ENODEV", () => udp.joinMulticast("239.1.1.1", { interface: "nosuch0" }), { says: "nosuch0" });
  await fails("EINVAL", () => udp.joinMulticast("10.1.1.1"), { syscall: "setsockopt" });
});

testIf(undefined, "errors say what was wrong and what is allowed", async () => {
  const error = await fails("ERR_OUT_OF_RANGE", () => open({ arenaBytes: -5 }));
  assert(error instanceof RingletError && error instanceof Error);
  assertEquals([error.name, error.syscall], ["RingletError", undefined]);
  for (const part of ["arenaBytes", "whole number from 1 to", "-5"]) {
    assert(error.message.includes(part), error.message);
  }
});
