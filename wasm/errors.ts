import { FAULT } from "./layout.ts";

/** What went wrong, for programs. */
export type CoreErrorCode =
  | "ERR_LEASE_STALE"
  | "ERR_LEASE_NOT_HELD"
  | "ERR_LEASE_BUSY"
  | "ERR_STALE"
  | "ERR_OUT_OF_RANGE"
  | "ERR_NO_SLOT"
  | "ERR_NO_ROOM"
  | "ERR_BUSY"
  | "ERR_INVALID_ARG";

/**
 * The core refused something. `code` says what; nothing has changed.
 *
 * @example
 * ```ts
 * import { CoreError, createCore } from "@ringlet/ringlet/core";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const core = createCore({ arenaBytes: 65_536 });
 * const lease = core.take(100)!;
 * core.release(lease);
 * const error = assertThrows(() => core.release(lease), CoreError);
 * assertEquals(error.code, "ERR_LEASE_STALE");
 * ```
 */
export class CoreError extends Error {
  /** What went wrong, for programs. */
  readonly code: CoreErrorCode;

  /**
   * An error with a code.
   *
   * @param code what went wrong, for programs
   * @param message what went wrong, for people
   */
  constructor(code: CoreErrorCode, message: string) {
    super(message);
    this.name = "CoreError";
    this.code = code;
  }
}

/** What a handle names, for messages and codes. */
export type Noun = "lease" | "socket" | "send";

const REASONS: Readonly<Record<number, [code: CoreErrorCode, words: string]>> = {
  [FAULT.NO_ROOM]: ["ERR_NO_ROOM", "nothing fits now"],
  [FAULT.NO_SLOT]: ["ERR_NO_SLOT", "the table is full; raise the maximum when creating the core"],
  [FAULT.STALE]: ["ERR_STALE", "it was given back, or never existed"],
  [FAULT.NOT_HELD]: ["ERR_LEASE_NOT_HELD", "the program holds no claim to the lease; retain it to lend it twice"],
  [FAULT.RANGE]: ["ERR_OUT_OF_RANGE", "an argument is out of bounds"],
  [FAULT.BUSY]: ["ERR_BUSY", "not in this state"],
};

/** The error for a fault of a raw export. */
export function faultError(fault: number, action: string, noun: Noun): CoreError {
  const [code, words] = REASONS[fault] ?? ["ERR_OUT_OF_RANGE", `unknown fault ${fault}`];
  if (noun === "lease" && fault === FAULT.STALE) return new CoreError("ERR_LEASE_STALE", `Cannot ${action}: ${words}`);
  if (noun === "lease" && fault === FAULT.BUSY) {
    return new CoreError("ERR_LEASE_BUSY", `Cannot ${action}: it is lent or retained`);
  }
  return new CoreError(code, `Cannot ${action}: ${words}`);
}
