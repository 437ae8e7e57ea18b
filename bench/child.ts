/**
 * Contenders in processes of their own: each asks nothing of the others, and its processor time is its own.
 *
 * @module
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Contender, Round } from "./measure.ts";

/** What a contender does in a round. */
export interface Cell {
  readonly name: string;
  /** How many payloads take turns. */
  readonly payloads: number;
  /** Payloads are written before the time is taken, or within it. */
  readonly writing: "before" | "within";
}

/** What a contender has, all its life. */
export interface Job {
  readonly to: Destination;
  readonly payloadBytes: number;
  readonly payloads: number;
}

/** Where the payloads go. */
export interface Destination {
  readonly hostname: string;
  readonly port: number;
}

/** The command of a contender; its job is appended. */
export type Command = readonly [program: string, ...args: string[]];

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

/** Whether Node is there. */
export async function hasNode(): Promise<boolean> {
  return await promisify(execFile)("node", ["--version"]).then(() => true, () => false);
}

/** Compiles a C file of this folder into `folder`; answers the program, or `undefined` (and says why) when that fails. */
export async function compile(source: string, folder: string): Promise<string | undefined> {
  const program = `${folder}/${source.replace(/\.c$/, "")}`;
  try {
    await promisify(execFile)("gcc", ["-O2", "-o", program, path(source)]);
    return program;
  } catch (error) {
    console.error(`SKIP what C reaches: ${(error as Error).message}`);
  }
}

/** The lines that a process writes. */
export class Lines {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor([program, ...args]: Command) {
    this.child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  async next(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`a process of the benchmark ended early: ${this.child.spawnargs.join(" ")}`);
    return value;
  }

  /** Ends its input, which ends the process. */
  async close(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const exit = once(this.child, "exit");
    this.child.stdin!.end();
    await exit;
  }
}

/** Starts a contender; `command` takes the job as arguments. */
export function contender(
  command: Command,
  { to, payloadBytes, payloads }: Job,
): Contender<Cell & { roundBytes: number }> {
  const process = new Lines([...command, to.hostname, `${to.port}`, `${payloadBytes}`, `${payloads}`]);
  return {
    async round({ writing, payloads, roundBytes }): Promise<Round> {
      process.child.stdin!.write(`${writing} ${payloads} ${roundBytes}\n`);
      const [bytes, seconds, cpuSeconds] = (await process.next()).split(" ").map(Number);
      return { bytes, seconds, cpuSeconds };
    },
    close: () => process.close(),
  };
}
