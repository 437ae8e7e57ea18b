/**
 * A socket as the engines see it: a descriptor, its place in the core and its queue of sends.
 *
 * @module
 */
import { decodeAddress, type InternetAddress, type UnixAddress } from "../ffi/address.ts";
import {
  type Handle,
  handleGeneration,
  handleSlot,
  layout,
  makeHandle,
  type SocketStats as CoreSocketStats,
} from "../wasm/mod.ts";
import { foreign, tableFull } from "./arena.ts";
import { Closing } from "./closing.ts";
import { closedError, RingletError, systemError } from "./errors.ts";
import type { Hub } from "./hub.ts";
import type { Lease } from "./lease.ts";
import type { Received, Target } from "./engine.ts";
import type { Receipt } from "./receipt.ts";
import { PromisedSend, type SendFailure, type SendOwner } from "./sends.ts";
import { addressText } from "./text.ts";
import { Waiters } from "./waiters.ts";
import type { ZeroCopyPolicy } from "./zerocopy_policy.ts";

const { FAULT, SEND_FLAG, SOCKET_KIND } = layout;

/** A part of a send. */
export interface Part {
  readonly lease: Lease;
  readonly offset: number;
  readonly byteLength: number;
}

/** A send that waits for its turn. */
export interface DeferredSend {
  /** Its turn has come. */
  start(): Promise<Receipt>;
  /** It was given up: the leases are the program's again. */
  drop(): void;
}

/** The destination of a datagram, as words of a `struct sockaddr`. */
export interface Name {
  readonly words: Uint32Array;
  readonly byteLength: number;
}

/** What a socket is made from. */
export interface EndpointInit {
  readonly hub: Hub;
  readonly fd: number;
  readonly family: number;
  readonly stream: boolean;
  readonly policy: ZeroCopyPolicy;
  readonly maxInFlightBytes: number;
}

/** See the module. */
export class Endpoint {
  readonly hub: Hub;
  readonly fd: number;
  readonly family: number;
  readonly stream: boolean;
  readonly policy: ZeroCopyPolicy;
  /** Place in the core's socket table. */
  readonly slot: number;
  readonly generation: number;
  /** Set by the engine: the kernel sends notifications for this socket. */
  zeroCopy = false;
  /** Sends that wait for their turn to join the queue. */
  turns = 0;
  /** Sends that wait for a free record. */
  recordless = 0;
  /** Set by the hub: waits for `submit`. */
  dirty = false;
  /** The errno that ended a stream. The kernel tells it once, to whoever asks first; the others would see an orderly end. */
  broken = 0;
  /** Its sends are being taken back: none goes to the kernel any more. */
  withdrawn = false;
  /** The engine's own note about this socket. */
  watchKey = 0;
  /** Receives that wait for data. */
  readonly readers: Waiters<Target, Received> = new Waiters();
  /** Those who only want to know when there is data. */
  readonly watchers: Waiters<void, true> = new Waiters();
  /** Accepts that wait for a connection. */
  readonly acceptors: Waiters<void, number> = new Waiters();
  /** Connects that wait for an answer. */
  readonly connectors: Waiters<void, true> = new Waiters();
  /** How it ends. */
  readonly closing: Closing = new Closing(this);
  remote: InternetAddress | UnixAddress | undefined;
  #inFlight = 0;
  #ref = true;
  #pending = 0;
  #lastCounters: CoreSocketStats | undefined;

  /** Takes over `init.fd`: it is closed when this throws. */
  constructor(init: EndpointInit) {
    this.hub = init.hub;
    this.fd = init.fd;
    this.family = init.family;
    this.stream = init.stream;
    this.policy = init.policy;
    if (this.hub.closed.aborted) {
      this.hub.system.libc.call.close(this.fd);
      throw closedError("io");
    }
    const { raw, u32, out } = this.hub.core;
    this.slot = raw.socket_new(init.stream ? SOCKET_KIND.STREAM : SOCKET_KIND.DATAGRAM, init.maxInFlightBytes);
    if (this.slot < 0) {
      this.hub.system.libc.call.close(this.fd);
      throw tableFull("maxSockets");
    }
    this.generation = u32[out];
    try {
      this.hub.engine.attach(this);
    } catch (error) {
      raw.socket_free(this.slot, this.generation);
      this.hub.system.libc.call.close(this.fd);
      throw error;
    }
    this.hub.endpoints.add(this);
    this.hub.sockets[this.slot] = this;
  }

  /** `what` names the kind of socket in the error. */
  requireOpen(what = "socket"): void {
    if (this.closing.begun) throw closedError(what);
  }

  // Sends

  /** Prepares one send of one part; answers its number, or a negative status of the core when a table is full. */
  enqueueOne(part: Part, name: Name | undefined, owner: SendOwner | PromisedSend, zeroCopy: boolean): number {
    const { raw, u32, out } = this.hub.core;
    const { lease } = part;
    const slot = raw.send_one(
      this.slot,
      this.generation,
      zeroCopy ? SEND_FLAG.ZERO_COPY : 0,
      name === undefined ? 0 : name.byteLength,
      lease.slot,
      lease.generation,
      part.offset,
      part.byteLength,
    );
    if (slot < 0) return this.#refusal(slot, lease);
    const generation = u32[out];
    if (name !== undefined) u32.set(name.words, u32[out + 1] >>> 2);
    this.hub.own(slot, this, owner);
    return makeHandle(slot, generation);
  }

  /** The same for any number of parts, none included. */
  #enqueue(parts: readonly Part[], name: Name | undefined, owner: SendOwner, zeroCopy: boolean): number {
    if (parts.length === 1) return this.enqueueOne(parts[0], name, owner, zeroCopy);
    const id = this.#claim(parts, name, zeroCopy);
    if (id >= 0) this.#queue(id, owner);
    return id;
  }

  /** A send whose leases are claimed, but which is not in the queue yet. */
  #claim(parts: readonly Part[], name: Name | undefined, zeroCopy: boolean): number {
    const { raw, u32, out } = this.hub.core;
    const flags = zeroCopy ? SEND_FLAG.ZERO_COPY : 0;
    const slot = raw.send_new(this.slot, this.generation, flags, name?.byteLength ?? 0);
    if (slot < 0) return this.#refusal(slot);
    const generation = u32[out];
    if (name !== undefined) u32.set(name.words, u32[out + 1] >>> 2);
    for (const { lease, offset, byteLength } of parts) {
      const status = raw.send_lease(slot, generation, lease.slot, lease.generation, offset, byteLength);
      if (status >= 0) continue;
      try {
        return this.#refusal(status, lease); // which looks at the lease before it is given back
      } finally {
        raw.send_drop(slot, generation);
      }
    }
    return makeHandle(slot, generation);
  }

  #queue(id: Handle, owner: SendOwner): void {
    this.hub.core.raw.send_queue(handleSlot(id), handleGeneration(id));
    this.hub.own(handleSlot(id), this, owner);
  }

  /** What the core's refusal means: "no record is free" is an answer, everything else an error. */
  #refusal(status: number, lease?: Lease): number {
    if (status === FAULT.NO_SLOT) return status;
    const refused = status === FAULT.STALE || status === FAULT.NOT_HELD || status === FAULT.BUSY;
    if (lease !== undefined && refused) throw lease.notHeld("send");
    throw new RingletError("ERR_OUT_OF_RANGE", `Cannot send: the parts do not fit into one send (status ${status})`);
  }

  /**
   * Sends `parts`; when every record is in use, in turn with the others that wait for one.
   *
   * @param endPledge Ends the pledge of the leases, if they are pledged to this send.
   */
  send(
    parts: readonly Part[],
    name: Name | undefined,
    signal: AbortSignal | undefined,
    endPledge?: () => void,
  ): Promise<Receipt> {
    const bytes = bytesOf(parts);
    const owner = new PromisedSend(this, bytes);
    const zeroCopy = this.asksZeroCopy(bytes);
    const attempt = (): true | undefined => {
      this.closing.requireUnsealed();
      const id = this.#enqueue(parts, name, owner, zeroCopy);
      if (id < 0) return undefined;
      if (signal !== undefined) owner.abortWith(signal, id);
      this.hub.schedule();
      return true;
    };
    try {
      if (this.hub.recordWaiters.size === 0 && attempt()) {
        endPledge?.();
        return owner.promise;
      }
      endPledge ??= this.hub.arena.pledge(parts.map(({ lease }) => lease));
      return this.#awaitRecord(attempt, signal).finally(endPledge).then(() => owner.promise);
    } catch (error) {
      endPledge?.();
      return Promise.reject(error);
    }
  }

  /** In turn with all that wait for a record, until the caller's signal or the deadline of a close ends that. */
  async #awaitRecord(attempt: () => true | undefined, signal: AbortSignal | undefined): Promise<void> {
    const { deadline } = this.closing;
    const patience = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    this.recordless += 1;
    await this.pending(() => this.hub.recordWaiters.wait(attempt, patience).finally(() => this.recordless -= 1));
  }

  /** A send that has to wait for its turn; its leases do not go elsewhere meanwhile. */
  sendLater(parts: readonly Part[], name: Name | undefined, signal: AbortSignal | undefined): DeferredSend {
    const endPledge = this.hub.arena.pledge(parts.map(({ lease }) => lease));
    return { start: () => this.send(parts, name, signal, endPledge), drop: endPledge };
  }

  /** Whether a send of so many bytes asks for zero-copy. */
  asksZeroCopy(bytes: number): boolean {
    return this.zeroCopy && this.policy.wants(bytes);
  }

  /** Checks what a program passes as a lease and its range. */
  part(lease: Lease, offset: number, byteLength: number): Part {
    if (lease.arena !== this.hub.arena) throw foreign();
    this.hub.arena.requireUnpledged(lease, "send");
    return { lease, offset, byteLength };
  }

  /** A queued send leaves the queue; what the kernel has accepted of it stays accepted. */
  giveUp(id: Handle, reason: unknown): void {
    const { raw, u32, out } = this.hub.core;
    const slot = handleSlot(id);
    const generation = handleGeneration(id);
    if (raw.send_cancel(slot, generation) < 0) return this.hub.engine.abandon(id);
    const failure: SendFailure = { errno: 0, syscall: "sendmsg", reason };
    this.#ended(slot, generation, failure, u32[out], u32[out + 1] !== 0);
    this.hub.resume(this);
    this.hub.dispatch();
  }

  /** The engine reports that the kernel refused the head of the queue; `false` when there is none to fail. */
  failHead(syscall: string, errno: number): boolean {
    const { raw, u32, out } = this.hub.core;
    const slot = raw.batch_fail(this.slot, this.generation);
    if (slot < 0) return false;
    this.#ended(slot, u32[out], { errno, syscall }, u32[out + 1], u32[out + 2] !== 0);
    return true;
  }

  /** The engine reports that the kernel refused all that is queued. */
  failQueue(syscall: string, errno: number): void {
    while (this.failHead(syscall, errno));
  }

  /** The engine reports that the kernel refused a send, wherever in the queue it is. */
  failSend(slot: number, generation: number, syscall: string, errno: number): void {
    const { raw, u32, out } = this.hub.core;
    if (raw.send_cancel(slot, generation) < 0) return;
    this.#ended(slot, generation, { errno, syscall }, u32[out], u32[out + 1] !== 0);
  }

  #ended(slot: number, generation: number, failure: SendFailure, bytesAccepted: number, whole: boolean): void {
    const id = makeHandle(slot, generation);
    if (whole) this.hub.disown(slot).refused(id, failure);
    else this.hub.owner(slot).failed(id, failure, bytesAccepted);
  }

  /** Sends that wait in the core's queue. */
  queued(): number {
    const { raw, u32, out } = this.hub.core;
    return raw.socket_state(this.slot, this.generation) < 0 ? 0 : u32[out + 3];
  }

  /** What the core counts about this socket; the last numbers after it was closed. */
  counters(): CoreSocketStats {
    return this.#lastCounters ?? this.hub.core.socketStats(makeHandle(this.slot, this.generation));
  }

  // Work that keeps the process alive

  /** A send begins. */
  begin(): void {
    this.#inFlight += 1;
    this.pend(1);
  }

  /** A send has ended. */
  end(): void {
    this.#inFlight -= 1;
    this.pend(-1);
    this.closing.lookAgain();
    if (this.#inFlight === 0 && this.hub.quarantine.delete(this)) this.dismantle();
  }

  /** Sends that have not ended. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Counts pending operations. */
  pend(n: number): void {
    this.#pending += n;
    if (this.#ref) this.hub.addRefs(n);
  }

  /** Counts `operation` as pending while it runs. */
  async pending<T>(operation: () => Promise<T>): Promise<T> {
    this.pend(1);
    try {
      return await operation();
    } finally {
      this.pend(-1);
      this.closing.lookAgain();
    }
  }

  /** Nothing is pending but sends. */
  get quiet(): boolean {
    return this.#pending === this.#inFlight;
  }

  setRef(ref: boolean): void {
    if (this.#ref === ref) return;
    this.#ref = ref;
    this.hub.addRefs(ref ? this.#pending : -this.#pending);
  }

  /** Gives everything up. Nothing is in flight, and nobody uses the descriptor from now on: its number may be another's. */
  dismantle(): void {
    this.#lastCounters = this.counters();
    this.hub.sockets[this.slot] = undefined;
    this.hub.core.raw.socket_free(this.slot, this.generation);
    this.hub.engine.detach(this);
  }

  get dismantled(): boolean {
    return this.#lastCounters !== undefined;
  }

  // Addresses

  /** The address this socket is bound to, or its peer's. */
  address(which: "getsockname" | "getpeername"): InternetAddress | UnixAddress {
    this.requireOpen();
    const bytes = new Uint8Array(128);
    const length = Uint32Array.of(bytes.length);
    const { libc } = this.hub.system;
    if (libc.call[which](this.fd, bytes, new Uint8Array(length.buffer)) < 0) {
      throw systemError(which, libc.errno(), "read the socket's address");
    }
    return decodeAddress(this.hub.system, bytes, length[0]);
  }

  remoteText(): string {
    return this.remote === undefined ? "a datagram's destination" : addressText(this.remote);
  }
}

function bytesOf(parts: readonly Part[]): number {
  let bytes = 0;
  for (const part of parts) bytes += part.byteLength;
  return bytes;
}
