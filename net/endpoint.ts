/**
 * A socket as the engines see it: a descriptor, its place in the core, its queue of sends, and who waits for what comes in.
 *
 * @module
 */
import { decodeAddress, type InternetAddress, type UnixAddress } from "../ffi/address.ts";
import { layout, makeHandle, type SocketStats as CoreSocketStats } from "../wasm/mod.ts";
import { tableFull } from "./arena.ts";
import { Closing } from "./closing.ts";
import { closedError, systemError } from "./errors.ts";
import type { Hub } from "./hub.ts";
import type { Attempt } from "./engine.ts";
import { NetworkErrors } from "./network_errors.ts";
import { SendQueue } from "./send_queue.ts";
import { addressText } from "./text.ts";
import { Waiters } from "./waiters.ts";
import type { ZeroCopyPolicy } from "./zerocopy_policy.ts";

const { SOCKET, SOCKET_KIND } = layout;
/** A socket's sends that have not ended, as an index of words of its record. */
const SENDS = SOCKET.SENDS / 4;

/** What a socket is made from. */
export interface EndpointInit {
  readonly hub: Hub;
  readonly fd: number;
  readonly family: number;
  readonly stream: boolean;
  readonly policy: ZeroCopyPolicy;
  readonly maxInFlightBytes: number;
  /** The kernel tells what the network answers (IP_RECVERR). */
  readonly errors?: boolean;
  /** Sends that are longer, and do not say otherwise, are trains of segments so long. */
  readonly segmentBytes?: number;
}

/** See the module. */
export class Endpoint {
  readonly hub: Hub;
  readonly fd: number;
  readonly family: number;
  readonly stream: boolean;
  /** Place in the core's socket table. */
  readonly slot: number;
  readonly generation: number;
  /** Index of its record in the core's words. */
  readonly record: number;
  readonly sends: SendQueue;
  /** Set by the hub: waits for `submit`. */
  dirty = false;
  /** The errno that ended a stream. The kernel tells it once, to whoever asks first; the others would see an orderly end. */
  broken = 0;
  /** Its sends are being taken back: none goes to the kernel any more. */
  withdrawn = false;
  /** The engine's own note about this socket. */
  watchKey = 0;
  /** What the network answered, for a socket that asks for it. */
  readonly errors: NetworkErrors | undefined;
  /** Receives that wait for data. */
  readonly readers: Waiters<Attempt<unknown>, unknown> = new Waiters();
  /** Those who only want to know when there is data. */
  readonly watchers: Waiters<void, true> = new Waiters();
  /** Accepts that wait for a connection. */
  readonly acceptors: Waiters<void, number> = new Waiters();
  /** Connects that wait for an answer. */
  readonly connectors: Waiters<void, true> = new Waiters();
  /** How it ends. */
  readonly closing: Closing = new Closing(this);
  remote: InternetAddress | UnixAddress | undefined;
  #ref = true;
  /** Operations that go on, sends not counted. */
  #pending = 0;
  #lastCounters: CoreSocketStats | undefined;

  /** Takes over `init.fd`: it is closed when this throws. */
  constructor(init: EndpointInit) {
    this.hub = init.hub;
    this.fd = init.fd;
    this.family = init.family;
    this.stream = init.stream;
    this.errors = init.errors ? new NetworkErrors() : undefined;
    if (this.hub.closed.aborted) {
      this.hub.system.libc.call.close(this.fd);
      throw closedError("io");
    }
    const { raw, u32, out } = this.hub.core;
    const kind = init.stream ? SOCKET_KIND.STREAM : SOCKET_KIND.DATAGRAM;
    this.slot = raw.socket_new(kind, init.maxInFlightBytes, init.segmentBytes ?? 0);
    if (this.slot < 0) {
      this.hub.system.libc.call.close(this.fd);
      throw tableFull("maxSockets");
    }
    this.generation = u32[out];
    this.record = (this.hub.core.regions.SOCKETS + this.slot * SOCKET.BYTES) / 4;
    this.sends = new SendQueue(this, init.policy, init.segmentBytes ?? 0);
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

  /** What the core counts about this socket; the last numbers after it was closed. */
  counters(): CoreSocketStats {
    return this.#lastCounters ?? this.hub.core.socketStats(makeHandle(this.slot, this.generation));
  }

  // Work that keeps the process alive

  /** Sends that were queued and have not ended. */
  get inFlight(): number {
    return this.dismantled ? 0 : this.hub.core.u32[this.record + SENDS];
  }

  /** Counts pending operations besides sends. */
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
    return this.#pending === 0;
  }

  setRef(ref: boolean): void {
    if (this.#ref === ref) return;
    this.#ref = ref;
    if (ref) this.hub.unreferenced.delete(this);
    else this.hub.unreferenced.add(this);
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
