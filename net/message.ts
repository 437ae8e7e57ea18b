/**
 * A `struct msghdr` for receiving, with everything it points to, in the core's memory: it lives as long as its `open()`.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { findExtendedError } from "./ancillary.ts";

/** A piece of the core's scratch region. */
export interface ScratchPiece {
  readonly view: DataView<ArrayBuffer>;
  readonly address: bigint;
}

/** Deals out the core's scratch region. */
export class ScratchSpace {
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #base: bigint;
  #at: number;

  /** @param at Offset of the region in `memory`, whose machine address is `base`. */
  constructor(memory: Uint8Array<ArrayBuffer>, at: number, base: bigint) {
    this.#memory = memory;
    this.#base = base;
    this.#at = at;
  }

  /** The next `bytes` of the region. */
  take(bytes: number): ScratchPiece {
    const at = this.#at;
    this.#at += Math.ceil(bytes / 64) * 64;
    return { view: new DataView(this.#memory.buffer, at, bytes), address: this.#base + BigInt(at) };
  }
}

/** The machine addresses of the two memories, and room in the core's for the engine. */
export interface Memories {
  readonly core: bigint;
  readonly arena: bigint;
  readonly scratch: ScratchSpace;
}

const { msghdr, cmsghdr, iovec } = layout;
const IOVEC = msghdr.size;
const NAME = IOVEC + iovec.size;
const NAME_BYTES = 128;
const CONTROL = NAME + NAME_BYTES;
/** A control buffer of 0 bytes would lose notifications; this one holds every kind that is switched on. */
const CONTROL_BYTES = 256;

/** See the module. */
export class MessageBuffer {
  /** Bytes of scratch that one takes. */
  static readonly BYTES: number = CONTROL + CONTROL_BYTES;

  readonly view: DataView<ArrayBuffer>;
  readonly address: bigint;
  readonly #arenaLow: number;
  readonly #arenaHigh: number;

  /** @param arena Machine address of the arena. */
  constructor({ view, address }: ScratchPiece, arena: bigint) {
    this.view = view;
    this.address = address;
    this.#arenaLow = Number(arena & 0xffffffffn);
    this.#arenaHigh = Number(arena >> 32n);
    view.setBigUint64(msghdr.msg_name, address + BigInt(NAME), true);
    view.setBigUint64(msghdr.msg_iov, address + BigInt(IOVEC), true);
    view.setUint32(msghdr.msg_iovlen, 1, true);
    view.setBigUint64(msghdr.msg_control, address + BigInt(CONTROL), true);
  }

  /** Prepares for one recvmsg into the arena: the kernel has overwritten the lengths of the last one. */
  expect(arenaOffset: number, byteLength: number): void {
    const { view } = this;
    const low = this.#arenaLow + arenaOffset;
    view.setUint32(IOVEC + iovec.iov_base, low % 2 ** 32, true);
    view.setUint32(IOVEC + iovec.iov_base + 4, this.#arenaHigh + Math.floor(low / 2 ** 32), true);
    view.setUint32(IOVEC + iovec.iov_len, byteLength, true);
    view.setUint32(msghdr.msg_namelen, NAME_BYTES, true);
    view.setUint32(msghdr.msg_controllen, CONTROL_BYTES, true);
    view.setUint32(msghdr.msg_flags, 0, true);
  }

  /** A copy of the `struct sockaddr` that came with it. */
  name(): Uint8Array<ArrayBuffer> {
    const length = this.view.getUint32(msghdr.msg_namelen, true);
    return new Uint8Array(this.view.buffer, this.view.byteOffset + NAME, Math.min(length, NAME_BYTES)).slice();
  }

  /** Where the `struct sock_extended_err` among the control messages is, or -1. */
  extendedError(): number {
    const end = CONTROL + this.view.getUint32(msghdr.msg_controllen, true);
    return findExtendedError(this.view, CONTROL, end);
  }

  /** What TCP_INQ, the only control message that was asked for, says; -1 when it did not come. */
  unread(): number {
    const { view } = this;
    const told = view.getUint32(msghdr.msg_controllen, true) >= cmsghdr.size + 4 &&
      view.getInt32(CONTROL + cmsghdr.cmsg_level, true) === C.IPPROTO_TCP &&
      view.getInt32(CONTROL + cmsghdr.cmsg_type, true) === C.TCP_INQ;
    return told ? view.getInt32(CONTROL + cmsghdr.size, true) : -1;
  }
}
