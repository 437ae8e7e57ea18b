/**
 * The core of Ringlet: serial index arithmetic, arena carving and the ledger of loans, in any JavaScript runtime.
 *
 * It knows no operating system. Who builds another transport asks it for leases, says what was handed to the
 * transport and what came back, and learns when each piece of memory is free again.
 *
 * @example A transport that lends, is told in ranges, and gives back
 * ```ts
 * import { createCore } from "@ringlet/ringlet/core";
 * import { assertEquals } from "@std/assert";
 *
 * const core = createCore({ arenaBytes: 1 << 20 });
 * const socket = core.socket({ kind: "datagram" });
 * const lease = core.take(1_400)!;
 *
 * const send = core.lend(socket, lease);
 * core.accept(send, 1_400); // the transport took it, under id 0
 * core.complete(socket, 0, 0, false); // … and is done with it
 *
 * const seen: string[] = [];
 * core.drain((event) => seen.push(event));
 * assertEquals(seen, ["accepted", "released"]);
 * assertEquals(core.stats().lent, core.stats().released);
 * ```
 * @module
 */
export { Core, createCore } from "./core.ts";
export { CoreError } from "./errors.ts";
export type { CoreErrorCode } from "./errors.ts";
export type { CoreExports } from "./exports.ts";
export type { Handle } from "./handle.ts";
export { handleGeneration, handleSlot, makeHandle } from "./handle.ts";
export * as layout from "./layout.ts";
export type { CoreOptions } from "./options.ts";
export type { Sequence } from "./sequence.ts";
export type { CoreCounters, CoreStats, SocketCounters, SocketStats } from "./stats.ts";
export type {
  Accepted,
  DrainHandler,
  Failed,
  LeaseState,
  LendOptions,
  Regions,
  Resolution,
  SocketOptions,
} from "./types.ts";
