/**
 * Runs the real command as child processes.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { selfCommand } from "../../cli/child.ts";

/** Whatever still runs then hangs. */
const HANGS_MS = 60_000;

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartOptions {
  readonly env?: Record<string, string>;
  /** A program with its arguments that starts the command. */
  readonly wrapper?: readonly string[];
}

/** A running command. */
export class Started {
  readonly ended: Promise<Ended>;
  readonly #process: ChildProcess;
  readonly #watchers = new Set<() => void>();
  #stdout = "";
  #stderr = "";
  #over = false;

  constructor([program, ...args]: readonly string[], env: Record<string, string> = {}) {
    this.#process = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    const guard = setTimeout(() => this.kill("SIGKILL"), HANGS_MS);
    this.#process.stdout!.on("data", (text) => this.#news(() => this.#stdout += text));
    this.#process.stderr!.on("data", (text) => this.#news(() => this.#stderr += text));
    this.ended = new Promise((resolve, reject) => {
      this.#process.on("error", reject);
      this.#process.on("close", (code) => {
        clearTimeout(guard);
        this.#news(() => this.#over = true);
        resolve({ code, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  #news(happen: () => void): void {
    happen();
    for (const watcher of this.#watchers) watcher();
  }

  /** Waits until the output matches; throws when the process ends without it. */
  async said(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const match = (this.#stdout + this.#stderr).match(pattern);
      if (match !== null) return match;
      assert(!this.#over, `the command ended without saying ${pattern}: ${this.#stdout}${this.#stderr}`);
      await new Promise<void>((resolve) => {
        const watcher = () => {
          this.#watchers.delete(watcher);
          resolve();
        };
        this.#watchers.add(watcher);
      });
    }
  }

  kill(signal: "SIGINT" | "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    // Not child.kill(): on Deno, "close" then reports the signal even when the process handled it.
    if (!this.#over) process.kill(this.#process.pid!, signal);
  }
}

/** Starts `ringlet` with `args`. */
export function start(args: readonly string[], { env, wrapper = [] }: StartOptions = {}): Started {
  return new Started([...wrapper, ...selfCommand(), ...args], env);
}

/** Runs `ringlet` with `args` to its end. */
export function run(args: readonly string[], options?: StartOptions): Promise<Ended> {
  return start(args, options).ended;
}

/** Starts `ringlet recv` on any port of the loopback and waits until it listens. */
export async function receive(...args: string[]): Promise<{ receiver: Started; port: number; target: string }> {
  const receiver = start(["recv", "0", "--host", "127.0.0.1", "--json", ...args]);
  const [, port] = await receiver.said(/"port":(\d+)/);
  return { receiver, port: Number(port), target: `127.0.0.1:${port}` };
}

/** The JSON object of the last line. */
// deno-lint-ignore no-explicit-any -- tests look into it
export function lastLine({ stdout }: Ended): any {
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
}

/** The line that a command says when it ends early; its numbers must agree. */
export function assertBooksClosed({ stderr }: Ended): void {
  const [, lent, released, inFlight] = stderr.match(/([\d,]+) loans lent, ([\d,]+) released, ([\d,]+) in flight/) ?? [];
  assert(lent !== undefined, `no accounting in ${JSON.stringify(stderr)}`);
  assert(lent !== "0");
  assertEquals([released, inFlight], [lent, "0"]);
}

/** A folder for one test. */
export class Folder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async make(): Promise<Folder> {
    return new Folder(await mkdtemp(join(tmpdir(), "ringlet-")));
  }

  join(name: string): string {
    return join(this.path, name);
  }

  /** A file of random bytes. */
  async file(name: string, byteLength: number): Promise<{ path: string; bytes: Uint8Array }> {
    const bytes = new Uint8Array(randomBytes(byteLength));
    await writeFile(this.join(name), bytes);
    return { path: this.join(name), bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }
}
