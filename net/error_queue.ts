/**
 * The error queues of sockets, which hold two kinds of things: what became of zero-copy sends, and what the network answered to
 * datagrams. They are read together and told apart here.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { decodeAddress, type InternetAddress } from "../ffi/address.ts";
import { errnoName } from "../ffi/errno.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Hub } from "./hub.ts";
import { MessageBuffer, type ScratchSpace } from "./message.ts";
import type { NetworkError, NetworkErrors } from "./network_errors.ts";

const { sock_extended_err } = layout;
const ORIGINS: Partial<Record<number, NetworkError["origin"]>> = {
  [C.SO_EE_ORIGIN_LOCAL]: "local",
  [C.SO_EE_ORIGIN_ICMP]: "icmp",
  [C.SO_EE_ORIGIN_ICMP6]: "icmp6",
};
const EMSGSIZE = "EMSGSIZE";

/** See the module. One for each `open()`. */
export class ErrorQueue {
  readonly #hub: Hub;
  readonly #message: MessageBuffer;

  /** @param arena Machine address of the arena. */
  constructor(hub: Hub, scratch: ScratchSpace, arena: bigint) {
    this.#hub = hub;
    this.#message = new MessageBuffer(scratch.take(MessageBuffer.BYTES), arena);
  }

  /** Reads a socket's queue empty; answers how many zero-copy ids were settled. */
  read(endpoint: Endpoint): number {
    const { errors } = endpoint;
    if (!endpoint.sends.zeroCopy && errors === undefined) return 0;
    const { libc } = this.#hub.system;
    const { raw, u32, out } = this.#hub.core;
    const message = this.#message;
    let settled = 0;
    for (;;) {
      message.expect(0, 0);
      if (libc.call.recvmsg(endpoint.fd, message.address, C.MSG_ERRQUEUE | C.MSG_DONTWAIT) < 0) break;
      const at = message.extendedError();
      if (at < 0) continue;
      const { view } = message;
      const origin = view.getUint8(at + sock_extended_err.ee_origin);
      if (origin !== C.SO_EE_ORIGIN_ZEROCOPY) {
        const name = ORIGINS[origin];
        if (name !== undefined && errors !== undefined) this.#tell(errors, name, at);
        continue;
      }
      const copied = view.getUint8(at + sock_extended_err.ee_code) & C.SO_EE_CODE_ZEROCOPY_COPIED;
      const lo = view.getUint32(at + sock_extended_err.ee_info, true);
      const hi = view.getUint32(at + sock_extended_err.ee_data, true);
      raw.complete(endpoint.slot, endpoint.generation, lo, hi, copied);
      settled += u32[out];
    }
    // The kernel notes an error twice: in the queue, and for whichever call comes next. The second note is not meant for it.
    if (errors !== undefined) this.#clear(endpoint);
    return settled;
  }

  /** Whether something of a socket that failed with `errno`, named by slot and generation, is to be tried again. */
  excuses(endpoint: Endpoint, slot: number, generation: number, errno: number): boolean {
    if (endpoint.errors === undefined) return false;
    this.read(endpoint);
    return endpoint.errors.excuse(slot, generation, errnoName(errno));
  }

  #tell(errors: NetworkErrors, origin: NetworkError["origin"], at: number): void {
    const { view } = this.#message;
    const { ee_errno, ee_type, ee_code, ee_info, size } = sock_extended_err;
    const { system } = this.#hub;
    const name = this.#message.name();
    const code = errnoName(view.getUint32(at + ee_errno, true));
    const offender = new Uint8Array(view.buffer, view.byteOffset + at + size, layout.sockaddr_in6.size);
    errors.push({
      code,
      to: decodeAddress(system, name, name.length) as InternetAddress,
      origin,
      ...origin === "local"
        ? undefined
        : { reporter: (decodeAddress(system, offender, offender.length) as InternetAddress).hostname },
      icmpType: view.getUint8(at + ee_type),
      icmpCode: view.getUint8(at + ee_code),
      ...code === EMSGSIZE ? { mtuBytes: view.getUint32(at + ee_info, true) } : undefined,
    });
  }

  #clear(endpoint: Endpoint): void {
    const value = new Uint8Array(4);
    const length = new Uint8Array(Uint32Array.of(value.length).buffer);
    this.#hub.system.libc.call.getsockopt(endpoint.fd, C.SOL_SOCKET, C.SO_ERROR, value, length);
  }
}
