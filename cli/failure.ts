/**
 * How the command ends when something goes wrong: exit codes, and the errors that carry them.
 *
 * @module
 */
import { RingletError } from "../mod.ts";

/** Exit codes. `--help` prints them. */
export const EXIT = {
  ok: { code: 0, meaning: "everything was sent, received and verified" },
  failed: { code: 1, meaning: "the transfer failed: file, network or peer" },
  usage: { code: 2, meaning: "wrong arguments; nothing was started" },
  differs: { code: 3, meaning: "the hashes or the books do not agree" },
  unsupported: { code: 4, meaning: "this system or a missing permission does not allow it" },
  SIGINT: { code: 130, meaning: "interrupted (Ctrl-C)" },
  SIGTERM: { code: 143, meaning: "terminated" },
} as const satisfies Record<string, { code: number; meaning: string }>;

/** Why the command ended. */
export type Outcome = keyof typeof EXIT;

/** An error whose message is meant for the person at the terminal. */
export class CommandError extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CommandError";
    this.outcome = outcome;
  }
}

/** A `CommandError` for `Cannot <what>: <why>`, from any cause. */
export function cannot(what: string, cause: unknown, outcome: Outcome = outcomeOf(cause)): CommandError {
  return new CommandError(outcome, `Cannot ${what}: ${messageOf(cause)}`, { cause });
}

const OUTCOMES: Readonly<Record<string, Outcome>> = {
  ERR_UNSUPPORTED: "unsupported",
  ERR_INVALID_ARG: "usage",
  ERR_OUT_OF_RANGE: "usage",
};

/** The outcome that an error stands for. */
export function outcomeOf(error: unknown): Outcome {
  if (error instanceof CommandError) return error.outcome;
  if (error instanceof RingletError) return OUTCOMES[error.code] ?? "failed";
  return error instanceof Error && error.name === "NotCapable" ? "unsupported" : "failed";
}

/** An errno's name or another code, where the error or its cause has one. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : codeOf(error.cause);
}

/** What to tell a person about an error. A programming mistake shows where it is. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const expected = codeOf(error) !== undefined || error instanceof CommandError || outcomeOf(error) !== "failed";
  if (!expected) return error.stack ?? error.message;
  const advice = error instanceof RingletError && error.advice !== undefined && !error.message.includes(error.advice);
  return advice ? `${error.message} (${error.advice})` : error.message;
}
