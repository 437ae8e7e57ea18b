/**
 * Several sends of a stream as one message of sendmmsg. Each message costs the kernel a turn of the socket's lock, a push of what is
 * there, a segment that is not full, and mostly the waking of the receiver; so many small ones go twice as fast as one.
 *
 * @module
 */
import { layout } from "../ffi/abi.ts";
import type { Core } from "../wasm/mod.ts";
import type { ScratchPiece } from "./message.ts";

/** Parts of a message at most (IOV_MAX). */
const MAX_PARTS = 1024;

const { mmsghdr, msghdr, iovec } = layout;
/** Sizes and fields as words. The numbers in them are below 2^32; upper halves are zero. */
const MESSAGE = mmsghdr.size / 4;
const PARTS = msghdr.msg_iov / 4;
const PART_COUNT = msghdr.msg_iovlen / 4;
const LENGTH = mmsghdr.msg_len / 4;
const PART = iovec.size / 4;
const PART_LENGTH = iovec.iov_len / 4;

/** Puts messages that the core has laid out together, and divides what the kernel took of them. */
export class Gather {
  /** Bytes of scratch that one takes. */
  static readonly BYTES: number = mmsghdr.size + MAX_PARTS * iovec.size;

  /** The machine address of the message. */
  readonly address: bigint;
  readonly #words: Uint32Array;
  readonly #baseLow: number;
  /** Where things are in the words: the core's messages, our message, its parts. */
  readonly #batch: number;
  readonly #message: number;
  readonly #parts: number;
  #count = 0;

  /** @param base Machine address of the core's memory. */
  constructor(core: Core, base: bigint, { view, address }: ScratchPiece) {
    this.address = address;
    this.#words = core.u32;
    this.#baseLow = Number(base & 0xffffffffn);
    this.#batch = core.regions.BATCH / 4;
    this.#message = view.byteOffset / 4;
    this.#parts = this.#message + MESSAGE;
    view.setBigUint64(msghdr.msg_iov, address + BigInt(mmsghdr.size), true);
  }

  /** Puts the first `n` messages together, or as many of them as there may be parts. */
  load(n: number): void {
    const words = this.#words;
    let parts = 0;
    let count = 0;
    for (; count < n; count++) {
      const message = this.#batch + count * MESSAGE;
      const partCount = words[message + PART_COUNT];
      if (parts + partCount > MAX_PARTS) break;
      const from = this.#partsOf(message);
      const to = this.#parts + parts * PART;
      for (let i = 0; i < partCount * PART; i++) words[to + i] = words[from + i];
      parts += partCount;
    }
    words[this.#message + PART_COUNT] = parts;
    this.#count = count;
  }

  /** Divides what the kernel took among the messages; answers how many of them it touched. */
  divide(): number {
    const words = this.#words;
    let left = words[this.#message + LENGTH];
    for (let i = 0; i < this.#count; i++) {
      const message = this.#batch + i * MESSAGE;
      const end = this.#partsOf(message) + words[message + PART_COUNT] * PART;
      let bytes = 0;
      for (let part = this.#partsOf(message); part < end; part += PART) bytes += words[part + PART_LENGTH];
      if (left === 0 && bytes > 0) return i;
      words[message + LENGTH] = Math.min(bytes, left);
      left -= words[message + LENGTH];
    }
    return this.#count;
  }

  /** Where the parts of a message are: the core's own pointer, so in the core's memory. */
  #partsOf(message: number): number {
    return ((this.#words[message + PARTS] - this.#baseLow) >>> 0) / 4;
  }
}
