/**
 * The second leg of the demo. Packets for this machine are always copied, so this one sends over a device that lets them leave: one
 * that drops everything, in a network namespace of its own, which also works without root where user namespaces are allowed.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readlinkSync } from "node:fs";
import process from "node:process";
import { Child, type Ended } from "./child.ts";
import type { Command } from "./command.ts";
import { codeOf, CommandError, messageOf } from "./failure.ts";
import type { OptionValues } from "./options.ts";
import { conclude } from "./report.ts";
import { type Leg, Run } from "./run.ts";
import { Source } from "./source.ts";

/** What the demo learns. */
export type OffHost = { offHost: Leg; device: string } | { offHost: null; offHostReason: string };

const DEVICE = "ringlet0";
/** Kinds of devices that drop what they are sent, after the driver had it. */
const KINDS = ["ifb", "dummy"];
const LOCAL = "10.77.0.1";
/** An address that nobody has. */
const REMOTE = { hostname: "10.77.0.2", port: 9 };
const DATAGRAM_BYTES = 60_000;
const DATAGRAMS = 2000;
const STOP_AFTER_MS = 2000;
const TIME_LIMIT_MS = 10_000;

/** Runs the leg in a namespace of its own, if the system allows it. */
export async function tryOffHost({ engine }: Pick<OptionValues, "engine">, signal: AbortSignal): Promise<OffHost> {
  const args = ["off-host", "--engine", engine, "--json", namespace()];
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TIME_LIMIT_MS)]);
  const reasons = new Set<string>();
  for (const wrapper of wrappers()) {
    const child = new Child(args, wrapper, limit);
    const ended = await child.ended.catch((error) => ({ result: undefined, complaint: notStarted(error) }));
    signal.throwIfAborted();
    const { exitCode, leg, device } = ended.result ?? {};
    if (exitCode === 0) return { offHost: leg as Leg, device: device as string };
    reasons.add(limit.aborted ? `it took longer than ${TIME_LIMIT_MS / 1000} s` : reasonOf(ended));
    if (limit.aborted) break;
  }
  return { offHost: null, offHostReason: [...reasons].join("; ") };
}

/** Ways to a namespace. Root of the machine needs no user namespace, and keeps its right to lock memory without one. */
function wrappers(): string[][] {
  const mapped = ["unshare", "-rn"];
  return process.getuid?.() === 0 ? [["unshare", "-n"], mapped] : [mapped];
}

function notStarted(error: unknown): string {
  return codeOf(error) === "ENOENT" ? "unshare is missing; install util-linux" : `unshare: ${messageOf(error)}`;
}

function reasonOf({ result, complaint }: Ended): string {
  const { error } = (result ?? {}) as { error?: { message: string } };
  return error?.message ??
    `no network namespace can be made here (${complaint.split("\n")[0] || "unshare says nothing"})`;
}

/** The network namespace of this process. */
function namespace(): string {
  return readlinkSync("/proc/self/ns/net");
}

/** `ringlet off-host OUTER`: the leg itself, inside. OUTER is the namespace that must not be touched. */
export const offHost: Command = {
  synopsis: "OUTER",
  summary: "the demo's second leg",
  hidden: true,
  options: ["engine", "json"],
  async run({ positionals: [outer], values, signal }) {
    if (!/^net:\[\d+\]$/.test(outer) || outer === namespace()) {
      throw new CommandError("usage", "off-host is started by the demo, in a namespace of its own");
    }
    let device: string | undefined;
    await using source = await Source.open(process.execPath);
    // Less than the memory that a process without privileges may lock, 8 MiB by default.
    const run = await Run.open({ engine: values.engine, "zero-copy": "always", arena: 4 << 20 });
    const failure = await run.during(async () => {
      device = makeDevice();
      await sendDatagrams(run, source, signal);
    });
    const leg = run.leg();
    return conclude({ ...leg, leg, device, sha256Sent: null, sha256Received: null }, failure, values, () => "");
  },
};

/** Makes and prepares the device; answers its kind. */
function makeDevice(): string {
  let kind: string | undefined;
  let reason = "";
  for (const each of KINDS) {
    try {
      ip("link", "add", DEVICE, "type", each);
      kind = each;
      break;
    } catch (error) {
      reason ||= messageOf(error);
    }
  }
  if (kind === undefined) throw new CommandError("unsupported", reason);
  ip("address", "add", `${LOCAL}/24`, "dev", DEVICE);
  ip("link", "set", DEVICE, "mtu", "65535", "up");
  return kind;
}

function ip(...args: string[]): void {
  const { error, status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (codeOf(error) === "ENOENT") throw new CommandError("unsupported", "ip is missing; install iproute2");
  if (status !== 0) throw new CommandError("unsupported", `ip ${args.join(" ")}: ${stderr.trim() || error?.message}`);
}

/** Sends pieces of the file as datagrams, over and over. */
async function sendDatagrams(run: Run, source: Source, signal: AbortSignal): Promise<void> {
  const socket = await run.io.bindUdp({ hostname: LOCAL });
  const outbox = run.outbox((lease) => socket.send(lease, { to: REMOTE }), signal, (bytes) => run.bytes += bytes);
  const pieces = Math.floor(source.byteLength / DATAGRAM_BYTES);
  using _clock = run.clock();
  const startedMs = performance.now();
  for (let i = 0; i < DATAGRAMS && performance.now() - startedMs < STOP_AFTER_MS; i++) {
    const lease = await outbox.lease(DATAGRAM_BYTES);
    await source.fill(lease.bytes, i % pieces * DATAGRAM_BYTES);
    outbox.send(lease);
  }
  await outbox.settled();
}
