/**
 * A network namespace of the benchmark's own, with devices that take packets and drop them: sends there are not copied.
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import type { Destination } from "./child.ts";

/** Nobody has these addresses; the devices' own are their neighbours. */
export const DEVICE: Destination = { hostname: "10.77.0.2", port: 9 };
const UNSEGMENTED: Destination = { hostname: "10.77.1.2", port: 9 };

const addDevice = (name: string, address: string) =>
  `ip link add ${name} type ifb && ip address add ${address}/24 dev ${name} && ip link set ${name} mtu 65535 up`;

/** Loopback without the pacing of some congestion controls, the device, and as many sockets as may be. */
const SET_UP =
  "ulimit -n $(ulimit -Hn) && ip link set lo up && echo reno > /proc/sys/net/ipv4/tcp_congestion_control && " +
  addDevice("bench", "10.77.0.1");

/** A second device takes no trains: the kernel cuts them before it. */
const SET_UP_UNSEGMENTED = `${addDevice("unsegmented", "10.77.1.1")} && ethtool -K unsegmented tx-udp-segmentation off`;

/** The arguments of `unshare` that work here, or why none does. */
function unshare(): string[] | Error {
  const reasons: string[] = [];
  for (const flags of process.getuid?.() === 0 ? ["-n", "-rn"] : ["-rn"]) {
    const { status, stderr, error } = spawnSync("unshare", [flags, "sh", "-c", SET_UP], { encoding: "utf8" });
    if (status === 0) return [flags, "sh", "-c", `${SET_UP} && exec "$@"`, "sh"];
    reasons.push(`unshare ${flags}: ${error?.message ?? stderr.trim()}`);
  }
  return new Error(reasons.join("; "));
}

/** Runs a command in the namespace and answers its exit code, or the reason why there is no namespace. */
export async function runInNamespace(command: readonly string[]): Promise<number | Error> {
  const args = unshare();
  if (args instanceof Error) return args;
  return await runOutside(["unshare", ...args, ...command]);
}

/** Within the namespace: adds the device that takes no trains; `undefined` (and says why) where that fails. */
export function addUnsegmented(): Destination | undefined {
  const { status, stderr } = spawnSync("sh", ["-c", SET_UP_UNSEGMENTED], { encoding: "utf8" });
  if (status === 0) return UNSEGMENTED;
  console.error(`SKIP a device without segmentation offload: ${stderr.trim()}`);
}

/** Runs a command where we are. */
export async function runOutside([program, ...args]: readonly string[]): Promise<number> {
  const [code] = await once(spawn(program, args, { stdio: "inherit" }), "exit");
  return code ?? 1;
}
