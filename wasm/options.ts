import { CoreError } from "./errors.ts";

/** How large a core is. Its tables are sized once and never grow. */
export interface CoreOptions {
  /** Bytes of the arena that leases are carved from: a multiple of 65,536, below 4 GiB. The core does not touch it. */
  arenaBytes: number;
  /** Leases at once, at most 2,097,152. Default 16,384. */
  maxLeases?: number;
  /** Sends at once, at most 2,097,152. Default 4,096. */
  maxSends?: number;
  /** Sockets at once, at most 2,097,152. Default 1,024. */
  maxSockets?: number;
  /** Ids outstanding per socket, a power of two, at most 1,048,576. Default 1,024. */
  windowIds?: number;
  /** Submission entries of an io_uring whose rings are in the core's memory: a power of two, at most 32,768. Default 0: no ring. */
  ringEntries?: number;
  /** No lease crosses a multiple of this many bytes; a multiple of 65,536. Default 0: no such bound. */
  pieceBytes?: number;
  /** Memory for the tables, zero-filled and large enough. By default the core makes one of the right size. */
  memory?: WebAssembly.Memory;
}

/** All of them, checked. */
export type CheckedOptions = Required<Omit<CoreOptions, "memory">> & { memory: WebAssembly.Memory | undefined };

const PAGE_BYTES = 65_536;
const MAX_ARENA_BYTES = 2 ** 32 - PAGE_BYTES;
/** Handles have 21 bits for the slot. */
const MAX_RECORDS = 2 ** 21;

/** A whole number within bounds, or a {@linkcode CoreError}. */
export function checkInteger(action: string, name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value)) {
    throw new CoreError(
      "ERR_INVALID_ARG",
      `Cannot ${action}: ${name} is ${describe(value)}, it must be a whole number`,
    );
  }
  if (value < min || value > max) {
    throw new CoreError("ERR_OUT_OF_RANGE", `Cannot ${action}: ${name} is ${value}, it must be ${min} to ${max}`);
  }
  return value;
}

/** An object without options that nobody reads, or a {@linkcode CoreError}: a misspelt one is no default. */
export function checkNames<T extends object>(action: string, options: T, known: readonly (keyof T)[]): T {
  if (typeof options !== "object" || options === null) {
    throw new CoreError(
      "ERR_INVALID_ARG",
      `Cannot ${action}: options are ${describe(options)}, they must be an object`,
    );
  }
  for (const name in options) {
    if (known.includes(name)) continue;
    throw new CoreError("ERR_INVALID_ARG", `Cannot ${action}: there is no option ${name}, only ${known.join(", ")}`);
  }
  return options;
}

const CORE_OPTIONS = [
  "arenaBytes",
  "maxLeases",
  "maxSends",
  "maxSockets",
  "windowIds",
  "ringEntries",
  "pieceBytes",
  "memory",
] as const satisfies (keyof CoreOptions)[];

/** Checks what was asked for and fills in the rest. */
export function checkOptions(options: CoreOptions): CheckedOptions {
  const action = "create a core";
  checkNames(action, options, CORE_OPTIONS);
  const { maxLeases = 16_384, maxSends = 4_096, maxSockets = 1_024, windowIds = 1_024 } = options;
  const { ringEntries = 0, pieceBytes = 0, memory } = options;
  const arenaBytes = checkInteger(action, "arenaBytes", options.arenaBytes, PAGE_BYTES, MAX_ARENA_BYTES);
  checkMultiple(action, "arenaBytes", arenaBytes);
  checkMultiple(action, "pieceBytes", checkInteger(action, "pieceBytes", pieceBytes, 0, MAX_ARENA_BYTES));
  checkInteger(action, "maxLeases", maxLeases, 1, MAX_RECORDS);
  checkInteger(action, "maxSends", maxSends, 1, MAX_RECORDS);
  checkInteger(action, "maxSockets", maxSockets, 1, MAX_RECORDS);
  checkInteger(action, "windowIds", windowIds, 1, 2 ** 20);
  if ((windowIds & (windowIds - 1)) !== 0) {
    throw new CoreError("ERR_OUT_OF_RANGE", `Cannot ${action}: windowIds is ${windowIds}, it must be a power of two`);
  }
  checkInteger(action, "ringEntries", ringEntries, 0, 2 ** 15);
  if ((ringEntries & (ringEntries - 1)) !== 0) {
    throw new CoreError(
      "ERR_OUT_OF_RANGE",
      `Cannot ${action}: ringEntries is ${ringEntries}, it must be 0 or a power of two`,
    );
  }
  if (memory !== undefined && !(memory instanceof WebAssembly.Memory)) {
    throw new CoreError("ERR_INVALID_ARG", `Cannot ${action}: memory must be a WebAssembly.Memory`);
  }
  return { arenaBytes, maxLeases, maxSends, maxSockets, windowIds, ringEntries, pieceBytes, memory };
}

function checkMultiple(action: string, name: string, bytes: number): void {
  if (bytes % PAGE_BYTES !== 0) {
    throw new CoreError(
      "ERR_OUT_OF_RANGE",
      `Cannot ${action}: ${name} is ${bytes}, it must be a multiple of ${PAGE_BYTES}`,
    );
  }
}

function describe(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
