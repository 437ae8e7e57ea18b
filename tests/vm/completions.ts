/**
 * The notifications of one socket, seen at the system calls themselves: held back at will, and followed by tables of ids that know nothing
 * of the ledger.
 */
import { C, layout as abi } from "../../ffi/abi.ts";
import { ERRNO } from "../../ffi/errno.ts";
import type { Endpoint } from "../../net/endpoint.ts";

/** Which sends are out, for somebody who counts ids by the rule `next`. */
export class IdTable {
  readonly #next: (id: number) => number;
  readonly #out = new Set<number>();
  #id: number;

  constructor(first: number, next: (id: number) => number) {
    this.#id = first;
    this.#next = next;
  }

  /** The kernel took a send. */
  taken(): void {
    this.#out.add(this.#id);
    this.#id = this.#next(this.#id);
  }

  /** The kernel is done with an id. */
  completed(id: number): void {
    this.#out.delete(id);
  }

  /** Sends that were never completed. */
  get outstanding(): number {
    return this.#out.size;
  }
}

/** See the module. Disposing of it gives the system calls back. */
export class Completions {
  /** The socket is told that there are no notifications. */
  held = false;
  /** Ranges that the kernel reported since {@linkcode follow}. */
  readonly ranges: [number, number][] = [];
  readonly #endpoint: Endpoint;
  readonly #restore: () => void;
  #tables: readonly IdTable[] = [];

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    const { libc, runtime } = endpoint.hub.system;
    const { core } = endpoint.hub;
    const { call, errno } = libc;
    const base = runtime.addressOf(core.u8);
    const view = new DataView(core.memory.buffer);
    let failure = 0;
    const sendmmsg: typeof call.sendmmsg = (fd, batch, n, flags) => {
      const taken = call.sendmmsg(fd, batch, n, flags);
      failure = taken < 0 ? errno() : 0;
      if (fd === endpoint.fd && (flags & C.MSG_ZEROCOPY) !== 0) this.#taken(taken);
      return taken;
    };
    const recvmsg: typeof call.recvmsg = (fd, message, flags) => {
      const ours = fd === endpoint.fd && (flags & C.MSG_ERRQUEUE) !== 0;
      if (ours && this.held) {
        failure = ERRNO.EAGAIN;
        return -1;
      }
      const result = call.recvmsg(fd, message, flags);
      failure = result < 0 ? errno() : 0;
      if (!ours || result < 0) return result;
      const control = view.getBigUint64(Number(message - base) + abi.msghdr.msg_control, true);
      const at = Number(control - base) + abi.cmsghdr.size;
      const { ee_info, ee_data } = abi.sock_extended_err;
      this.#completed(view.getUint32(at + ee_info, true), view.getUint32(at + ee_data, true));
      return result;
    };
    const library = libc as { call: unknown; errno: () => number };
    library.call = { ...call, sendmmsg, recvmsg };
    library.errno = () => failure !== 0 ? failure : errno();
    this.#restore = () => {
      library.call = call;
      library.errno = errno;
    };
  }

  /** Lets these tables follow from now on, and begins a new list of ranges. */
  follow(tables: readonly IdTable[]): void {
    this.#tables = tables;
    this.ranges.length = 0;
  }

  /** Reads the notifications there are. */
  collect(): void {
    const { hub } = this.#endpoint;
    hub.engine.collect(this.#endpoint);
    hub.dispatch();
  }

  /** The last range, for messages. */
  get last(): string {
    return JSON.stringify(this.ranges.at(-1));
  }

  #taken(messages: number): void {
    for (let i = 0; i < messages; i++) for (const table of this.#tables) table.taken();
  }

  #completed(lo: number, hi: number): void {
    this.ranges.push([lo, hi]);
    for (let id = lo;; id = (id + 1) >>> 0) {
      for (const table of this.#tables) table.completed(id);
      if (id === hi) return;
    }
  }

  [Symbol.dispose](): void {
    this.#restore();
  }
}
