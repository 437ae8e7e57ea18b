/**
 * The system as `net/` sees it: a runtime, its libc and the processor's layouts.
 *
 * @module
 */
import { type Arch, epollEvent } from "./abi.ts";
import { denoRuntime } from "./deno.ts";
import { type Libc, openLibc } from "./libc.ts";
import { openUring, type Uring } from "./liburing.ts";
import type { Runtime } from "./runtime.ts";

/** An opened system. */
export interface System {
  readonly runtime: Runtime;
  readonly libc: Libc;
  readonly arch: Arch;
  /** io_uring's calls. Nothing is opened for them before the first call, and once after it. */
  uring(): Uring;
}

let opened: System | undefined;

/**
 * Opens libc once for this thread.
 *
 * @throws {Error} when the runtime, the operating system or the processor is not supported, or libc may not be opened.
 */
export function openSystem(): System {
  if (opened !== undefined) return opened;
  const runtime = denoRuntime();
  if (runtime === undefined) {
    throw new Error('this runtime has no adapter yet; Deno has. "./core" works everywhere');
  }
  if (runtime.os !== "linux") {
    throw new Error(`Linux is needed, this is ${runtime.os}. "./core" works everywhere`);
  }
  if (!(runtime.arch in epollEvent)) {
    throw new Error(`x86-64 or aarch64 is needed, this is ${runtime.arch}. "./core" works everywhere`);
  }
  const libc = openLibc(runtime);
  let uring: Uring | undefined;
  opened = { runtime, libc, arch: runtime.arch as Arch, uring: () => uring ??= openUring(runtime, libc) };
  return opened;
}
