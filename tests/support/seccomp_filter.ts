/**
 * A seccomp filter that forbids io_uring's calls, as container runtimes do.
 */
import { C } from "../../ffi/abi.ts";
import { denoRuntime } from "../../ffi/deno.ts";
import { ERRNO, type ErrnoName } from "../../ffi/errno.ts";
import { libcPaths } from "../../ffi/libc.ts";
import type { SymbolTable } from "../../ffi/runtime.ts";

/** A call that the filter answers itself, as text: `setup EPERM`, or with an opcode `register 0 ENOMEM`. */
export type Rule = `${keyof typeof CALLS} ${ErrnoName}` | `register ${number} ${ErrnoName}`;

const CALLS = { setup: C.SYS_io_uring_setup, enter: C.SYS_io_uring_enter, register: C.SYS_io_uring_register };

const LIBC = {
  // int prctl(int option, unsigned long, unsigned long, unsigned long, unsigned long)
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  // long syscall(long number, unsigned operation, unsigned flags, const struct sock_fprog *program)
  seccomp: { name: "syscall", parameters: ["u64", "u32", "u32", "buffer"], result: "i32" },
} as const satisfies SymbolTable;

const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;
/** All threads of the process, and whatever it starts. */
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const SECCOMP_RET_ERRNO = 0x0005_0000;
const SECCOMP_RET_ALLOW = 0x7fff_0000;
/** The number of the call itself, and what the filter sees as the processor: AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64. */
const ARCHES: Record<string, { seccomp: bigint; audit: number }> = {
  x64: { seccomp: 317n, audit: 0xc000_003e },
  arm64: { seccomp: 277n, audit: 0xc000_00b7 },
};

/** Where `struct seccomp_data` has the call's number, the processor, and the low half of the second argument. */
const DATA = { nr: 0, arch: 4, secondArgument: 24 };
/** Operations of classic BPF: load a word, return, and jump where it is equal. */
const BPF = { load: 0x20, answer: 0x06, jumpIfEqual: 0x15 };

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

/** Skips the next `n` instructions unless the loaded word is `value`. */
function unless(value: number, n: number): Instruction {
  return [BPF.jumpIfEqual, 0, n, value];
}

function load(at: number): Instruction {
  return [BPF.load, 0, 0, at];
}

function answer(value: number): Instruction {
  return [BPF.answer, 0, 0, value];
}

function instructions(rule: Rule): Instruction[] {
  const [call, ...rest] = rule.split(" ");
  const refuse = answer(SECCOMP_RET_ERRNO | ERRNO[rest.pop() as ErrnoName]);
  const number = CALLS[call as keyof typeof CALLS];
  if (rest.length === 0) return [load(DATA.nr), unless(number, 1), refuse];
  return [load(DATA.nr), unless(number, 3), load(DATA.secondArgument), unless(Number(rest[0]), 1), refuse];
}

/** Installs a filter for this process and all that it starts. There is no way back. */
export function forbid(rules: readonly Rule[]): void {
  const runtime = denoRuntime()!;
  const { seccomp, audit } = ARCHES[runtime.arch];
  const body = rules.flatMap(instructions);
  // Numbers mean something only on the processor that they belong to.
  const filter = [load(DATA.arch), unless(audit, body.length), ...body, answer(SECCOMP_RET_ALLOW)];
  const words = new DataView(new ArrayBuffer(8 * filter.length)); // struct sock_filter
  for (const [i, [code, ifTrue, ifFalse, value]] of filter.entries()) {
    words.setUint16(8 * i, code, true);
    words.setUint8(8 * i + 2, ifTrue);
    words.setUint8(8 * i + 3, ifFalse);
    words.setUint32(8 * i + 4, value, true);
  }
  const { call, errno } = runtime.openLibrary(libcPaths(runtime.arch), LIBC);
  const program = new DataView(new ArrayBuffer(16)); // struct sock_fprog
  program.setUint16(0, filter.length, true);
  program.setBigUint64(8, runtime.addressOf(new Uint8Array(words.buffer)), true);
  if (call.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n) < 0) throw new Error(`prctl: errno ${errno()}`);
  const bytes = new Uint8Array(program.buffer);
  const result = call.seccomp(seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, bytes);
  if (result !== 0) {
    throw new Error(`seccomp: ${result < 0 ? `errno ${errno()}` : `thread ${result} has another filter`}`);
  }
}
