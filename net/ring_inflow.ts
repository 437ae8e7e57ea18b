/**
 * What comes in on one socket of a ring: connections, data, and the answer to a connect.
 *
 * What the kernel writes on its own time goes only to registered memory, whose pages outlive a Worker that is terminated; into other
 * memory a receive reads by itself, once the ring says that there is something.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import { ERRNO } from "../ffi/errno.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Attempt, Target } from "./engine.ts";
import { systemError } from "./errors.ts";
import type { Inbox } from "./inbox.ts";
import { onAbort } from "./on_abort.ts";
import type { Ring } from "./ring.ts";
import type { Call, Entry, RingCalls } from "./ring_calls.ts";
import { Turn } from "./waiters.ts";

/** Connections that wait here for an `accept()`, at most; more wait in the kernel. */
const MAX_ACCEPTED = 64;
const NO_OFFSET = 0xffff_ffff;

/** What all sockets of an engine receive with. */
export interface Receiving {
  readonly ring: Ring;
  readonly calls: RingCalls;
  readonly inbox: Inbox;
  /** Machine address of the arena. */
  readonly arena: bigint;
}

/** See the module. */
export class RingInflow {
  readonly #endpoint: Endpoint;
  readonly #with: Receiving;
  /** One receive of a stream at a time. */
  readonly #turn = new Turn();
  readonly #pending = new Set<Call>();
  /** Tells when attempts that wait may find something. */
  #polling: Call | undefined;
  /** Accepted, and not asked for yet. */
  readonly #accepted: number[] = [];
  #accepting: Call | undefined;
  /** Why nothing is awaited any more. */
  #stopped: unknown;

  constructor(endpoint: Endpoint, receiving: Receiving) {
    this.#endpoint = endpoint;
    this.#with = receiving;
    if (endpoint.errors !== undefined) this.#pollErrors();
  }

  /** Fails everything that waits for something to come in. */
  stop(reason: unknown): void {
    const { calls } = this.#with;
    this.#stopped = reason;
    this.#turn.fail(reason);
    this.#endpoint.readers.fail(reason);
    this.#endpoint.acceptors.fail(reason);
    for (const call of this.#pending) calls.cancel(call);
    if (this.#polling !== undefined) calls.cancel(this.#polling);
    if (this.#accepting !== undefined) calls.cancel(this.#accepting);
    for (const fd of this.#accepted.splice(0)) this.#closeDescriptor(fd);
  }

  #closeDescriptor(fd: number): void {
    this.#endpoint.hub.system.libc.call.close(fd);
  }

  /** The result of one operation. Giving up waits for the kernel to have given up, and takes a result that won. */
  async call(entry: Omit<Entry, "fd">, signal: AbortSignal | undefined): Promise<number> {
    if (this.#stopped !== undefined) throw this.#stopped;
    signal?.throwIfAborted();
    const { calls } = this.#with;
    let call!: Call;
    const result = new Promise<number>((resolve) => call = calls.start({ ...entry, fd: this.#endpoint.fd }, resolve));
    this.#pending.add(call);
    const stopListening = signal && onAbort(signal, () => calls.cancel(call));
    try {
      const value = await result;
      if (value < 0 && this.#stopped !== undefined) throw this.#stopped;
      if (value === -ERRNO.ECANCELED) signal?.throwIfAborted();
      return value;
    } finally {
      this.#pending.delete(call);
      stopListening?.();
    }
  }

  // Connections

  /** Answers the descriptor of the next connection. */
  async accept(signal: AbortSignal | undefined): Promise<number> {
    const { acceptors, hub } = this.#endpoint;
    const fd = acceptors.size === 0 ? this.#accepted.shift() : undefined;
    if (fd !== undefined) return await hub.inTurn(fd);
    return await this.#endpoint.pending(() => {
      const accepted = acceptors.wait(undefined, signal);
      this.#keepAccepting();
      return accepted;
    });
  }

  /** One operation accepts connection after connection, as long as somebody waits for one or few wait to be asked for. */
  #keepAccepting(): void {
    const { acceptors, fd } = this.#endpoint;
    if (this.#accepting !== undefined || this.#stopped !== undefined || acceptors.size === 0) return;
    const opFlags = C.SOCK_CLOEXEC;
    const entry = { opcode: C.IORING_OP_ACCEPT, fd, ioprio: C.IORING_ACCEPT_MULTISHOT, opFlags };
    this.#accepting = this.#with.calls.start(entry, (result, more) => {
      if (!more) this.#accepting = undefined;
      this.#onAccepted(result);
      this.#keepAccepting();
    });
  }

  #onAccepted(result: number): void {
    const { acceptors } = this.#endpoint;
    if (result >= 0) {
      if (this.#stopped !== undefined) this.#closeDescriptor(result);
      else this.#accepted.push(result);
    } else if (result !== -ERRNO.ECANCELED && result !== -ERRNO.ECONNABORTED && result !== -ERRNO.EINTR) {
      let told = false;
      acceptors.serve(() => {
        if (told) return undefined;
        told = true;
        throw systemError("accept4", -result, "accept a connection");
      });
    }
    acceptors.serve(() => this.#accepted.shift());
    if (this.#accepted.length >= MAX_ACCEPTED && this.#accepting !== undefined) {
      this.#with.calls.cancel(this.#accepting);
    }
  }

  // Data

  /** See `Engine.receiveNow`. */
  receiveNow(target: Target): number | undefined {
    return this.#turn.free ? this.#with.inbox.tryReceive(this.#endpoint, target) : undefined;
  }

  /** See `Engine.receive`. */
  async receive(target: Target, signal: AbortSignal | undefined): Promise<number> {
    const { ring, inbox } = this.#with;
    const buffer = ring.bufferOf(target.offset, target.byteLength);
    await this.#turn.take(signal);
    try {
      for (;;) {
        if (this.#stopped !== undefined) throw this.#stopped;
        const received = buffer < 0
          ? inbox.tryReceive(this.#endpoint, target) ?? await this.#wait(signal)
          : await this.#read(target, buffer, signal);
        if (received !== undefined) return received;
      }
    } finally {
      this.#turn.leave();
    }
  }

  /** Reads into a registered buffer; `undefined` to try again. */
  async #read(target: Target, buffer: number, signal: AbortSignal | undefined): Promise<number | undefined> {
    const { arena, inbox } = this.#with;
    const entry = {
      opcode: C.IORING_OP_READ_FIXED,
      address: arena + BigInt(target.offset),
      length: target.byteLength,
      offsetLow: NO_OFFSET,
      offsetHigh: NO_OFFSET,
      buffer,
    };
    const bytes = await this.call(entry, signal);
    if (bytes === -ERRNO.EINTR || bytes === -ERRNO.EAGAIN) return undefined;
    return inbox.received(this.#endpoint, bytes);
  }

  /** Waits until a receive would find something. */
  async #wait(signal: AbortSignal | undefined): Promise<undefined> {
    const result = await this.call({ opcode: C.IORING_OP_POLL_ADD, opFlags: C.POLLIN }, signal);
    if (result < 0) throw systemError("poll", -result, "wait for data");
  }

  /** See `Engine.readable`. */
  async readable(signal: AbortSignal | undefined): Promise<void> {
    const endpoint = this.#endpoint;
    if (this.#with.inbox.isReadable(endpoint)) return await endpoint.hub.inTurn(undefined);
    await endpoint.pending(() => this.#wait(signal));
  }

  /** See `Engine.attempt`. */
  async attempt<R>(attempt: Attempt<R>, signal: AbortSignal | undefined): Promise<R> {
    const { readers, hub } = this.#endpoint;
    const found = readers.size === 0 ? attempt() : undefined;
    if (found !== undefined) return await hub.inTurn(found);
    this.#poll();
    return await (readers.wait(attempt, signal) as Promise<R>);
  }

  /** One poll serves all who wait. It is asked anew: one that stays would complete for every datagram that nobody waits for. */
  #poll(): void {
    if (this.#polling !== undefined || this.#stopped !== undefined) return;
    const { readers, hub, fd } = this.#endpoint;
    this.#polling = this.#with.calls.start({ opcode: C.IORING_OP_POLL_ADD, fd, opFlags: C.POLLIN }, (result) => {
      this.#polling = undefined;
      if (result & C.POLLERR) hub.errorQueue.read(this.#endpoint);
      if (result >= 0) readers.serve((attempt) => attempt());
      else readers.fail(systemError("poll", -result, "wait for data"));
      if (readers.size > 0) this.#poll();
    });
  }

  /** Reads the error queue whenever there is something, until the socket is stopped. A poll tells errors unasked. */
  #pollErrors(): void {
    const { hub, fd } = this.#endpoint;
    const call = this.#with.calls.start({ opcode: C.IORING_OP_POLL_ADD, fd }, (result) => {
      this.#pending.delete(call);
      if (result < 0 || this.#stopped !== undefined) return;
      hub.errorQueue.read(this.#endpoint);
      this.#pollErrors();
    });
    this.#pending.add(call);
  }
}
