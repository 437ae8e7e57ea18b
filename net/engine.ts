/**
 * The seam between sockets and the ways to the kernel.
 *
 * @module
 */
import type { Handle } from "../wasm/mod.ts";
import type { Endpoint } from "./endpoint.ts";

/** The engines there are. */
export type EngineName = "uring" | "errqueue" | "copy";

/** Memory of the arena that a receive may fill. */
export interface Target {
  /** Offset in the arena, in bytes. */
  readonly offset: number;
  /** Length in bytes. */
  readonly byteLength: number;
}

/** Takes what has come in, with system calls that do not wait; `undefined` when nothing has. */
export type Attempt<R> = () => R | undefined;

/**
 * A way to the kernel, one object for each `open()`. Sends go through the core's queue of each socket: the engine takes them from
 * there (`submit`) and reports what became of them to the core and, where they failed, to the socket. Everything else is a
 * promise.
 */
export interface Engine {
  readonly name: EngineName;
  /** Whether sends of this engine can avoid the copy. */
  readonly zeroCopy: boolean;
  /** Flags of the descriptors it works with: SOCK_NONBLOCK, or none. */
  readonly descriptorFlags: number;
  /** Takes a new descriptor into its care. */
  attach(endpoint: Endpoint): void;
  /** Closes the descriptor. */
  detach(endpoint: Endpoint): void;
  /** Hands the kernel as much of the socket's queue as it takes now, or prepares that; the rest follows by itself. */
  submit(endpoint: Endpoint): void;
  /** Enters the kernel for what was prepared; whether the core has events of it. */
  commit(): boolean;
  /** An event of the core that is about neither an accepted nor a released send. */
  event(kind: number, slot: number, generation: number, value: number): void;
  /** Has the kernel stop working on a send that it was given and has not accepted. */
  abandon(id: Handle): void;
  /** Takes back what the kernel has released of one socket. Never waits. */
  collect(endpoint: Endpoint): void;
  /** Delivers all news there is for all sockets. Never waits. */
  poll(): void;
  /** Connects; rejects with the kernel's errno as a RingletError. */
  connect(endpoint: Endpoint, name: Uint8Array, what: string, signal?: AbortSignal): Promise<void>;
  /** Accepts a connection and answers its descriptor. */
  accept(endpoint: Endpoint, signal?: AbortSignal): Promise<number>;
  /** Receives what there is of a stream; `undefined` when there is nothing, or others wait for it already. */
  receiveNow(endpoint: Endpoint, target: Target): number | undefined;
  /**
   * Receives once from a stream, in the order of the calls, when there was nothing before; answers 0 at its end. The caller counts it
   * as pending.
   */
  receive(endpoint: Endpoint, target: Target, signal?: AbortSignal): Promise<number>;
  /**
   * Runs `attempt` until it answers: now, and whenever something may have come in. Those of one socket take turns, in the order of the
   * calls. The caller counts it as pending.
   */
  attempt<R>(endpoint: Endpoint, attempt: Attempt<R>, signal?: AbortSignal): Promise<R>;
  /** Resolves when a receive would not have to wait. */
  readable(endpoint: Endpoint, signal?: AbortSignal): Promise<void>;
  /** Fails everything that waits for something to come in. */
  stop(endpoint: Endpoint, reason: unknown): void;
  /** Fails what is queued, and takes back what the kernel still holds of the socket's sends, at the price of the connection. */
  withdraw(endpoint: Endpoint): void;
  /** Whether pending work keeps the process alive. */
  setRef(ref: boolean): void;
  close(): Promise<void>;
}
