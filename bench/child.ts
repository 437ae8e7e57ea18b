/**
 * Contenders in processes of their own: each asks nothing of the others, and its processor time is its own.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Contender, Round } from "./measure.ts";

/** The command of a contender; its job is appended. */
export type Command = readonly [program: string, ...args: string[]];

/** Where the payloads go. */
export interface Destination {
  readonly hostname: string;
  readonly port: number;
}

/** What a contender has, all its life. */
export interface Job {
  /** Sends in flight at once. */
  readonly depth: number;
  readonly sockets: number;
  readonly payloadBytes: number;
  /** How many payloads there are. */
  readonly payloads: number;
  /** Payloads are trains of datagrams of so many bytes. */
  readonly segmentBytes?: number;
  /** Each payload goes to so many ports. */
  readonly destinations?: number;
}

/** What a contender does in a round. */
export interface Task {
  /** Payloads are written before the time is taken, or within it. */
  readonly writing: "before" | "within";
  /** How many of its payloads take turns. */
  readonly payloads: number;
  readonly roundSeconds: number;
}

/** The exit code of a contender that cannot work on this machine, and has said why. */
const NOT_HERE = 3;

function path(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** A module of this folder, on Deno. */
export function deno(module: string, args: readonly string[], flags: readonly string[] = []): Command {
  return [Deno.execPath(), "run", "--allow-all", "--unstable-net", ...flags, path(module), ...args];
}

/** A module of this folder, on Node. */
export function node(module: string, args: readonly string[]): Command {
  return ["node", path(module), ...args];
}

/** A process and the lines that it writes. */
export class Lines {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor([program, ...args]: Command) {
    this.child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.child.stdin!.on("error", () => {}); // it has ended: `next` tells
    this.#lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  /** The next line; `undefined` when there is none. */
  async #next(): Promise<string | undefined> {
    const { value, done } = await this.#lines.next();
    return done ? undefined : value;
  }

  /** The next line. */
  async next(): Promise<string> {
    const line = await this.#next();
    if (line === undefined) throw this.#ended();
    return line;
  }

  /** Waits until the process is ready; `false` when it cannot work on this machine. */
  async ready(): Promise<boolean> {
    if (await this.#next() === "ready") return true;
    const { child } = this;
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    if (child.exitCode === NOT_HERE) return false;
    throw this.#ended();
  }

  #ended(): Error {
    return new Error(`a process of the benchmark ended early: ${this.child.spawnargs.join(" ")}`);
  }

  /** Ends its input, which ends the process. */
  async close(): Promise<void> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.stdin!.end();
    await exit;
  }
}

/** Starts a contender, which takes its job as arguments; `undefined` when it cannot work on this machine. */
export async function contender(
  command: Command,
  to: Destination,
  { depth, sockets, payloadBytes, payloads, segmentBytes = 0, destinations = 1 }: Job,
): Promise<Contender<Task> | undefined> {
  const places = [depth, sockets, to.hostname, to.port].map(String);
  const sizes = [payloadBytes, payloads, segmentBytes, destinations].map(String);
  const process = new Lines([...command, ...places, ...sizes]);
  if (!await process.ready()) return undefined;
  return {
    async round({ writing, payloads, roundSeconds }): Promise<Round> {
      process.child.stdin!.write(`${writing} ${payloads} ${roundSeconds}\n`);
      const [bytes, seconds, cpuSeconds] = (await process.next()).split(" ").map(Number);
      return { bytes, seconds, cpuSeconds };
    },
    close: () => process.close(),
  };
}
