/**
 * Ios on a ring: with less than this kernel offers, and with a look at how the kernel is entered.
 */
import { release } from "node:os";
import type { Uring } from "../../ffi/liburing.ts";
import { C, layout } from "../../ffi/abi.ts";
import { openSystem } from "../../ffi/system.ts";
import type { Io, OpenOptions, Socket } from "../../mod.ts";
import { openWithin } from "../../net/open.ts";
import type { RingLimits } from "../../net/ring.ts";
import { lacksRing } from "../ffi/small_ring.ts";
import { assertAllReturned, assertLedger } from "./ledger.ts";
import { endpointOf } from "./sockopt.ts";

/** What is missing for rings in the program's own memory. */
export const NO_RING: string | undefined = lacksRing(openSystem(), release());

/** What is missing for entries that gather several leases of registered memory. */
export async function lacksGathering(): Promise<string | undefined> {
  if (NO_RING !== undefined) return NO_RING;
  await using io = await openWithin({}, { engine: "uring", arenaBytes: 1 << 20 });
  return io.capabilities.gathersRegistered
    ? undefined
    : `needs registered buffers that gather (Linux 6.15), this is ${release()}`;
}

/** The ways in which a kernel takes the parts of a send: each needs other entries of the ring. */
export const GATHERINGS: Record<string, RingLimits> = {
  "one entry gathers registered memory": {},
  "a linked entry for each lease, as before Linux 6.15": { gathersRegistered: false },
  "no memory registered": { registeredBytes: 0 },
};

/** Runs `body` with an io on a ring of a kernel that offers less; checks the ledger then, and again when all is closed. */
export async function withRing(
  limits: RingLimits,
  options: OpenOptions,
  body: (io: Io) => Promise<void>,
): Promise<void> {
  const io = await openWithin(limits, {
    engine: "uring",
    arenaBytes: 16 << 20,
    zeroCopy: "always",
    zeroCopyThresholdBytes: 0,
    ...options,
  });
  try {
    await body(io);
    assertLedger(io);
  } finally {
    await io.close({ deadlineMs: 1000 });
  }
  assertAllReturned(io);
}

/** Completions of operations that were over, as the core of a socket's io counts them. */
export function lateCompletions(socket: Socket): number {
  return endpointOf(socket).hub.core.stats().lateCompletions;
}

/** Reads from a socket past its io, which learns of nothing meanwhile; answers what came before nothing came for 100 ms. */
export function readPast(socket: Socket, byteLength: number): Uint8Array {
  const { call } = openSystem().libc;
  const { fd } = endpointOf(socket);
  const { pollfd } = layout;
  const poll = new DataView(new ArrayBuffer(pollfd.size));
  poll.setInt32(pollfd.fd, fd, true);
  poll.setInt16(pollfd.events, C.POLLIN, true);
  const bytes = new Uint8Array(byteLength);
  let at = 0;
  while (at < byteLength && call.pollNow(new Uint8Array(poll.buffer), 1n, 100) > 0) {
    const n = Number(call.read(fd, bytes.subarray(at), BigInt(byteLength - at)));
    if (n <= 0) break;
    at += n;
  }
  return bytes.subarray(0, at);
}

/** How the kernel was entered since the count began. */
export interface Entering {
  /** For each call of io_uring_enter how many entries it handed over; 0 for one that only lets the kernel work. */
  readonly calls: readonly number[];
  /** Stops counting. */
  [Symbol.dispose](): void;
}

/**
 * Counts the calls of io_uring_enter of this thread, of all its ios.
 *
 * @param before Called before each.
 */
export function countEntering(before = () => {}): Entering {
  const uring = openSystem().uring() as { enter: Uring["enter"] };
  const { enter } = uring;
  const calls: number[] = [];
  uring.enter = (fd, toSubmit, minComplete, flags) => {
    calls.push(toSubmit);
    before();
    return enter(fd, toSubmit, minComplete, flags);
  };
  return { calls, [Symbol.dispose]: () => void (uring.enter = enter) };
}

/** Whether the kernel has completions that did not fit into the ring, as the ring of a socket's io said last. */
export function hasOverflowed(socket: Socket): boolean {
  const { u32, out } = endpointOf(socket).hub.core;
  return (u32[out] & C.IORING_SQ_CQ_OVERFLOW) !== 0;
}
