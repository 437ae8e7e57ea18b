/**
 * `open()`: the two memories, and the engine that works here.
 *
 * @module
 */
import { openSystem, type System } from "../ffi/system.ts";
import { type Core, CoreError, type CoreOptions, createCore } from "../wasm/mod.ts";
import { Arena } from "./arena.ts";
import type { EngineName } from "./engine.ts";
import { ENGINES, type Started, startEngine, tryOut } from "./engines.ts";
import { RingletError } from "./errors.ts";
import { ZERO_COPY_MODES } from "./flow.ts";
import { Hub } from "./hub.ts";
import { Io } from "./io.ts";
import { lockedUntil, PIECE_BYTES, type RingLimits } from "./ring.ts";
import { integer, oneOf, options as checkOptions } from "./validate.ts";
import { DEFAULT_THRESHOLD_BYTES, type ZeroCopyMode } from "./zerocopy_policy.ts";

/** Options of `open`. */
export interface OpenOptions {
  /** `auto` takes the best engine that works. Any other name insists on it. Default `auto`. */
  engine?: "auto" | EngineName;
  /**
   * Size of the arena: 64 KiB to 4 GiB - 64 KiB, rounded up to 64 KiB. Memory is used as it is touched, but what can be
   * registered with the kernel is used at once. Default: what can be registered, 64 MiB at most.
   */
  arenaBytes?: number;
  /**
   * How much of the arena, from its start, the engine `uring` registers with the kernel. Registered memory is resident from then on,
   * which takes up to seconds for each GiB. Default: all of it, as far as RLIMIT_MEMLOCK allows.
   */
  registerBytes?: number;
  /** Leases at once. Default 65,536. */
  maxLeases?: number;
  /** Sends in flight at once. Default 8192. */
  maxSends?: number;
  /** Sockets at once. Default 16,384. */
  maxSockets?: number;
  /** Engine `errqueue`: zero-copy calls in flight on one socket; a power of two. Default 1024. */
  windowIds?: number;
  /** Which sends ask for zero-copy: `auto` follows what the kernel answers. Default `auto`. */
  zeroCopy?: ZeroCopyMode;
  /** Payloads below this size are copied. Default 10,240. */
  zeroCopyThresholdBytes?: number;
  /** Told the length of a lease that was garbage collected without having been returned. Default: a warning on the console. */
  onForgottenLease?: (byteLength: number) => void;
}

const OPTIONS = [
  "engine",
  "arenaBytes",
  "registerBytes",
  "maxLeases",
  "maxSends",
  "maxSockets",
  "windowIds",
  "zeroCopy",
  "zeroCopyThresholdBytes",
  "onForgottenLease",
] as const satisfies (keyof OpenOptions)[];

/** A page of WebAssembly memory, the arena's unit. */
const WASM_PAGE_BYTES = 65_536;
const MAX_ARENA_BYTES = 2 ** 32 - WASM_PAGE_BYTES;
const DEFAULT_ARENA_BYTES = 64 * 2 ** 20;
/** A pause before lockable memory is asked for again. */
const RETRY_MS = 5;
const MIN_RING_ENTRIES = 64;
const MAX_RING_ENTRIES = 4096;

/**
 * Opens an arena and an engine.
 *
 * @param options Sizes and choices; all have defaults.
 * @returns An {@linkcode Io}, which belongs to this thread. Close it, or take it with `await using`.
 * @throws {RingletError} `ERR_UNSUPPORTED` where there is no Linux on x86-64 or aarch64, libc may not be opened, or the engine
 * that was insisted on does not work (with the reason); `ERR_OUT_OF_RANGE` and `ERR_INVALID_ARG` for bad options.
 *
 * @example
 * ```ts
 * import { open } from "@ringlet/ringlet";
 * import { assertEquals } from "@std/assert";
 *
 * await using io = await open({ engine: "copy", arenaBytes: 1 << 20 });
 * assertEquals(io.engine.name, "copy");
 * ```
 */
export function open(options: OpenOptions = {}): Promise<Io> {
  return openWithin({}, options);
}

/** {@linkcode open} on a kernel that offers less. For tests. */
export async function openWithin(limits: RingLimits, options: OpenOptions): Promise<Io> {
  checkOptions("options", options, OPTIONS);
  const wanted = oneOf("engine", options.engine ?? "auto", ["auto", ...ENGINES]);
  const asked = integer("arenaBytes", options.arenaBytes ?? DEFAULT_ARENA_BYTES, 1, MAX_ARENA_BYTES);
  const arenaBytes = Math.ceil(asked / WASM_PAGE_BYTES) * WASM_PAGE_BYTES;
  const maxLeases = integer("maxLeases", options.maxLeases ?? 65_536, 1, 2 ** 21);
  const maxSends = integer("maxSends", options.maxSends ?? 8192, 1, 2 ** 21);
  const maxSockets = integer("maxSockets", options.maxSockets ?? 16_384, 1, 2 ** 20);
  const windowIds = integer("windowIds", options.windowIds ?? 1024, 1, 2 ** 20);
  if (!Number.isInteger(Math.log2(windowIds))) {
    throw new RingletError("ERR_OUT_OF_RANGE", `windowIds must be a power of two: current value is ${windowIds}`);
  }
  const { registerBytes } = options;
  if (registerBytes !== undefined) integer("registerBytes", registerBytes, 0, MAX_ARENA_BYTES);
  const zeroCopy = oneOf("zeroCopy", options.zeroCopy ?? "auto", ZERO_COPY_MODES);
  const threshold = options.zeroCopyThresholdBytes ?? DEFAULT_THRESHOLD_BYTES;
  const zeroCopyThresholdBytes = integer("zeroCopyThresholdBytes", threshold, 0, 2 ** 32);
  const onForgotten = options.onForgottenLease ?? warnForgotten;
  if (typeof onForgotten !== "function") {
    throw new RingletError("ERR_INVALID_ARG", "onForgottenLease must be a function");
  }

  const system = supportedSystem();
  const capabilities = tryOut(system);
  const ringEntries = limits.entries ?? ringEntriesFor(maxSends);
  const most = Math.min(limits.registeredBytes ?? arenaBytes, registerBytes ?? arenaBytes, arenaBytes);
  const wantedBytes = wanted === "auto" || wanted === "uring" ? most : 0;
  const start = (arenaBytes: number) => {
    const makeHub = (engine: EngineName): Hub => {
      const core = makeCore({
        arenaBytes,
        maxLeases,
        maxSends,
        maxSockets,
        windowIds: engine === "errqueue" ? windowIds : 1,
        ringEntries: engine === "uring" ? ringEntries : 0,
        pieceBytes: arenaBytes > PIECE_BYTES ? PIECE_BYTES : 0,
      });
      const arena = new Arena(core, arenaBytes, onForgotten);
      return new Hub(system, core, arena, {
        maxSends,
        maxSegments: capabilities.udpSegments,
        zeroCopy,
        zeroCopyThresholdBytes,
      });
    };
    return startEngine(makeHub, wanted, capabilities, {
      ...limits,
      entries: ringEntries,
      registeredBytes: wantedBytes,
    });
  };
  let started = await patiently(() => start(arenaBytes), wantedBytes);
  const { registeredBytes } = started;
  const sizeIsOurs = options.arenaBytes === undefined && registerBytes === undefined;
  if (sizeIsOurs && registeredBytes > 0 && registeredBytes < arenaBytes) {
    // The arena takes the size that can be registered.
    await started.hub.engine.close();
    started = start(registeredBytes);
  }
  const { hub, engine, ...found } = started;
  return new Io(hub, engine, { ...capabilities, ...found });
}

/** Starts until as much is registered as is wanted, or lockable memory is short for other reasons than rings that are ending. */
async function patiently(start: () => Started, wantedBytes: number): Promise<Started> {
  const patience = lockedUntil();
  for (;;) {
    const impatient = performance.now() > patience;
    try {
      const started = start();
      if (impatient || started.registeredBytes >= wantedBytes) return started;
      await started.hub.engine.close();
    } catch (error) {
      if (impatient) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Entries of the ring: a batch of all sends fits, within reason. */
function ringEntriesFor(maxSends: number): number {
  return Math.min(MAX_RING_ENTRIES, Math.max(MIN_RING_ENTRIES, 2 ** Math.ceil(Math.log2(maxSends))));
}

function makeCore(options: CoreOptions): Core {
  try {
    return createCore(options);
  } catch (error) {
    if (!(error instanceof CoreError)) throw error;
    throw new RingletError(error.code, `Cannot open: ${error.message}`, { cause: error });
  }
}

function supportedSystem(): System {
  try {
    return openSystem();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new RingletError("ERR_UNSUPPORTED", `Cannot open: ${why}`, {
      cause: error,
      advice: "run on Linux with --allow-ffi, or --allow-ffi=<absolute path of libc.so.6>",
    });
  }
}

function warnForgotten(byteLength: number): void {
  console.warn(
    `Ringlet: a lease of ${byteLength} bytes was dropped without release(); its memory is lost to the arena`,
  );
}
