/**
 * An io_uring whose rings lie in the core's own memory (IORING_SETUP_NO_MMAP, Linux 6.5): its set-up, the calls that enter the
 * kernel, what of the arena is registered with it, and its end.
 *
 * The kernel pins the pages of the rings, and those of the registered part of the arena: what it still writes after this thread is
 * gone goes to those pages and to nobody else's.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { ERRNO, errnoName } from "../ffi/errno.ts";
import type { Uring } from "../ffi/liburing.ts";
import type { System } from "../ffi/system.ts";
import { type Core, layout as coreLayout } from "../wasm/mod.ts";
import type { ScratchPiece } from "./message.ts";

/** One registered buffer is at most so large; a larger arena is registered in pieces. */
export const PIECE_BYTES = 2 ** 30;
/** A smaller part of an arena is not worth registering. */
const LEAST_REGISTERED_BYTES = 2 ** 20;
const WASM_PAGE_BYTES = 65_536;

/** With little lockable memory the rings are made smaller, down to so many entries. */
const LEAST_ENTRIES = 64;

/** Sockets whose files the ring has, so that the kernel need not look their descriptors up with every send: the first so many. */
const FILES = 1024;

/** Why there is no ring. */
const REFUSALS: Partial<Record<number, string>> = {
  [ERRNO.EPERM]: "io_uring is forbidden (kernel.io_uring_disabled, or a seccomp filter such as Docker's)",
  [ERRNO.ENOSYS]: "the kernel has no io_uring, or a seccomp filter hides it",
  [ERRNO.EINVAL]: "the kernel does not take rings in the program's memory (IORING_SETUP_NO_MMAP, Linux 6.5)",
  [ERRNO.ENOMEM]: "RLIMIT_MEMLOCK leaves no room for a ring",
};

/** Setup flags. Completions are left to the next entry into the kernel; only this thread enters. */
const FLAGS = C.IORING_SETUP_NO_MMAP | C.IORING_SETUP_CQSIZE | C.IORING_SETUP_COOP_TASKRUN |
  C.IORING_SETUP_TASKRUN_FLAG |
  C.IORING_SETUP_SINGLE_ISSUER | C.IORING_SETUP_SUBMIT_ALL;

const { FAULT, COMPLETIONS_PER_ENTRY } = coreLayout;
const { io_uring_params, io_sqring_offsets, io_cqring_offsets, io_uring_probe, io_uring_probe_op, iovec } = layout;
const { io_uring_rsrc_register, io_uring_files_update } = layout;

/** What a kernel might not offer: tests take it away from one that does. */
export interface RingLimits {
  /** Submission entries. */
  readonly entries?: number;
  /** Bytes of the arena that can be registered. */
  readonly registeredBytes?: number;
  /** Whether a registered buffer may hold several parts of one message. */
  readonly gathersRegistered?: boolean;
  /** The kernel's release, whose defects are minded. */
  readonly kernelRelease?: string;
}

/** The kernel gives the lockable memory of a closed ring back some time later, mostly within milliseconds. */
const ENDING_MS = 500;
let lastEnd = -Infinity;

/** Until when (`performance.now()`) what closed rings had locked may still count. */
export function lockedUntil(): number {
  return lastEnd + ENDING_MS;
}

/** Why an `open()` cannot have a ring. */
export class NoRing extends Error {}

/** See the module. */
export class Ring {
  /** Bytes of scratch that one takes. */
  static readonly SCRATCH_BYTES = 4096;

  readonly fd: number;
  /** Bytes of the arena, from its start, that are registered. */
  registeredBytes = 0;
  /** A registered buffer may hold several parts of one message (Linux 6.15). */
  readonly gathersRegistered: boolean;
  /** Places for registered files; none where RLIMIT_NOFILE has no room for them. */
  readonly #files: number;
  readonly #core: Core;
  readonly #system: System;
  readonly #uring: Uring;
  readonly #scratch: ScratchPiece;
  readonly #limits: RingLimits;

  /**
   * @param base Machine address of the core's memory.
   * @param scratch {@linkcode SCRATCH_BYTES} in the core's memory.
   * @param limits With the number of submission entries, as many as the core has room for; they are fewer if RLIMIT_MEMLOCK wants
   * it so.
   * @throws {NoRing} with the reason.
   */
  constructor(
    system: System,
    core: Core,
    base: bigint,
    scratch: ScratchPiece,
    limits: RingLimits & { readonly entries: number },
  ) {
    this.#core = core;
    this.#system = system;
    this.#uring = system.uring();
    this.#scratch = scratch;
    this.#limits = limits;
    const { view } = scratch;
    let { entries } = limits;
    do {
      this.fd = this.#setup(entries, base);
      entries /= 2;
    } while (this.fd === -ERRNO.ENOMEM && entries >= LEAST_ENTRIES);
    if (this.fd < 0) throw new NoRing(REFUSALS[-this.fd] ?? `io_uring_setup: ${errnoName(-this.fd)}`);
    try {
      const features = view.getUint32(io_uring_params.features, true);
      if ((features & C.IORING_FEAT_NODROP) === 0 || (features & C.IORING_FEAT_SUBMIT_STABLE) === 0) {
        throw new NoRing("the kernel's io_uring may lose completions");
      }
      if (core.raw.ring_start(view.byteOffset) < 0) throw new NoRing("the kernel's rings have an unknown layout");
      this.#requireOperations();
      this.#files = this.#reserveFiles();
      const gathers = this.#probe(C.IORING_OP_SENDMSG_ZC, C.IORING_RECVSEND_FIXED_BUF) === -ERRNO.EBADF;
      this.gathersRegistered = gathers && limits.gathersRegistered !== false;
    } catch (error) {
      system.libc.call.close(this.fd);
      throw error;
    }
  }

  /** Asks for rings in the core's memory; answers a descriptor or `-errno`. */
  #setup(entries: number, base: bigint): number {
    const { view, address } = this.#scratch;
    const { RINGS, ENTRIES } = this.#core.regions;
    new Uint8Array(view.buffer, view.byteOffset, io_uring_params.size).fill(0);
    view.setUint32(io_uring_params.cq_entries, entries * COMPLETIONS_PER_ENTRY, true);
    view.setUint32(io_uring_params.flags, FLAGS, true);
    view.setBigUint64(io_uring_params.cq_off + io_cqring_offsets.user_addr, base + BigInt(RINGS), true);
    view.setBigUint64(io_uring_params.sq_off + io_sqring_offsets.user_addr, base + BigInt(ENTRIES), true);
    return this.#uring.setup(entries, address);
  }

  /** Makes places for files, all of them empty. Answers how many. */
  #reserveFiles(): number {
    const { view, address } = this.#scratch;
    new Uint8Array(view.buffer, view.byteOffset, io_uring_rsrc_register.size).fill(0);
    view.setUint32(io_uring_rsrc_register.nr, FILES, true);
    view.setUint32(io_uring_rsrc_register.flags, C.IORING_RSRC_REGISTER_SPARSE, true);
    const result = this.#uring.register(this.fd, C.IORING_REGISTER_FILES2, address, io_uring_rsrc_register.size);
    return result < 0 ? 0 : FILES;
  }

  /** Asks which operations there are: a kernel may have rings and no zero-copy sends. */
  #requireOperations(): void {
    const { view, address } = this.#scratch;
    const last = C.IORING_OP_SENDMSG_ZC;
    const size = io_uring_probe.size + (last + 1) * io_uring_probe_op.size;
    new Uint8Array(view.buffer, view.byteOffset, size).fill(0);
    this.#required("io_uring_register", this.#uring.register(this.fd, C.IORING_REGISTER_PROBE, address, last + 1));
    const supported = (op: number) => {
      if (op > view.getUint8(io_uring_probe.last_op)) return false;
      const at = io_uring_probe.size + op * io_uring_probe_op.size;
      return (view.getUint16(at + io_uring_probe_op.flags, true) & C.IO_URING_OP_SUPPORTED) !== 0;
    };
    const missing = [C.IORING_OP_SEND_ZC, C.IORING_OP_SENDMSG_ZC].some((op) => !supported(op));
    if (missing) throw new NoRing("the kernel's io_uring has no zero-copy sends (Linux 6.1)");
  }

  /**
   * What the kernel says of an operation on no descriptor: EBADF when it knows the flags, else EINVAL, or EFAULT where it looks for the
   * registered buffer first, and there is none yet (Linux 6.12).
   */
  #probe(opcode: number, ioprio: number): number {
    const { raw, u32, out } = this.#core;
    const { view, address } = this.#scratch;
    new Uint8Array(view.buffer, view.byteOffset, layout.msghdr.size).fill(0);
    const low = Number(address & 0xffffffffn);
    raw.ring_call(opcode, ioprio, -1, low, Number(address >> 32n), 1, 0, 0, 0, 0);
    this.#required("io_uring_enter", this.#uring.enter(this.fd, raw.ring_publish(), 0, 0));
    // Even one that fails may have a notification still to come.
    let result: number | undefined;
    for (;;) {
      raw.ring_reap();
      const left = u32[out + 2];
      while (raw.events_ready() > 0) {
        result ??= u32[u32[out] / 4 + 3] | 0;
        raw.events_take(1);
      }
      if (left === 0) return result ?? -ERRNO.EINVAL;
      this.#required("io_uring_enter", this.#uring.enter(this.fd, 0, 1, C.IORING_ENTER_GETEVENTS));
    }
  }

  /** A ring is no use where one of its calls is forbidden. */
  #required(call: string, result: number): void {
    if (result < 0 && result !== -ERRNO.EINTR) throw new NoRing(`${call}: ${errnoName(-result)}`);
  }

  /**
   * Registers the arena: all of it, or what RLIMIT_MEMLOCK allows from its start, halving.
   *
   * @param arena Its machine address.
   * @returns The bytes that are registered.
   */
  register(arena: bigint, arenaBytes: number): number {
    let bytes = Math.min(arenaBytes, this.#limits.registeredBytes ?? arenaBytes);
    while (bytes > 0 && !this.#registerBuffers(arena, bytes)) {
      bytes = Math.floor(bytes / 2 / WASM_PAGE_BYTES) * WASM_PAGE_BYTES;
      if (bytes < LEAST_REGISTERED_BYTES) bytes = 0;
    }
    this.registeredBytes = bytes;
    const piece = arenaBytes > PIECE_BYTES ? PIECE_BYTES : 0;
    this.#core.raw.ring_registered(this.registeredBytes, piece, this.gathersRegistered ? 1 : 0);
    return this.registeredBytes;
  }

  #registerBuffers(arena: bigint, bytes: number): boolean {
    const { view, address } = this.#scratch;
    const count = Math.ceil(bytes / PIECE_BYTES);
    for (let i = 0; i < count; i++) {
      const at = i * iovec.size;
      view.setBigUint64(at + iovec.iov_base, arena + BigInt(i * PIECE_BYTES), true);
      view.setBigUint64(at + iovec.iov_len, BigInt(Math.min(PIECE_BYTES, bytes - i * PIECE_BYTES)), true);
    }
    return this.#uring.register(this.fd, C.IORING_REGISTER_BUFFERS, address, count) >= 0;
  }

  /** Puts a socket's file into its place. Answers whether the ring has it now; it lives as long as it is there. */
  registerFile(slot: number, fd: number): boolean {
    return slot < this.#files && this.#updateFile(slot, fd);
  }

  /** Empties a socket's place. */
  unregisterFile(slot: number): void {
    if (slot < this.#files) this.#updateFile(slot, -1);
  }

  #updateFile(slot: number, fd: number): boolean {
    const { view, address } = this.#scratch;
    const { size } = io_uring_files_update;
    new Uint8Array(view.buffer, view.byteOffset, size).fill(0);
    view.setUint32(io_uring_files_update.offset, slot, true);
    view.setBigUint64(io_uring_files_update.fds, address + BigInt(size), true);
    view.setInt32(size, fd, true);
    return this.#uring.register(this.fd, C.IORING_REGISTER_FILES_UPDATE, address, 1) === 1;
  }

  /** The registered buffer that holds a range of the arena, or -1. */
  bufferOf(offset: number, byteLength: number): number {
    if (offset + byteLength > this.registeredBytes) return -1;
    return Math.floor(offset / PIECE_BYTES); // no lease crosses a piece
  }

  /**
   * Hands the kernel what was prepared, and has it complete what it can: otherwise it would do so on its way out, which takes
   * longer. Answers how many entries it did not take, for which it has no memory now; -1 when there was nothing.
   */
  enter(): number {
    const count = this.#core.raw.ring_publish();
    if (count === 0) return -1;
    const taken = Math.max(0, this.#uring.enter(this.fd, count, 0, C.IORING_ENTER_GETEVENTS));
    if (taken < count) this.#core.raw.ring_cut();
    return count - taken;
  }

  /**
   * Takes the completions there are, those included that wait for an entry into the kernel. What they mean is left as events in
   * the core. Answers whether anything may have changed: events wait, or something became free, which has none.
   */
  reap(): boolean {
    const { raw, u32, out } = this.#core;
    let news = false;
    for (;;) {
      const taken = raw.ring_reap();
      if (taken === FAULT.BUSY) return news;
      news ||= taken > 0 || u32[out + 1] > 0;
      if ((u32[out] & (C.IORING_SQ_CQ_OVERFLOW | C.IORING_SQ_TASKRUN)) === 0 || u32[out + 1] !== 0) return news;
      if (this.#uring.enter(this.fd, 0, 0, C.IORING_ENTER_GETEVENTS) < 0) return news;
    }
  }

  /** Operations that are not over. */
  get operations(): number {
    const { raw, u32, out } = this.#core;
    raw.ring_reap();
    return u32[out + 2];
  }

  /** Closes the ring. Nothing may be in flight. The registered memory is given back at once. */
  close(): void {
    if (this.registeredBytes > 0) this.#uring.register(this.fd, C.IORING_UNREGISTER_BUFFERS, 0n, 0);
    this.registeredBytes = 0;
    this.#system.libc.call.close(this.fd);
    lastEnd = performance.now();
  }
}
