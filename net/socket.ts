/**
 * What TCP connections and UDP sockets have in common.
 *
 * @module
 */
import type { InternetAddress, UnixAddress } from "../ffi/address.ts";
import { Endpoint, type EndpointInit } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import { Lease } from "./lease.ts";
import type { Receipt } from "./receipt.ts";
import type { Header } from "./send_queue.ts";
import { type SendData, type SendOptions, SendTurns } from "./send_turns.ts";
import { type SocketStats, socketStats } from "./stats.ts";
import { layout } from "../wasm/mod.ts";
import { integer, options as checkOptions } from "./validate.ts";

const { SEND_FLAG } = layout;

/** Options of `close`. */
export interface CloseOptions {
  /** How long what is in flight may take, in milliseconds. Default 5000. 0 is `abort()`. */
  deadlineMs?: number;
}

/** Default of {@linkcode CloseOptions.deadlineMs}. */
const DEADLINE_MS = 5000;

function noLease(): RingletError {
  return new RingletError("ERR_INVALID_ARG", "Cannot send: trySend takes a Lease; send() also takes a Uint8Array");
}

/** The checked deadline of a close. */
export function deadlineOf(options: CloseOptions): number {
  checkOptions("options", options, ["deadlineMs"]);
  return integer("deadlineMs", options.deadlineMs ?? DEADLINE_MS, 0, 2 ** 31 - 1);
}

/** See the module. */
export abstract class Socket {
  /** @ignore */
  protected readonly endpoint: Endpoint;
  /** @ignore */
  protected readonly turns: SendTurns;
  #localAddr: InternetAddress | UnixAddress | undefined;

  /** @ignore Sockets come from `io.connect()`, `io.listen()` and `io.bindUdp()`. */
  constructor(init: EndpointInit, maxSendBytes = Infinity) {
    this.endpoint = new Endpoint(init);
    this.turns = new SendTurns(this.endpoint, init.maxInFlightBytes, maxSendBytes);
  }

  /** The address this socket is bound to. */
  get localAddr(): InternetAddress | UnixAddress {
    return this.#localAddr ??= this.endpoint.address("getsockname");
  }

  /** The peer's address, if the socket has one. */
  get remoteAddr(): InternetAddress | UnixAddress | undefined {
    return this.endpoint.remote;
  }

  /** @ignore */
  protected sendTo(
    data: SendData | readonly SendData[],
    header: Header | undefined,
    options: SendOptions,
  ): Promise<Receipt> {
    return this.turns.send(data, header, options);
  }

  /** @ignore */
  protected trySendTo(lease: Lease, header: Header | undefined, options: Omit<SendOptions, "signal">): number {
    const { endpoint } = this;
    endpoint.closing.requireWritable();
    if (!(lease instanceof Lease)) throw noLease();
    const { offset, byteLength } = this.turns.range(lease, options);
    const { batch, core, recordWaiters } = endpoint.hub;
    if (this.turns.busy || recordWaiters.size > 0) return -1;
    const slot = endpoint.sends.enqueueOne(lease, offset, byteLength, header, SEND_FLAG.REAPED | SEND_FLAG.AT_ONCE);
    return slot < 0 ? -1 : batch.numberOf(slot, core.u32[core.out]);
  }

  /** Lets pending operations of this socket keep the process alive again. */
  ref(): void {
    this.endpoint.setRef(true);
  }

  /** Lets the process end although operations of this socket are pending. */
  unref(): void {
    this.endpoint.setRef(false);
  }

  /** What this socket did, and what it has in flight. */
  stats(): SocketStats {
    return socketStats(this.endpoint);
  }

  /**
   * Closes the socket: what is queued goes out, what the kernel accepted stays accepted, and every loan ends before the descriptor
   * does. At the deadline queued sends fail with `ECANCELED` and the kernel is made to return its loans, at the price of the
   * connection. A second call changes nothing.
   *
   * @param options How long that may take.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    await this.endpoint.closing.close(deadlineOf(options));
  }

  /** Closes now: resets a connection, cancels what is queued, and takes every loan back. */
  async abort(): Promise<void> {
    await this.endpoint.closing.close(0);
  }

  /** {@linkcode close} with its default deadline. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
