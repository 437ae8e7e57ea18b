/**
 * Who can take part, by name.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Command, deno, node } from "./child.ts";

/** What payloads go over. */
export type Transport = "udp" | "tcp";

/** Ways that C has, too. */
export const WAYS = ["copy", "zero-copy", "fixed"] as const;
/** How C's program and the senders of Ringlet call them. */
const MODES = { copy: "copy", "zero-copy": "zc", fixed: "fixed" } as const;

/** Both of Ringlet's engines before io_uring. */
export const ERRQUEUE = "errqueue";
export const COPY_ENGINE = "engine copy";

/** What sends one payload to many. */
export const FAN_OUT = "uring copy, fanOut";
export const SENDMMSG = "C sendmmsg";
export const TO_MANY = "C ring";

/** What the runtimes offer. */
export const RUNTIMES = {
  udp: ["Deno.listenDatagram", "node:dgram (Deno)", "node:dgram (Node)"],
  tcp: ["Deno.Conn", "node:net (Deno)", "node:net (Node)"],
} as const;

/** The name of a contender that has a promise for each send. */
export function promised(name: string): string {
  return `${name}, promises`;
}

/** The name of a contender whose trains each say the size of their segments, which the others' sockets know. */
export function saying(name: string): string {
  return `${name}, each says it`;
}

/** The name of a contender that awaits one send at a time. */
export function awaited(name: string): string {
  return `${name}, one at a time`;
}

/** The name of a contender that sleeps until a datagram comes. */
export function woken(name: string): string {
  return `${name}, asleep`;
}

const ringlet = (transport: Transport, path: string, way: string) =>
  deno("ringlet_senders.ts", [`${transport}-${path}-${way}`]);

/** Everybody who can send over `transport` on this machine. */
export async function sendersOf(transport: Transport, ceiling: string | undefined): Promise<Map<string, Command>> {
  const ours: Record<string, string> = { [ERRQUEUE]: "errqueue", [COPY_ENGINE]: "copyEngine", auto: "auto" };
  for (const way of WAYS) ours[`uring ${way}`] = MODES[way];
  const commands = new Map<string, Command>();
  for (const [name, way] of Object.entries(ours)) {
    commands.set(name, ringlet(transport, "batch", way));
    commands.set(promised(name), ringlet(transport, "promises", way));
    commands.set(awaited(name), ringlet(transport, "awaited", way));
    if (transport === "udp") commands.set(saying(name), ringlet(transport, "saying", way));
  }
  if (transport === "udp") commands.set(FAN_OUT, ringlet(transport, "fanOut", MODES.copy));
  if (ceiling !== undefined) {
    if (transport === "udp") {
      commands.set(SENDMMSG, [ceiling, "udpmmsg", MODES.copy]);
      commands.set(TO_MANY, [ceiling, "udpto", MODES.copy]);
    }
    for (const way of WAYS) {
      commands.set(`C ${way}`, [ceiling, transport, MODES[way]]);
      if (transport === "udp") commands.set(saying(`C ${way}`), [ceiling, "udpsaid", MODES[way]]);
    }
  }
  const [own, onDeno, onNode] = RUNTIMES[transport];
  const [name, compatible] = transport === "udp" ? ["datagram", "dgram"] : ["conn", "net"];
  commands.set(own, deno("deno_senders.ts", [name]));
  commands.set(onDeno, deno("node_senders.js", [compatible]));
  if (await hasNode()) commands.set(onNode, node("node_senders.js", [compatible]));
  return commands;
}

/** Everybody who can send a message over TCP and wait for its answer, or sleep until a datagram comes. */
export async function travellers(): Promise<Map<string, Command>> {
  const [own, onDeno, onNode] = RUNTIMES.tcp;
  const commands = new Map<string, Command>([
    ["auto", deno("ringlet_senders.ts", ["trip"])],
    [own, deno("deno_senders.ts", ["connTrip"])],
    [onDeno, deno("node_senders.js", ["netTrip"])],
    [woken("auto"), deno("ringlet_senders.ts", ["wake-auto"])],
    [woken(ERRQUEUE), deno("ringlet_senders.ts", ["wake-errqueue"])],
    [woken(RUNTIMES.udp[0]), deno("deno_senders.ts", ["wake"])],
  ]);
  if (await hasNode()) commands.set(onNode, node("node_senders.js", ["netTrip"]));
  return commands;
}

let found: Promise<boolean> | undefined;

/** Whether Node is there. */
function hasNode(): Promise<boolean> {
  return found ??= promisify(execFile)("node", ["--version"]).then(() => true, () => false);
}
