/**
 * The engines `errqueue` and `copy`: system calls on nonblocking sockets, repeated when the doorbell rings. They differ in one
 * thing: `errqueue` asks for MSG_ZEROCOPY and reads the error queue, which tells when the kernel let go.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import { ERRNO } from "../ffi/errno.ts";
import type { System } from "../ffi/system.ts";
import { layout as coreLayout } from "../wasm/mod.ts";
import { Doorbell } from "./doorbell.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Attempt, Engine, EngineName, Target } from "./engine.ts";
import { systemError } from "./errors.ts";
import { Gather } from "./gather.ts";
import type { Hub } from "./hub.ts";
import { Inbox } from "./inbox.ts";
import type { Memories } from "./message.ts";
import { getOption, setOption } from "./options.ts";

const { BATCH, BATCH_REASON } = coreLayout;
/** A copy that the kernel has no memory for is tried again after this long. */
const NO_MEMORY_RETRY_MS = 10;

/** See the module. */
export class ReadinessEngine implements Engine {
  readonly name: EngineName;
  readonly zeroCopy: boolean;
  readonly descriptorFlags = C.SOCK_NONBLOCK;
  readonly #hub: Hub;
  readonly #system: System;
  readonly #doorbell: Doorbell;
  readonly #batch: bigint;
  readonly #inbox: Inbox;
  readonly #gather: Gather;

  constructor(hub: Hub, name: EngineName, { scratch, core, arena }: Memories) {
    this.name = name;
    this.zeroCopy = name === "errqueue";
    this.#hub = hub;
    this.#system = hub.system;
    // Zero-copy pins every page of every send: a huge page is pinned as one. Where there are none, nothing changes.
    hub.system.libc.call.madvise(arena, BigInt(hub.arena.bytes.length), C.MADV_HUGEPAGE);
    this.#batch = core + BigInt(hub.core.regions.BATCH);
    this.#inbox = new Inbox(hub.system, scratch, arena);
    this.#gather = new Gather(hub.core, core, scratch.take(Gather.BYTES));
    const events = scratch.take(Doorbell.SCRATCH_BYTES);
    this.#doorbell = new Doorbell(hub.system, events.view, events.address, () => {
      hub.turned();
      hub.dispatch();
    });
  }

  attach(endpoint: Endpoint): void {
    if (this.zeroCopy && endpoint.family !== C.AF_UNIX) {
      endpoint.sends.zeroCopy = setOption(this.#system, endpoint.fd, C.SOL_SOCKET, C.SO_ZEROCOPY, 1) === 0;
    }
    endpoint.watchKey = this.#doorbell.watch(endpoint.fd, (events) => this.#ready(endpoint, events));
  }

  detach(endpoint: Endpoint): void {
    this.#doorbell.unwatch(endpoint.fd, endpoint.watchKey);
    this.#system.libc.call.close(endpoint.fd);
  }

  #ready(endpoint: Endpoint, events: number): void {
    if (events & C.EPOLLERR) this.collect(endpoint);
    if (endpoint.inFlight > 0) this.submit(endpoint);
    if (endpoint.connectors.size > 0) endpoint.connectors.serve(() => true);
    if (endpoint.readers.size > 0) endpoint.readers.serve((attempt) => attempt());
    if (endpoint.watchers.size > 0) endpoint.watchers.serve(() => this.#inbox.isReadable(endpoint) || undefined);
    if (endpoint.acceptors.size > 0) endpoint.acceptors.serve(() => this.#tryAccept(endpoint));
  }

  submit(endpoint: Endpoint): void {
    const { raw, u32, out } = this.#hub.core;
    const { slot, generation } = endpoint;
    for (;;) {
      const n = raw.batch_fill(slot, generation, BATCH.MESSAGES);
      if (n <= 0) {
        if (n === 0 && u32[out + 2] !== BATCH_REASON.EMPTY && this.collect(endpoint) > 0) continue;
        return;
      }
      const zeroCopy = u32[out] !== 0;
      const flags = C.MSG_DONTWAIT | C.MSG_NOSIGNAL | (zeroCopy ? C.MSG_ZEROCOPY : 0);
      // A zero-copy message takes an id of its own, so that only copies go together.
      const taken = endpoint.stream && !zeroCopy && n > 1
        ? this.#sendTogether(endpoint.fd, n, flags)
        : this.#system.libc.call.sendmmsg(endpoint.fd, this.#batch, n, flags);
      const errno = taken < 0 ? this.#system.libc.errno() : 0;
      if (taken > 0) raw.batch_done(slot, generation, taken);
      if (zeroCopy && taken < n && !endpoint.stream) this.#collectTaken(endpoint);
      if (errno === ERRNO.EAGAIN) return;
      if (errno !== 0 && errno !== ERRNO.EINTR && !this.#overcome(endpoint, errno, zeroCopy)) return;
    }
  }

  /** Nothing is ever prepared: every call here enters the kernel by itself. */
  commit(): boolean {
    return false;
  }

  /** The core has such events of a ring only. */
  event(): void {}

  /** What the kernel was given it has accepted. */
  abandon(): void {}

  stop(endpoint: Endpoint, reason: unknown): void {
    endpoint.readers.fail(reason);
    endpoint.watchers.fail(reason);
    endpoint.acceptors.fail(reason);
    endpoint.connectors.fail(reason);
  }

  /** Sends the first `n` messages of the batch as one; answers like sendmmsg. */
  #sendTogether(fd: number, n: number, flags: number): number {
    this.#gather.load(n);
    const taken = this.#system.libc.call.sendmmsg(fd, this.#gather.address, 1, flags);
    return taken < 0 ? taken : this.#gather.divide();
  }

  /** What to do about a failed send: `true` to go on with the queue, `false` to wait for an event. */
  #overcome(endpoint: Endpoint, errno: number, zeroCopy: boolean): boolean {
    if (errno === ERRNO.ENOBUFS || errno === ERRNO.ENOMEM) {
      if (!zeroCopy) {
        setTimeout(() => this.#retry(endpoint), NO_MEMORY_RETRY_MS);
        return false;
      }
      // Back-pressure: optmem or memlock is used up. What is in flight gives it back; with nothing in flight, send a copy.
      if (this.collect(endpoint) > 0) return true;
      if (this.#outstanding(endpoint) > 0) return false;
      this.#hub.core.raw.batch_copy(endpoint.slot, endpoint.generation);
      return true;
    }
    if (zeroCopy && endpoint.sends.namesManyPages(endpoint.sends.head, errno)) {
      this.#hub.core.raw.batch_copy(endpoint.slot, endpoint.generation);
      return true;
    }
    if (endpoint.sends.refusesTrains(endpoint.sends.head, errno)) {
      if (endpoint.sends.mustCutNoMore) endpoint.sends.cutNoMore(); // the kernel has nothing that waits
      return true;
    }
    const { head } = endpoint.sends;
    if (!endpoint.stream && this.#hub.errorQueue.excuses(endpoint, head, endpoint.sends.generationOf(head), errno)) {
      return true;
    }
    // A stream that failed once has failed for all that is queued; a datagram fails alone.
    // EPIPE says only that the peer does not read any more: what it sent before still ends in order.
    if (endpoint.stream && endpoint.broken === 0 && errno !== ERRNO.EPIPE) endpoint.broken = errno;
    if (endpoint.stream) endpoint.sends.failQueue("sendmsg", errno);
    else endpoint.sends.failHead("sendmsg", errno);
    return true;
  }

  #retry(endpoint: Endpoint): void {
    if (endpoint.inFlight === 0) return;
    this.submit(endpoint);
    this.#hub.dispatch();
  }

  #outstanding(endpoint: Endpoint): number {
    const { raw, u32, out } = this.#hub.core;
    return raw.socket_state(endpoint.slot, endpoint.generation) < 0 ? 0 : u32[out + 2];
  }

  /**
   * After a zero-copy datagram that failed: some such failures take an id. If this one did, its notification is already here,
   * because the kernel dropped the packet within the call; so the error queue decides, before the next id is given out.
   */
  #collectTaken(endpoint: Endpoint): void {
    const { raw } = this.#hub.core;
    raw.suspect(endpoint.slot, endpoint.generation, 1);
    this.collect(endpoint);
    raw.suspect(endpoint.slot, endpoint.generation, 0);
  }

  collect(endpoint: Endpoint): number {
    return this.#hub.errorQueue.read(endpoint);
  }

  poll(): void {
    this.#doorbell.ring();
  }

  async connect(endpoint: Endpoint, name: Uint8Array, what: string, signal?: AbortSignal): Promise<void> {
    const { libc } = this.#system;
    if (libc.call.connect(endpoint.fd, name, name.length) === 0) return;
    const errno = libc.errno();
    if (errno !== ERRNO.EINPROGRESS) throw systemError("connect", errno, what);
    await endpoint.pending(() => endpoint.connectors.wait(undefined, signal));
    endpoint.requireOpen(); // the number of a closed descriptor may be another's by now
    const failure = getOption(this.#system, endpoint.fd, C.SOL_SOCKET, C.SO_ERROR);
    if (failure !== 0) throw systemError("connect", failure, what);
  }

  async accept(endpoint: Endpoint, signal?: AbortSignal): Promise<number> {
    const fd = endpoint.acceptors.size === 0 ? this.#tryAccept(endpoint) : undefined;
    if (fd !== undefined) return await this.#hub.inTurn(fd);
    return await endpoint.pending(() => endpoint.acceptors.wait(undefined, signal));
  }

  #tryAccept(endpoint: Endpoint): number | undefined {
    const { libc } = this.#system;
    for (;;) {
      const fd = libc.call.accept4(endpoint.fd, null, null, C.SOCK_NONBLOCK | C.SOCK_CLOEXEC);
      if (fd >= 0) return fd;
      const errno = libc.errno();
      if (errno === ERRNO.EAGAIN) return undefined;
      // The peer gave up between its handshake and our accept: not this caller's concern.
      if (errno === ERRNO.EINTR || errno === ERRNO.ECONNABORTED) continue;
      throw systemError("accept4", errno, "accept a connection");
    }
  }

  receiveNow(endpoint: Endpoint, target: Target): number | undefined {
    return endpoint.readers.size === 0 ? this.#inbox.tryReceive(endpoint, target) : undefined;
  }

  receive(endpoint: Endpoint, target: Target, signal?: AbortSignal): Promise<number> {
    return endpoint.readers.wait(() => this.#inbox.tryReceive(endpoint, target), signal) as Promise<number>;
  }

  async attempt<R>(endpoint: Endpoint, attempt: Attempt<R>, signal?: AbortSignal): Promise<R> {
    const found = endpoint.readers.size === 0 ? attempt() : undefined;
    if (found !== undefined) return await this.#hub.inTurn(found);
    return await (endpoint.readers.wait(attempt, signal) as Promise<R>);
  }

  async readable(endpoint: Endpoint, signal?: AbortSignal): Promise<void> {
    if (this.#inbox.isReadable(endpoint)) return await this.#hub.inTurn(undefined);
    await endpoint.pending(() => endpoint.watchers.wait(undefined, signal));
  }

  withdraw(endpoint: Endpoint): void {
    const { call } = this.#system.libc;
    endpoint.sends.failQueue("close", ERRNO.ECANCELED);
    // connect(AF_UNSPEC) drops the send queue and releases its memory, with the descriptor still readable.
    if (endpoint.family !== C.AF_UNIX) call.connect(endpoint.fd, new Uint8Array(16), 16);
    this.collect(endpoint);
  }

  setRef(ref: boolean): void {
    this.#doorbell.setRef(ref);
  }

  close(): Promise<void> {
    return this.#doorbell.close();
  }
}
