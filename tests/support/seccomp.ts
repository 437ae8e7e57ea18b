/**
 * Programs under a seccomp filter.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Rule } from "./seccomp_filter.ts";
import { lacks } from "./skip.ts";

/** The command that runs the rest of its arguments under `rules`. */
export function forbidding(...rules: Rule[]): [string, ...string[]] {
  const program = fileURLToPath(new URL("./programs/forbidding.ts", import.meta.url));
  return [process.execPath, "run", "-A", "--no-check", program, JSON.stringify(rules)];
}

/** What is missing for {@linkcode forbidding}. */
export const NO_SECCOMP: string | undefined = lacks("needs seccomp", ...forbidding("setup EPERM"), "true");
