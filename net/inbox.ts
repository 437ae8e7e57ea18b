/**
 * Receiving from streams with system calls that do not wait, as every engine does where the kernel has said that there is something.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { ERRNO } from "../ffi/errno.ts";
import type { System } from "../ffi/system.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Target } from "./engine.ts";
import { systemError } from "./errors.ts";
import { MessageBuffer, type ScratchSpace } from "./message.ts";
import { setOption } from "./options.ts";

/** See the module. */
export class Inbox {
  readonly #system: System;
  readonly #message: MessageBuffer;

  /** @param arena Machine address of the arena. */
  constructor(system: System, scratch: ScratchSpace, arena: bigint) {
    this.#system = system;
    this.#message = new MessageBuffer(scratch.take(MessageBuffer.BYTES), arena);
  }

  /** Receives what there is, 0 bytes at the end; `undefined` when there is nothing. */
  tryReceive(endpoint: Endpoint, target: Target): number | undefined {
    const { libc } = this.#system;
    const message = this.#message;
    for (;;) {
      message.expect(target.offset, target.byteLength);
      const bytes = libc.call.recvmsg(endpoint.fd, message.address, C.MSG_DONTWAIT);
      const errno = bytes < 0 ? libc.errno() : 0;
      if (errno === ERRNO.EAGAIN) return undefined;
      if (errno === ERRNO.EINTR) continue;
      return this.received(endpoint, bytes < 0 ? -errno : bytes);
    }
  }

  /** What a receive means that answered `result`: bytes, or a negative errno. */
  received(endpoint: Endpoint, result: number): number {
    if (result < 0 && endpoint.broken === 0) endpoint.broken = -result;
    if (result === 0 && endpoint.broken === 0 && !this.#ended(endpoint)) endpoint.broken = ERRNO.ECONNRESET;
    // The kernel tells the end of a connection once; whoever asks then sees an orderly end.
    const errno = result < 0 ? -result : result === 0 ? endpoint.broken : 0;
    if (errno !== 0) throw systemError("recvmsg", errno, "receive");
    return result;
  }

  /**
   * Whether a stream that ends has come to its end. A reset looks the same when a send had its error, and a send of the ring that
   * was accepted in part has it without telling. After the peer's end TCP_INQ counts one more than there is, and only then.
   */
  #ended(endpoint: Endpoint): boolean {
    if (endpoint.family === C.AF_UNIX) return true;
    const message = this.#message;
    setOption(this.#system, endpoint.fd, C.IPPROTO_TCP, C.TCP_INQ, 1);
    message.expect(0, 0);
    const result = this.#system.libc.call.recvmsg(endpoint.fd, message.address, C.MSG_DONTWAIT);
    return result !== 0 || message.unread() !== 0;
  }

  /** Whether there is data, the end of the stream, or an error to be told. */
  isReadable(endpoint: Endpoint): boolean {
    const { pollfd } = layout;
    const bytes = new Uint8Array(pollfd.size);
    const view = new DataView(bytes.buffer);
    view.setInt32(pollfd.fd, endpoint.fd, true);
    view.setInt16(pollfd.events, C.POLLIN, true);
    return this.#system.libc.call.pollNow(bytes, 1n, 0) !== 0;
  }
}
