/** A ring of eight entries inside one page of WebAssembly memory, driven from JavaScript: what ffi/ offers, without the core. */
import { C, layout } from "../../ffi/abi.ts";
import { ERRNO } from "../../ffi/errno.ts";
import type { Uring } from "../../ffi/liburing.ts";
import type { System } from "../../ffi/system.ts";

const { io_uring_params, io_sqring_offsets, io_cqring_offsets, io_uring_sqe, io_uring_cqe } = layout;
const ENTRIES = 8;
/** Where things lie in the memory: 4 KiB each. */
const ENTRIES_AT = 4096;
const RINGS_AT = 8192;
/** Free for the caller. */
export const SCRATCH_AT = 12_288;

const SETUP_FLAGS = C.IORING_SETUP_NO_MMAP | C.IORING_SETUP_CQSIZE | C.IORING_SETUP_CLAMP | C.IORING_SETUP_SUBMIT_ALL |
  C.IORING_SETUP_COOP_TASKRUN | C.IORING_SETUP_TASKRUN_FLAG | C.IORING_SETUP_SINGLE_ISSUER;

/** A completion. */
export interface Completion {
  userData: bigint;
  result: number;
  flags: number;
}

/** An open ring. */
export class SmallRing {
  readonly bytes = new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1 }).buffer);
  readonly view = new DataView(this.bytes.buffer);
  readonly base: bigint;
  /** The ring's descriptor, or `-errno`. */
  readonly fd: number;
  readonly #words = new Int32Array(this.bytes.buffer);
  readonly #system: System;
  readonly #uring: Uring;

  constructor(system: System, uring: Uring, flags: number = SETUP_FLAGS) {
    this.#system = system;
    this.#uring = uring;
    this.base = system.runtime.addressOf(this.bytes);
    const { sq_off, cq_off } = io_uring_params;
    this.view.setUint32(io_uring_params.flags, flags, true);
    this.view.setUint32(io_uring_params.cq_entries, 4 * ENTRIES, true);
    this.view.setBigUint64(sq_off + io_sqring_offsets.user_addr, this.base + BigInt(ENTRIES_AT), true);
    this.view.setBigUint64(cq_off + io_cqring_offsets.user_addr, this.base + BigInt(RINGS_AT), true);
    this.fd = uring.setup(ENTRIES, this.base);
  }

  /** A number that the kernel wrote to the params. */
  param(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  /** Puts an entry on the submission ring. */
  push(opcode: number, userData: bigint, flags = 0): void {
    const { sq_off } = io_uring_params;
    const tailAt = this.#word(sq_off + io_sqring_offsets.tail);
    const tail = Atomics.load(this.#words, tailAt);
    const slot = tail & (ENTRIES - 1);
    const entry = ENTRIES_AT + slot * io_uring_sqe.size;
    this.bytes.fill(0, entry, entry + io_uring_sqe.size);
    this.view.setUint8(entry + io_uring_sqe.opcode, opcode);
    this.view.setUint8(entry + io_uring_sqe.flags, flags);
    this.view.setBigUint64(entry + io_uring_sqe.user_data, userData, true);
    this.#words[this.#word(sq_off + io_sqring_offsets.array) + slot] = slot;
    Atomics.store(this.#words, tailAt, (tail + 1) | 0);
  }

  /** Submits and waits; answers what the kernel did. */
  enter(toSubmit: number, minComplete: number): number {
    return this.#uring.enter(this.fd, toSubmit, minComplete, C.IORING_ENTER_GETEVENTS);
  }

  /** Takes what is on the completion ring. */
  reap(): Completion[] {
    const { cq_off } = io_uring_params;
    const headAt = this.#word(cq_off + io_cqring_offsets.head);
    const tail = Atomics.load(this.#words, this.#word(cq_off + io_cqring_offsets.tail));
    const cqes = RINGS_AT + this.param(cq_off + io_cqring_offsets.cqes);
    const found: Completion[] = [];
    let head = this.#words[headAt];
    for (; head !== tail; head = (head + 1) | 0) {
      const at = cqes + (head & (this.param(io_uring_params.cq_entries) - 1)) * io_uring_cqe.size;
      found.push({
        userData: this.view.getBigUint64(at + io_uring_cqe.user_data, true),
        result: this.view.getInt32(at + io_uring_cqe.res, true),
        flags: this.view.getUint32(at + io_uring_cqe.flags, true),
      });
    }
    Atomics.store(this.#words, headAt, head);
    return found;
  }

  [Symbol.dispose](): void {
    if (this.fd >= 0) this.#system.libc.call.close(this.fd);
  }

  /** The index of the 32-bit word in the rings whose offset the kernel wrote at `offset` of the params. */
  #word(offset: number): number {
    return (RINGS_AT + this.param(offset)) / 4;
  }
}

/** What is missing for a ring in memory of our own; `undefined` when nothing is. */
export function lacksRing(system: System, release: string): string | undefined {
  using ring = new SmallRing(system, system.uring());
  if (ring.fd === -ERRNO.EPERM) return "needs io_uring, which is forbidden here";
  if (ring.fd === -ERRNO.ENOSYS) return "needs io_uring, which this kernel is built without";
  const [major, minor] = release.split(".").map(Number);
  if (ring.fd === -ERRNO.EINVAL && (major < 6 || major === 6 && minor < 5)) {
    return `needs IORING_SETUP_NO_MMAP of Linux 6.5, this is ${release}`;
  }
  return undefined;
}
