/**
 * Loud skips: a test that cannot run here says so and why, and the summary counts it.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";

/** How many times slower than an ordinary machine this one is: one that is emulated says so. */
export const SLOWNESS: number = Number(process.env.RINGLET_SLOWNESS ?? 1);
/** A test that hangs fails instead. Far longer than any test takes: nothing is measured with it. */
export const HANG_MS = 60_000 * SLOWNESS;

/** Where a program that runs tests wants to read why some are skipped: not every reporter shows what tests print. */
const SKIPS_FILE = process.env.RINGLET_SKIPS;

/** Names of tests that a run leaves out: see tests/vm. */
const LEFT_OUT = process.env.RINGLET_LEFT_OUT;

/** Registers a test, or skips it loudly when `missing` says what it would need. */
export function testIf(
  missing: string | undefined,
  name: string,
  body: () => void | Promise<void>,
  timeout: number = HANG_MS,
): void {
  if (LEFT_OUT !== undefined && new RegExp(LEFT_OUT).test(name)) return;
  if (missing !== undefined) {
    console.log(`SKIP ${name}: ${missing}`);
    if (SKIPS_FILE) appendFileSync(SKIPS_FILE, `${JSON.stringify({ name, missing })}\n`);
  }
  test(name, { skip: missing ?? false, timeout }, body);
}

/** What is missing for running `command` with success; `undefined` when nothing is. */
export function lacks(what: string, command: string, ...args: string[]): string | undefined {
  const { status, error, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status === 0) return undefined;
  return `${what} (${error?.message ?? (stderr.trim() || `${command} ended with ${status}`)})`;
}

/** What is missing for network namespaces of a test's own. */
export const NO_NAMESPACE: string | undefined = lacks(
  "needs `unshare -rn` and iproute2",
  "unshare",
  "-rn",
  "ip",
  "link",
);

/** What is missing for tests that need more than an ordinary user has. */
export const NO_ROOT: string | undefined = process.getuid?.() === 0 ? undefined : "needs root";
