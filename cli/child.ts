/**
 * This command as a process of its own, which answers in JSON lines.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { CommandError } from "./failure.ts";

/** What a process said before it ended. */
export interface Ended {
  /** Its last line, if that was a JSON object. */
  readonly result: Record<string, unknown> | undefined;
  /** What it complained about. */
  readonly complaint: string;
}

/** The words that start this command again: the runtime, and the file beside this one. */
export function selfCommand(): string[] {
  const main = import.meta.url.replace(/child(\.\w+)$/, "main$1");
  const file = main.startsWith("file:") ? fileURLToPath(main) : main;
  // A program cannot read its own permission flags on Deno. Whoever allowed it to start programs allowed all of them.
  return process.versions.deno === undefined ? [process.execPath, file] : [process.execPath, "run", "-A", file];
}

/** See the module. */
export class Child {
  /** The first line; rejects when the process ends without one. */
  readonly first: Promise<Record<string, unknown>>;
  /** The end; rejects when the program cannot be started. */
  readonly ended: Promise<Ended>;
  readonly #process: ChildProcess;

  /**
   * Starts `ringlet` with `args`.
   *
   * @param wrapper A program with its arguments that starts it, such as `["unshare", "-rn"]`.
   * @param signal Stops it.
   */
  constructor(args: readonly string[], wrapper: readonly string[], signal: AbortSignal) {
    const [program, ...rest] = [...wrapper, ...selfCommand(), ...args];
    // Debian keeps `ip` where the PATH of ordinary users does not lead.
    const path = [process.env.PATH, "/usr/sbin", "/sbin"].filter(Boolean).join(":");
    const env = { ...process.env, PATH: path };
    const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"], env });
    this.#process = child;
    const stop = () => this.stop();
    signal.addEventListener("abort", stop);
    let complaint = "";
    child.stderr.on("data", (chunk) => complaint += chunk);
    let last: string | undefined;
    const first = Promise.withResolvers<Record<string, unknown>>();
    createInterface(child.stdout).on("line", (line) => {
      last = line;
      const object = objectOf(line);
      if (object !== undefined) first.resolve(object);
    });
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", () => {
        signal.removeEventListener("abort", stop);
        resolve({ result: objectOf(last), complaint: complaint.trim() });
      });
    });
    this.ended.then(
      ({ complaint }) => first.reject(new CommandError("failed", complaint || `${program} ended without a word`)),
      first.reject,
    );
    first.promise.catch(() => {}); // not everybody waits for the first line
    this.first = first.promise;
  }

  /** Asks it to end. */
  stop(): void {
    this.#process.kill("SIGINT");
  }
}

function objectOf(line: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line ?? "");
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : undefined;
  } catch {
    return undefined;
  }
}
