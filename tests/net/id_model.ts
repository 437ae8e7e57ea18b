/**
 * A model of the kernel's zero-copy ids that knows nothing of the ledger: it follows them from what sendmmsg and the error queue
 * answered, and from the rules that were measured on real kernels.
 */
import { assert } from "@std/assert";
import { C, layout as abi } from "../../ffi/abi.ts";
import { ERRNO } from "../../ffi/errno.ts";
import type { System } from "../../ffi/system.ts";
import type { Core } from "../../wasm/mod.ts";

/** One send as the model sees it. */
export interface Sent {
  readonly bytes: number;
  /** The kernel refuses it before it gives an id. */
  readonly refusedEarly?: boolean;
  accepted: number;
  readonly ids: number[];
  over: boolean;
}

/** What the model knows of one socket. */
export class SocketModel {
  /** Sends that the kernel has not taken whole, in order. */
  readonly queue: Sent[] = [];
  /** Ids whose notification was read, until their send is over. */
  readonly notified = new Set<number>();
  nextId = 0;
  segmentBytes = 0;
  noCheck = false;
  /** The network's answers are told apart: a datagram that fails for another one stays in the queue. */
  errors = false;
  /** Answers of the network that were read. */
  answers = 0;

  /** @param maxSegments Into how many datagrams the kernel cuts one message at most. */
  constructor(readonly datagram: boolean, readonly maxSegments = 0) {}

  add(bytes: number, refusedEarly = false): Sent {
    const sent: Sent = { bytes, refusedEarly, accepted: 0, ids: [], over: false };
    this.queue.push(sent);
    return sent;
  }

  /** A sendmmsg of `n` messages took some, each with so many bytes, or failed with `errno`. */
  called(n: number, lengths: readonly number[], errno: number, zeroCopy: boolean): void {
    for (const length of lengths) {
      let left = length;
      do {
        const head = this.queue[0];
        const part = Math.min(left, head.bytes - head.accepted);
        head.accepted += part;
        left -= part;
        // A stream takes no id for nothing; a datagram does.
        if (zeroCopy && (this.datagram || length > 0)) head.ids.push(this.nextId++);
        if (head.accepted === head.bytes) this.queue.shift();
        // One message may carry several copies of a stream, but no more than one send that takes an id.
      } while (left > 0 && !zeroCopy && !this.datagram);
      assert(left === 0, "a message carried more than its send");
    }
    if (lengths.length === n) return;
    // The next message was tried too, and failed, whether the call says so or not.
    const head = this.queue[0];
    if (zeroCopy && this.#refusedLate(head) && errno !== ERRNO.EAGAIN) this.nextId += 1;
    if (errno === 0 || RETRIED.includes(errno) || (this.errors && errno === ERRNO.ECONNREFUSED)) return;
    if (this.datagram) this.queue.shift();
    else this.queue.length = 0;
  }

  /** Segmentation that the kernel refuses only after it has given an id. */
  #refusedLate(sent: Sent): boolean {
    if (!this.datagram || sent.refusedEarly || this.segmentBytes === 0) return false;
    return this.noCheck || Math.ceil(sent.bytes / this.segmentBytes) > this.maxSegments;
  }
}

const RETRIED: readonly number[] = [ERRNO.EAGAIN, ERRNO.EINTR, ERRNO.ENOBUFS, ERRNO.ENOMEM];

/** Watches the system calls of the sockets in `models` (by descriptor) until the returned function is called. */
export function watchCalls(system: System, core: Core, models: ReadonlyMap<number, SocketModel>): () => void {
  const { libc } = system;
  const { call, errno } = libc;
  const base = system.runtime.addressOf(core.u8);
  const view = new DataView(core.memory.buffer);
  let failure = 0;

  const sendmmsg = (fd: number, batch: bigint, n: number, flags: number): number => {
    const taken = call.sendmmsg(fd, batch, n, flags);
    failure = taken < 0 ? errno() : 0;
    const lengths: number[] = [];
    const at = Number(batch - base) + abi.mmsghdr.msg_len;
    for (let i = 0; i < taken; i++) lengths.push(view.getUint32(at + i * abi.mmsghdr.size, true));
    models.get(fd)?.called(n, lengths, failure, (flags & C.MSG_ZEROCOPY) !== 0);
    return taken;
  };

  const recvmsg = (fd: number, message: bigint, flags: number): number => {
    const result = call.recvmsg(fd, message, flags);
    failure = result < 0 ? errno() : 0;
    const model = models.get(fd);
    if (result < 0 || model === undefined || (flags & C.MSG_ERRQUEUE) === 0) return result;
    const control = view.getBigUint64(Number(message - base) + abi.msghdr.msg_control, true);
    const at = Number(control - base) + abi.cmsghdr.size;
    const { ee_origin, ee_info, ee_data } = abi.sock_extended_err;
    if (model.errors && view.getUint8(at + ee_origin) === C.SO_EE_ORIGIN_ICMP) {
      model.answers += 1;
      return result;
    }
    assert(view.getUint8(at + ee_origin) === C.SO_EE_ORIGIN_ZEROCOPY);
    const last = view.getUint32(at + ee_data, true);
    for (let id = view.getUint32(at + ee_info, true);; id = (id + 1) >>> 0) {
      assert(!model.notified.has(id), `the kernel reported id ${id} twice`);
      model.notified.add(id);
      if (id === last) return result;
    }
  };

  const library = libc as { call: unknown; errno: () => number };
  library.call = { ...call, sendmmsg, recvmsg };
  library.errno = () => failure !== 0 ? failure : errno();
  return () => {
    library.call = call;
    library.errno = errno;
  };
}
