/**
 * Operations of a ring whose results somebody awaits: all but sends, whose results the core keeps.
 *
 * @module
 */
import { ERRNO } from "../ffi/errno.ts";
import { layout } from "../wasm/mod.ts";
import { systemError } from "./errors.ts";
import type { Hub } from "./hub.ts";

const { FAULT } = layout;

/** An entry of the submission ring. */
export interface Entry {
  readonly opcode: number;
  readonly fd: number;
  readonly ioprio?: number;
  readonly address?: bigint;
  readonly length?: number;
  readonly offsetLow?: number;
  readonly offsetHigh?: number;
  readonly opFlags?: number;
  readonly buffer?: number;
}

/** An operation whose result somebody awaits. */
export interface Call {
  readonly slot: number;
  readonly generation: number;
  /** Takes a result; `more` when others follow. */
  readonly onResult: (result: number, more: boolean) => void;
}

/** See the module. */
export class RingCalls {
  readonly #hub: Hub;
  readonly #makeRoom: () => boolean;
  readonly #calls: (Call | undefined)[] = [];
  #count = 0;

  /** @param makeRoom Has the kernel take what is prepared; `false` when there is no room even so. */
  constructor(hub: Hub, makeRoom: () => boolean) {
    this.#hub = hub;
    this.#makeRoom = makeRoom;
  }

  /** How many are not over. */
  get count(): number {
    return this.#count;
  }

  /**
   * Prepares an operation for the next entry into the kernel.
   *
   * @throws {RingletError} `EAGAIN` when there is no room.
   */
  start(
    { opcode, fd, ioprio = 0, address = 0n, length = 0, offsetLow = 0, offsetHigh = 0, opFlags = 0, buffer = 0 }: Entry,
    onResult: Call["onResult"],
  ): Call {
    const { raw, u32, out } = this.#hub.core;
    const low = Number(address & 0xffffffffn);
    const high = Number(address >> 32n);
    const prepare = () => raw.ring_call(opcode, ioprio, fd, low, high, length, offsetLow, offsetHigh, opFlags, buffer);
    let slot = prepare();
    if (slot < 0 && this.#makeRoom()) slot = prepare();
    if (slot < 0) throw systemError("io_uring_enter", ERRNO.EAGAIN, "start an operation");
    const call = { slot, generation: u32[out], onResult };
    this.#calls[slot] = call;
    this.#count += 1;
    this.#hub.schedule();
    return call;
  }

  /** Prepares the end of an operation, whose result then says so, unless it won. */
  cancel(call: Call): void {
    const { raw } = this.#hub.core;
    if (this.#calls[call.slot] !== call) return;
    if (raw.ring_cancel(call.slot, call.generation) === FAULT.NO_ROOM && this.#makeRoom()) {
      raw.ring_cancel(call.slot, call.generation);
    }
    this.#hub.schedule();
  }

  /** Tells a result to whoever awaits it. */
  tell(slot: number, generation: number, result: number, more: boolean): void {
    const call = this.#calls[slot];
    if (call?.generation !== generation) return;
    if (!more) {
      this.#calls[slot] = undefined;
      this.#count -= 1;
    }
    call.onResult(result, more);
  }
}
