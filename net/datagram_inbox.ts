/**
 * Receiving datagrams: many with one system call, which does not wait. Every engine does it so, once the kernel has said that there is
 * something. The kernel is never left with the arena's memory to fill on its own time: the pages of a Worker that was terminated may
 * be another's by then.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { ERRNO } from "../ffi/errno.ts";
import { AddressBook } from "./address_book.ts";
import { decodeMetadata } from "./ancillary.ts";
import type { Datagram, ReceivedDatagram } from "./datagram.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Target } from "./engine.ts";
import { systemError } from "./errors.ts";
import type { Hub } from "./hub.ts";
import type { Lease } from "./lease.ts";
import type { ScratchSpace } from "./message.ts";

/** Datagrams that one system call brings at most. */
export const MAX_DATAGRAMS = 64;

const { mmsghdr, msghdr, iovec } = layout;
/** Room for a `struct sockaddr_in6`. */
const NAME_BYTES = 32;
/** Room for every control message that the socket's options ask for, of both families at once. */
const CONTROL_BYTES = 256;

/** Where things are in the scratch piece. */
const PARTS = MAX_DATAGRAMS * mmsghdr.size;
const NAMES = PARTS + MAX_DATAGRAMS * iovec.size;
const CONTROLS = NAMES + MAX_DATAGRAMS * NAME_BYTES;

/** The same as words; upper halves of lengths stay zero. */
const WORD = {
  message: mmsghdr.size / 4,
  nameLength: msghdr.msg_namelen / 4,
  controlLength: msghdr.msg_controllen / 4,
  flags: msghdr.msg_flags / 4,
  length: mmsghdr.msg_len / 4,
  parts: PARTS / 4,
  part: iovec.size / 4,
  partLength: iovec.iov_len / 4,
} as const;

const NO_TIMEOUT = 0n;
/** Stands for the slot of a send where a receive failed. */
const RECEIVES = -1;

/** See the module. One for each `open()`. */
export class DatagramInbox {
  /** Bytes of scratch that one takes. */
  static readonly BYTES: number = CONTROLS + MAX_DATAGRAMS * CONTROL_BYTES;

  readonly #hub: Hub;
  readonly #words: Uint32Array;
  readonly #view: DataView;
  readonly #address: bigint;
  /** Index of the first message in the words. */
  readonly #messages: number;
  readonly #arenaLow: number;
  readonly #arenaHigh: number;
  readonly #book: AddressBook;
  #calls = 0;

  /** @param arena Machine address of the arena. */
  constructor(hub: Hub, scratch: ScratchSpace, arena: bigint) {
    this.#hub = hub;
    this.#words = hub.core.u32;
    const { view, address } = scratch.take(DatagramInbox.BYTES);
    this.#view = view;
    this.#address = address;
    this.#messages = view.byteOffset / 4;
    this.#arenaLow = Number(arena & 0xffffffffn);
    this.#arenaHigh = Number(arena >> 32n);
    this.#book = new AddressBook(hub.system);
    for (let i = 0; i < MAX_DATAGRAMS; i++) {
      const at = i * mmsghdr.size;
      view.setBigUint64(at + msghdr.msg_name, address + BigInt(NAMES + i * NAME_BYTES), true);
      view.setBigUint64(at + msghdr.msg_iov, address + BigInt(PARTS + i * iovec.size), true);
      view.setUint32(at + msghdr.msg_iovlen, 1, true);
      view.setBigUint64(at + msghdr.msg_control, address + BigInt(CONTROLS + i * CONTROL_BYTES), true);
    }
  }

  /**
   * Receives what there is, a datagram into each of `targets` from the first one on; answers how many, `undefined` for none.
   * {@linkcode tell} and {@linkcode tellWith} have the rest.
   */
  tryReceive(endpoint: Endpoint, targets: readonly Target[]): number | undefined {
    const { libc } = this.#hub.system;
    this.#calls += 1;
    for (;;) {
      this.#expect(targets);
      const received = libc.call.recvmmsg(endpoint.fd, this.#address, targets.length, C.MSG_DONTWAIT, NO_TIMEOUT);
      if (received > 0) return received;
      const errno = libc.errno();
      if (errno === ERRNO.EAGAIN) return undefined;
      if (errno === ERRNO.EINTR || this.#hub.errorQueue.excuses(endpoint, RECEIVES, this.#calls, errno)) continue;
      throw systemError("recvmmsg", errno, "receive");
    }
  }

  /** The kernel has overwritten the lengths of the last call. */
  #expect(targets: readonly Target[]): void {
    const words = this.#words;
    let message = this.#messages;
    let part = message + WORD.parts;
    for (let i = 0; i < targets.length; i++, message += WORD.message, part += WORD.part) {
      const { offset, byteLength } = targets[i];
      const low = this.#arenaLow + offset;
      words[part] = low; // modulo 2^32
      words[part + 1] = this.#arenaHigh + (low >= 2 ** 32 ? 1 : 0);
      words[part + WORD.partLength] = byteLength;
      words[message + WORD.nameLength] = NAME_BYTES;
      words[message + WORD.controlLength] = CONTROL_BYTES;
    }
  }

  /** What came as datagram `i` of the last call. */
  tell(i: number): Datagram {
    const message = this.#messages + i * WORD.message;
    const datagram = { bytes: this.#words[message + WORD.length], from: this.#from(i), truncated: this.#truncated(i) };
    this.#addMetadata(i, datagram);
    return datagram;
  }

  /** The same with the lease that it is in. */
  tellWith(lease: Lease, i: number): ReceivedDatagram {
    const message = this.#messages + i * WORD.message;
    const bytes = this.#words[message + WORD.length];
    const datagram = { lease, bytes, from: this.#from(i), truncated: this.#truncated(i) };
    this.#addMetadata(i, datagram);
    return datagram;
  }

  #from(i: number) {
    const length = this.#words[this.#messages + i * WORD.message + WORD.nameLength];
    return this.#book.name(this.#view, NAMES + i * NAME_BYTES, length);
  }

  #truncated(i: number): boolean {
    return (this.#flags(i) & C.MSG_TRUNC) !== 0;
  }

  #flags(i: number): number {
    return this.#words[this.#messages + i * WORD.message + WORD.flags];
  }

  #addMetadata(i: number, datagram: Datagram): void {
    const length = this.#words[this.#messages + i * WORD.message + WORD.controlLength];
    const at = CONTROLS + i * CONTROL_BYTES;
    if (length > 0) decodeMetadata(datagram, this.#view, at, at + length, this.#book);
    if ((this.#flags(i) & C.MSG_CTRUNC) !== 0) Object.assign(datagram, { metadataTruncated: true });
  }
}
