/**
 * Programs in child processes: in a network namespace, under limits, with fewer permissions.
 */
import { assertEquals } from "@std/assert";
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { HANG_MS, NO_ROOT } from "./skip.ts";

/** How a child runs. */
export interface ChildOptions {
  /** Arguments of the program. */
  args?: readonly string[];
  /** Options of the runtime. Default: every permission. */
  flags?: readonly string[];
  /** A command that runs the rest of its arguments, such as `unshare -rn`. */
  within?: readonly string[];
}

/** What became of a child. */
export interface ChildResult {
  /** The exit code, or the signal that ended it. */
  status: number | NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs the TypeScript program at `path` (a file URL) to its end; one that does not end is killed and says so. */
export function runChild(path: URL, options: ChildOptions = {}): Promise<ChildResult> {
  const { args = [], flags = ["-A"], within = [] } = options;
  const [command, ...rest] = [
    ...within,
    process.execPath,
    "run",
    "--no-prompt",
    "--no-check",
    ...flags,
    fileURLToPath(path),
    ...args,
  ];
  const child = spawn(command, rest, { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => stdout += chunk);
  child.stderr.on("data", (chunk) => stderr += chunk);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      stderr += "the child did not end and was killed";
      child.kill("SIGKILL");
    }, HANG_MS / 2);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ status: signal ?? code, stdout, stderr });
    });
  });
}

/** Runs a program that must end well, and answers the JSON of its last line. */
export async function childJson<T>(path: URL, options: ChildOptions = {}): Promise<T> {
  const { status, stdout, stderr } = await runChild(path, options);
  assertEquals(status, 0, `${path.pathname} ended with ${status}:\n${stdout}${stderr}`);
  const last = stdout.trimEnd().split("\n").at(-1) ?? "";
  return JSON.parse(last);
}

/** Lets access(2), which asks for the real user, pass where the effective one may read. */
const READS_ALL = "--securebits=+no_setuid_fixup";

/**
 * As root, options of `setpriv` that give the rest a real user nobody else is; files stay the effective user's. Lockable memory is
 * counted for each real user, so what other processes of root's have locked does not matter.
 */
function ownUser(): string[] {
  return NO_ROOT === undefined ? [`--ruid=${100_000 + Math.floor(Math.random() * 2 ** 30)}`, READS_ALL] : [];
}

/** Runs the rest without the capability that lifts the limit, with `bytes` of lockable memory of its own. */
export function lockable(bytes: number): string[] {
  const limit = ["prlimit", `--memlock=${bytes}:${bytes}`];
  return [...limit, "setpriv", ...ownUser(), "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"];
}

/** Runs the rest in a network namespace of its own, after the commands of `setup`; no root is needed. */
export function inNamespace(...setup: string[]): string[] {
  const user = ownUser();
  const asUser = user.length > 0 ? ["setpriv", ...user] : [];
  // Some of the commands want the real user to be root, too.
  const [settingUp, within] = user.length > 0 ? ["setpriv --ruid=0 sh", `setpriv ${READS_ALL}`] : ["sh", ""];
  const script = `${settingUp} -ec "$0"; exec ${within} "$@"`;
  return [...asUser, "unshare", "-rnm", "--fork", "--kill-child", "sh", "-ec", script, setup.join("\n")];
}

/**
 * Runs `attempt` until it succeeds, a few times at most. What a process that has ended had locked counts against the limit of its user
 * until the kernel is done with its rings, which may be after the next process has started.
 */
export async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = 5;; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
}
