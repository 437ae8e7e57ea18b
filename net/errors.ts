/**
 * The errors that this library throws.
 *
 * @module
 */
import { errnoAdvice, errnoName } from "../ffi/errno.ts";

/** Codes of errors that do not come from the operating system. */
export type RingletErrorCode =
  | "ERR_CLOSED"
  | "ERR_INVALID_ARG"
  | "ERR_LEASE_FOREIGN"
  | "ERR_LEASE_HELD"
  | "ERR_LEASE_LENT"
  | "ERR_LEASE_RELEASED"
  | "ERR_OUT_OF_RANGE"
  | "ERR_TABLE_FULL"
  | "ERR_UNSUPPORTED";

/** What an error may say beyond its message. */
export interface RingletErrorDetails extends ErrorOptions {
  /** See {@linkcode RingletError.syscall}. */
  syscall?: string;
  /** See {@linkcode RingletError.advice}. */
  advice?: string;
  /** See {@linkcode RingletError.bytesAccepted}. */
  bytesAccepted?: number;
  /** See {@linkcode RingletError.released}. */
  released?: Promise<unknown>;
}

/**
 * An error of this library or of the operating system below it.
 *
 * @example
 * ```ts
 * import { open, RingletError } from "@ringlet/ringlet";
 * import { assertEquals } from "@std/assert";
 *
 * await using io = await open({ arenaBytes: 1 << 20 });
 * try {
 *   await io.connect({ hostname: "127.0.0.1", port: 1 });
 * } catch (error) {
 *   if (!(error instanceof RingletError)) throw error;
 *   assertEquals(error.code, "ECONNREFUSED");
 *   assertEquals(error.syscall, "connect");
 * }
 * ```
 */
export class RingletError extends Error {
  /** An errno's name (`"ECONNREFUSED"`) or a {@linkcode RingletErrorCode}. */
  readonly code: string;
  /** The system call that failed, if one did. */
  readonly syscall?: string;
  /** What to do about it, if that is known. */
  readonly advice?: string;
  /** For a send that failed: how many bytes the kernel had accepted before. */
  readonly bytesAccepted?: number;
  /** For a send that was partly accepted: resolves when the kernel has let go of that part. Never rejects. */
  readonly released?: Promise<unknown>;

  /**
   * Makes an error.
   *
   * @param code An errno's name or a {@linkcode RingletErrorCode}.
   * @param message What went wrong.
   * @param details The other properties.
   */
  constructor(code: string, message: string, details: RingletErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "RingletError";
    this.code = code;
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.advice) this.advice = details.advice;
    if (details.bytesAccepted !== undefined) this.bytesAccepted = details.bytesAccepted;
    if (details.released !== undefined) this.released = details.released;
  }
}

/** The error for `errno` from `syscall`; `what` is what could not be done, such as `"connect to 10.0.0.2:9000"`. */
export function systemError(
  syscall: string,
  errno: number,
  what: string,
  details: RingletErrorDetails = {},
): RingletError {
  const code = errnoName(errno);
  const advice = details.advice ?? errnoAdvice(errno);
  const message = `Cannot ${what}: ${syscall} answered ${code}${advice === "" ? "" : ` (${advice})`}`;
  return new RingletError(code, message, { ...details, syscall, advice });
}

/** The error for something used after it was closed. */
export function closedError(what: string): RingletError {
  return new RingletError("ERR_CLOSED", `Cannot use the ${what}: it is closed`);
}
