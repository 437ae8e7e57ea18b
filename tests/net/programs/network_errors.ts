/**
 * Sends to where a router cannot deliver, and prints what it answered: the router is a second network namespace at the other end of a
 * veth pair, with routes that refuse and a device with a smaller MTU. Argument: the engine.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { C } from "../../../ffi/abi.ts";
import { openSystem } from "../../../ffi/system.ts";
import { type EngineName, type NetworkError, RingletError, type UdpSocket } from "../../../mod.ts";
import { setOption } from "../../../net/options.ts";
import { withIo } from "../../support/engines.ts";
import { endpointOf } from "../../support/sockopt.ts";
import { turns } from "../../support/turns.ts";
import { run } from "../../support/veth.ts";

const [IP_MTU_DISCOVER, IP_PMTUDISC_DO] = [10, 2];
const PORT = 9;

const router = spawn("unshare", ["-n", "sh", "-c", "echo ready; cat"], { stdio: ["pipe", "pipe", "inherit"] });
await new Promise((resolve) => router.stdout.once("data", resolve));
const ROUTER = ["nsenter", "-t", String(router.pid), "-n"];
const setup = (within: string[], lines: string) => {
  for (const line of lines.trim().split("\n")) {
    const [command, ...args] = [...within, ...line.trim().split(" ")];
    run(command, ...args);
  }
};
run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", String(router.pid));
setup(
  [],
  `ip link set lo up
  ip addr add 10.77.3.1/24 dev v0
  ip addr add fd77:3::1/64 dev v0 nodad
  ip link set v0 up
  ip link add d1 type ifb
  ip link set d1 up
  ip route add 10.92.0.0/16 dev d1`,
);
setup(
  ROUTER,
  `ip link set lo up
  ip link add d0 type ifb
  ip addr add 10.77.3.2/24 dev v1
  ip addr add fd77:3::2/64 dev v1 nodad
  ip link set v1 up
  ip link set d0 mtu 1300 up
  sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  ip route add unreachable 10.88.0.0/16
  ip route add prohibit 10.90.0.0/16
  ip route add 10.89.0.0/16 dev d0
  ip route add unreachable fd88::/64
  ip route add prohibit fd90::/64
  ip route add fd89::/64 dev d0`,
);
setup(
  [],
  `ip route add 10.88.0.0/16 via 10.77.3.2
  ip route add 10.89.0.0/16 via 10.77.3.2
  ip route add 10.90.0.0/16 via 10.77.3.2
  ip route add unreachable 10.91.0.0/16
  ip route add fd88::/64 via fd77:3::2
  ip route add fd89::/64 via fd77:3::2
  ip route add fd90::/64 via fd77:3::2`,
);

/** One event without what is the same for all. */
function shown({ to, missed: _missed, ...error }: NetworkError) {
  return { ...error, to: to.hostname };
}

async function next(udp: UdpSocket): Promise<NetworkError> {
  for await (const error of udp.errors()) return error;
  throw new Error("closed");
}

/** How many errors there are, and closes the socket. */
async function count(udp: UdpSocket): Promise<number> {
  let heard = 0;
  const counting = (async () => {
    for await (const _ of udp.errors()) heard += 1;
  })();
  await turns();
  await udp.close();
  await counting;
  return heard;
}

const results: Record<string, unknown> = {};
await withIo({ engine: process.argv[2] as EngineName }, async (io) => {
  const udp = await io.bindUdp({ hostname: "0.0.0.0", errors: true });
  const udp6 = await io.bindUdp({ hostname: "::", errors: true });
  const live = { hostname: "10.77.3.2", port: PORT };
  for (
    const [name, socket, hostname] of [
      ["unreachable", udp, "10.88.0.1"],
      ["prohibited", udp, "10.90.0.1"],
      ["too big", udp, "10.89.0.1"],
      ["unreachable 6", udp6, "fd88::1"],
      ["prohibited 6", udp6, "fd90::1"],
      ["too big 6", udp6, "fd89::1"],
    ] as const
  ) {
    await socket.send(new Uint8Array(1400), { to: { hostname, port: PORT } });
    const error = await next(socket);
    results[name] = shown(error);
    if (error.to.port !== PORT) throw new Error(`port ${error.to.port}`);
  }

  // Completions of zero-copy sends and answers of the router in one queue.
  const receipts: Promise<{ copied: boolean }>[] = [];
  const mixed = await io.bindUdp({ hostname: "10.77.3.1", errors: true });
  for (let i = 0; i < 40; i++) {
    // A router sends few answers of other kinds to one host in a second, but says to every one that it was too big. What goes through
    // the veth pair is copied by some kernels; what goes to a device of this host's own, by none.
    const hostname = i % 2 === 0 ? `10.92.1.${i + 1}` : `10.89.1.${i + 1}`;
    receipts.push((await mixed.send(await io.lease(1400), { to: { hostname, port: PORT } })).released);
  }
  const released = (await Promise.all(receipts)).filter((_, i) => i % 2 === 0);
  let answers = 0;
  for await (const { code, to } of mixed.errors()) {
    if (code === "EMSGSIZE" && to.hostname === `10.89.1.${answers * 2 + 2}`) answers += 1;
    else throw new Error(`${code} from ${to.hostname}`);
    if (answers === 20) break;
  }
  const copied = released.filter(({ copied }) => copied).length;
  results.zeroCopy = { copied, notCopied: released.length - copied };

  // What this host refuses by itself.
  const strict = await io.bindUdp({ hostname: "10.77.3.1", errors: true });
  setOption(openSystem(), endpointOf(strict).fd, C.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
  const code = (error: unknown) => error instanceof RingletError ? error.code : String(error);
  const thrown = await strict.send(new Uint8Array(1500), { to: live }).then(() => "sent", code);
  const { icmpType: _type, icmpCode: _code, ...local } = shown(await next(strict));
  results.local = { ...local, thrown, more: await count(strict) };

  const unrouted = await io.bindUdp({ hostname: "0.0.0.0", errors: true });
  const to = { hostname: "10.91.0.1", port: PORT };
  const refused = await unrouted.send(new Uint8Array(10), { to }).then(() => "sent", code);
  results.route = { thrown: refused, heard: await count(unrouted) };
});
router.stdin.end();
console.log(JSON.stringify(results));
