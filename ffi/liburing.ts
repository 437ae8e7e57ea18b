/**
 * io_uring's three calls, from liburing where it may be opened and by number through libc where not.
 *
 * Only these are taken from liburing: the rings are read and written by the core. It exports them since 2.3; they answer `-errno`
 * themselves, which spares the read of errno.
 *
 * @module
 */
import { C } from "./abi.ts";
import { type Libc, libraryPaths } from "./libc.ts";
import type { Runtime, SymbolTable } from "./runtime.ts";

// The kernel reads a descriptor as unsigned; -1 and its like pass as the same 32 bits.
const LIBURING = {
  // int io_uring_setup(unsigned entries, struct io_uring_params *params)
  setup: { name: "io_uring_setup", parameters: ["u32", "u64"], result: "i32" },
  // int io_uring_enter(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags, sigset_t *signals)
  enter: { name: "io_uring_enter", parameters: ["i32", "u32", "u32", "u32", "u64"], result: "i32" },
  // int io_uring_register(unsigned fd, unsigned opcode, const void *arg, unsigned count)
  register: { name: "io_uring_register", parameters: ["i32", "u32", "u64", "u32"], result: "i32" },
} as const satisfies SymbolTable;

/** No signals to mask while the kernel waits. */
const NO_SIGNALS = 0n;

const SETUP = BigInt(C.SYS_io_uring_setup);
const ENTER = BigInt(C.SYS_io_uring_enter);
const REGISTER = BigInt(C.SYS_io_uring_register);

/** io_uring's calls. All of them answer `-errno` when they fail. */
export interface Uring {
  /** Where the calls come from. */
  readonly source: "liburing" | "syscall";
  /**
   * Makes a ring.
   *
   * @param params the machine address of a `struct io_uring_params`. With `IORING_SETUP_NO_MMAP` it names memory for the rings and
   * the entries, which the caller keeps alive, and writes nothing else to, until the ring is closed.
   * @returns the ring's descriptor.
   */
  setup(entries: number, params: bigint): number;
  /**
   * Submits entries and waits for completions.
   *
   * @returns the number of entries submitted.
   */
  enter(fd: number, toSubmit: number, minComplete: number, flags: number): number;
  /**
   * Registers memory with a ring, or asks about the kernel.
   *
   * @param arg the machine address of what `opcode` takes. Registered buffers are the kernel's until they are unregistered and
   * every notification of a send from them has come.
   * @returns what `opcode` answers, mostly 0.
   */
  register(fd: number, opcode: number, arg: bigint, count: number): number;
}

/** Binds io_uring's calls. Nobody is asked for a permission, and no library but `libc` is needed. */
export function openUring(runtime: Pick<Runtime, "arch" | "openIfGranted">, libc: Libc): Uring {
  const liburing = runtime.openIfGranted(libraryPaths(runtime.arch, "liburing.so.2"), LIBURING);
  if (liburing !== undefined) {
    const { setup, enter, register } = liburing;
    return {
      source: "liburing",
      setup,
      enter: (fd, toSubmit, minComplete, flags) => enter(fd, toSubmit, minComplete, flags, NO_SIGNALS),
      register,
    };
  }
  const { io_uring_setup, io_uring_enter, io_uring_register } = libc.call;
  const orErrno = (result: number) => result < 0 ? -libc.errno() : result;
  return {
    source: "syscall",
    setup: (entries, params) => orErrno(io_uring_setup(SETUP, entries, params)),
    // The last argument is the size of the signal set that is not there.
    enter: (fd, toSubmit, minComplete, flags) =>
      orErrno(io_uring_enter(ENTER, fd, toSubmit, minComplete, flags, NO_SIGNALS, 0n)),
    register: (fd, opcode, arg, count) => orErrno(io_uring_register(REGISTER, fd, opcode, arg, count)),
  };
}
