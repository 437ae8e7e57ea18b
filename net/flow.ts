/**
 * Options that every kind of socket shares, and the making of descriptors.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import { systemError } from "./errors.ts";
import type { Hub } from "./hub.ts";
import { integer, oneOf } from "./validate.ts";
import { type ZeroCopyMode, ZeroCopyPolicy } from "./zerocopy_policy.ts";

/** The values of {@linkcode ZeroCopyMode}. */
export const ZERO_COPY_MODES = ["auto", "always", "never"] as const satisfies readonly ZeroCopyMode[];

/** Options of every socket that are this library's own. */
export interface FlowOptions {
  /** Which sends ask for zero-copy. Default: as given to `open()`. */
  zeroCopy?: ZeroCopyMode;
  /** Payloads below this size are copied. Default: as given to `open()`. */
  zeroCopyThresholdBytes?: number;
  /** How much of the arena this socket may have in flight. Default: a quarter. */
  maxInFlightBytes?: number;
}

/** Names of {@linkcode FlowOptions}. */
export const FLOW_OPTIONS = [
  "zeroCopy",
  "zeroCopyThresholdBytes",
  "maxInFlightBytes",
] as const satisfies (keyof FlowOptions)[];

/** The checked flow options of a socket; each call makes a policy of its own. */
export type Flow = () => { policy: ZeroCopyPolicy; maxInFlightBytes: number };

/** Checks the flow options, with those of the `open()` as defaults. */
export function checkFlow(hub: Hub, options: FlowOptions): Flow {
  const { settings, arena } = hub;
  const mode = oneOf("zeroCopy", options.zeroCopy ?? settings.zeroCopy, ZERO_COPY_MODES);
  const threshold = options.zeroCopyThresholdBytes ?? settings.zeroCopyThresholdBytes;
  const thresholdBytes = integer("zeroCopyThresholdBytes", threshold, 0, 2 ** 32);
  const quarter = Math.floor(arena.bytes.length / 4);
  const maxInFlightBytes = integer("maxInFlightBytes", options.maxInFlightBytes ?? quarter, 1, 2 ** 32 - 1);
  return () => ({ policy: new ZeroCopyPolicy(mode, thresholdBytes), maxInFlightBytes });
}

/** Makes a descriptor and prepares it; it is closed when `prepare` throws. */
export function makeDescriptor(hub: Hub, family: number, type: number, prepare: (fd: number) => void): number {
  const { libc } = hub.system;
  const fd = libc.call.socket(family, type | hub.engine.descriptorFlags | C.SOCK_CLOEXEC, 0);
  if (fd < 0) throw systemError("socket", libc.errno(), "make a socket");
  try {
    prepare(fd);
  } catch (error) {
    libc.call.close(fd);
    throw error;
  }
  return fd;
}

/** Throws the error of a system call that answered -1. `advice` is what to do about an errno, where that is special here. */
export function mustSucceed(
  hub: Hub,
  syscall: string,
  result: number,
  what: string,
  advice: Readonly<Record<number, string>> = {},
): void {
  if (result >= 0) return;
  const errno = hub.system.libc.errno();
  throw systemError(syscall, errno, what, { advice: advice[errno] });
}
