/**
 * The doorbell of a ring: when a completion arrives, the kernel itself writes a byte into a pipe that the event loop watches. No
 * thread waits.
 *
 * The entries are a poll on the ring's own descriptor, hard-linked to the write, both without completions of their own. An armed
 * poll on its own descriptor keeps a closed ring alive, so it is cancelled before the end.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import type { PipeWatch } from "../ffi/runtime.ts";
import type { System } from "../ffi/system.ts";
import { type Core, layout } from "../wasm/mod.ts";
import { systemError } from "./errors.ts";

/** See the module. */
export class Bell {
  readonly #core: Core;
  readonly #system: System;
  readonly #ringFd: number;
  readonly #writeEnd: number;
  readonly #watch: PipeWatch;
  #armed = false;

  /** @param onRing Called when the ring had a completion since the bell was armed. */
  constructor(system: System, core: Core, ringFd: number, onRing: () => void) {
    this.#system = system;
    this.#core = core;
    this.#ringFd = ringFd;
    const ends = new Int32Array(2);
    if (system.libc.call.pipe2(new Uint8Array(ends.buffer), C.O_CLOEXEC | C.O_NONBLOCK) < 0) {
      throw systemError("pipe2", system.libc.errno(), "open");
    }
    this.#writeEnd = ends[1];
    this.#watch = system.runtime.watchPipe(ends[0], () => {
      this.#armed = false;
      onRing();
    });
    this.#watch.unref();
  }

  /** Whether the next completion will ring. */
  get armed(): boolean {
    return this.#armed;
  }

  /** Prepares the entries; the next entry into the kernel arms it. It rings at once if there are completions already. */
  arm(): void {
    if (this.#armed || this.#core.raw.ring_bell(this.#ringFd, this.#writeEnd) < 0) return;
    this.#armed = true;
  }

  /**
   * Prepares the end of the bell, armed or not, for the next entry into the kernel: one that the kernel had no memory for all of has
   * rung, and its poll may still be there.
   */
  disarm(): void {
    this.#core.raw.ring_cancel(layout.NOBODY, 0);
  }

  /** Whether waiting for it keeps the process alive. */
  setRef(ref: boolean): void {
    if (ref) this.#watch.ref();
    else this.#watch.unref();
  }

  /** Closes the pipe. */
  close(): void {
    this.#watch.close();
    this.#system.libc.call.close(this.#writeEnd);
  }
}
