/**
 * TCP connections and listeners, and Unix stream sockets, which only copy.
 *
 * @module
 */
import type { InternetAddress, UnixAddress } from "../ffi/address.ts";
import { C } from "../ffi/abi.ts";
import type { SocketFile } from "../ffi/socket_file.ts";
import { Endpoint, type EndpointInit } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import type { Flow } from "./flow.ts";
import { Lease } from "./lease.ts";
import { applySettings, configure, TCP_OPTIONS, type TcpSocketOptions, UNIX_OPTIONS } from "./options.ts";
import type { Receipt } from "./receipt.ts";
import { SEND_OPTIONS, type SendData, type SendOptions, TRY_SEND_OPTIONS } from "./send_turns.ts";
import { type CloseOptions, deadlineOf, Socket } from "./socket.ts";
import { readableOf, writableOf } from "./streams.ts";
import { NO_OPTIONS, notAborted, options as checkOptions } from "./validate.ts";

/** Options of calls that wait. */
export interface WaitOptions {
  /** Gives the call up. */
  signal?: AbortSignal;
}

/**
 * A stream to a peer: TCP, or a Unix socket.
 *
 * @example
 * ```ts
 * import { open } from "@ringlet/ringlet";
 * import { assertEquals } from "@std/assert";
 *
 * await using io = await open({ arenaBytes: 1 << 20 });
 * await using listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
 * const { port } = listener.localAddr as { port: number };
 * await using conn = await io.connect({ hostname: "127.0.0.1", port });
 * await using peer = await listener.accept();
 *
 * const lease = await io.lease(5);
 * lease.bytes.set(new TextEncoder().encode("hello"));
 * const receipt = await conn.send(lease);
 * await receipt.released;
 *
 * using into = await io.lease(100);
 * assertEquals(await peer.recv(into), 5);
 * assertEquals(new TextDecoder().decode(into.bytes.slice(0, 5)), "hello");
 * ```
 */
export class TcpConn extends Socket {
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;

  /** @ignore */
  constructor(init: EndpointInit, remote?: InternetAddress | UnixAddress) {
    super(init);
    this.endpoint.remote = remote;
  }

  /** The peer's address; empty when the peer was gone before anybody asked. */
  override get remoteAddr(): InternetAddress | UnixAddress | undefined {
    const { endpoint } = this;
    if (endpoint.remote === undefined && !endpoint.closing.begun) {
      try {
        endpoint.remote = endpoint.address("getpeername");
      } catch {
        return undefined;
      }
    }
    return endpoint.remote;
  }

  /**
   * Sends bytes, in the order of the calls.
   *
   * @param data A lease, which the send consumes (see {@linkcode Lease}); bytes, which are copied into one; or up to 16 of
   * them, which go out as one.
   * @param options A range of a single lease, and a signal.
   * @returns A receipt as soon as the kernel has accepted everything. Its `released` tells when the memory is free again.
   * @throws {RingletError} With `bytesAccepted`. When that is 0 every lease is the program's again; otherwise `released` tells
   * when the rest is. `EPIPE` and `ECONNRESET` when the connection is gone, `ERR_LEASE_*` for a lease that cannot be sent.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
   * const { port } = listener.localAddr as { port: number };
   * await using conn = await io.connect({ hostname: "127.0.0.1", port });
   * await using peer = await listener.accept();
   * const header = new TextEncoder().encode("len=4\n");
   * const payload = await io.lease(4);
   * payload.bytes.set([1, 2, 3, 4]);
   * const receipt = await conn.send([header, payload]);
   * assertEquals(receipt.bytes, 10);
   * await receipt.released;
   * using into = await io.lease(100);
   * assertEquals(await peer.recv(into), 10);
   * ```
   */
  send(data: SendData | readonly SendData[], options: SendOptions = {}): Promise<Receipt> {
    try {
      checkOptions("options", options, SEND_OPTIONS);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.sendTo(data, undefined, options);
  }

  /**
   * Prepares a send without a promise. It goes out with the next `io.flush()`, and `io.reap()` tells what became of it.
   *
   * @param lease The lease to send, which is consumed.
   * @param options A range of it.
   * @returns The send's number, or -1 when every record is in use: flush, reap, and try again.
   * @throws {RingletError} As {@linkcode send} does for bad input.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
   * const { port } = listener.localAddr as { port: number };
   * await using conn = await io.connect({ hostname: "127.0.0.1", port });
   * await using peer = await listener.accept();
   * const lease = io.tryLease(1000)!;
   * const id = conn.trySend(lease, { byteLength: 500 });
   * io.flush();
   * io.reap((which, event, value) => event === "accepted" && assertEquals([which, value], [id, 500]));
   * using into = await io.lease(1000);
   * assertEquals(await peer.recv(into), 500);
   * ```
   */
  trySend(lease: Lease, options: Omit<SendOptions, "signal"> = NO_OPTIONS): number {
    if (options !== NO_OPTIONS) checkOptions("options", options, TRY_SEND_OPTIONS);
    return this.trySendTo(lease, undefined, options);
  }

  /**
   * Receives what has come, at least one byte, into the front of a lease. The lease is lent meanwhile.
   *
   * @param lease Where to.
   * @param options A signal; giving up loses no bytes.
   * @returns The number of bytes, or `null` at the end of the stream: the peer has closed its side.
   * @throws {RingletError} `ECONNRESET` when the peer reset the connection, `ERR_CLOSED` when this side closed it meanwhile.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
   * const { port } = listener.localAddr as { port: number };
   * await using conn = await io.connect({ hostname: "127.0.0.1", port });
   * await using peer = await listener.accept();
   * await conn.send(new Uint8Array([1, 2, 3]));
   * await conn.closeWrite();
   * using into = await io.lease(100);
   * assertEquals(await peer.recv(into), 3);
   * assertEquals(await peer.recv(into), null);
   * ```
   */
  async recv(lease: Lease, options: WaitOptions = {}): Promise<number | null> {
    const { endpoint } = this;
    checkReceive(endpoint, [lease], options);
    const { hub } = endpoint;
    const { arena, engine } = hub;
    arena.lend(lease);
    try {
      let bytes = engine.receiveNow(endpoint, lease);
      if (bytes === undefined) bytes = await endpoint.pending(() => engine.receive(endpoint, lease, options.signal));
      else if (hub.turnIsDue()) await hub.inTurn(undefined);
      return bytes === 0 ? null : bytes;
    } finally {
      arena.handBack(lease);
    }
  }

  /**
   * What comes in, as a stream of fresh arrays. Closing the stream leaves the connection open.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
   * const { port } = listener.localAddr as { port: number };
   * await using conn = await io.connect({ hostname: "127.0.0.1", port });
   * await using peer = await listener.accept();
   * await conn.send(new TextEncoder().encode("hello"));
   * await conn.closeWrite();
   * const text = await new Response(peer.readable).text();
   * assertEquals(text, "hello");
   * ```
   */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#readable ??= readableOf(this, this.endpoint);
  }

  /**
   * What goes out, as a stream. Closing it is {@linkcode closeWrite}; aborting it resets the connection.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
   * const { port } = listener.localAddr as { port: number };
   * await using conn = await io.connect({ hostname: "127.0.0.1", port });
   * await using peer = await listener.accept();
   * await new Blob(["hello"]).stream().pipeTo(conn.writable);
   * assertEquals(await new Response(peer.readable).text(), "hello");
   * ```
   */
  get writable(): WritableStream<Uint8Array> {
    return this.#writable ??= writableOf(this);
  }

  /**
   * Changes options of the open connection.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
   * const { port } = listener.localAddr as { port: number };
   * await using conn = await io.connect({ hostname: "127.0.0.1", port });
   * await using peer = await listener.accept();
   * conn.configure({ noDelay: true, keepAlive: true, keepAliveIdleSeconds: 60 });
   * assertEquals(peer.remoteAddr, conn.localAddr);
   * ```
   */
  configure(options: TcpSocketOptions): void {
    const { hub, fd, family } = this.endpoint;
    this.endpoint.requireOpen("connection");
    if (family === C.AF_UNIX) configure(hub.system, fd, family, options, UNIX_OPTIONS);
    else configure(hub.system, fd, family, options, TCP_OPTIONS);
  }

  /** @ignore */
  async connect(name: Uint8Array, what: string, signal: AbortSignal): Promise<void> {
    await this.endpoint.hub.engine.connect(this.endpoint, name, what, signal);
    this.endpoint.remote = this.endpoint.address("getpeername");
  }

  /**
   * Ends this side of the stream after everything queued; receiving goes on. A second call changes nothing.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
   * const { port } = listener.localAddr as { port: number };
   * await using conn = await io.connect({ hostname: "127.0.0.1", port });
   * await using peer = await listener.accept();
   * await conn.closeWrite();
   * using into = await io.lease(100);
   * assertEquals(await peer.recv(into), null);
   * await peer.send(new Uint8Array(7)); // the other direction is still open
   * assertEquals(await conn.recv(into), 7);
   * ```
   */
  async closeWrite(): Promise<void> {
    await this.endpoint.closing.closeWrite();
  }
}

/** Refuses what a receive cannot do anything with. */
export function checkReceive(endpoint: Endpoint, leases: readonly unknown[], options: WaitOptions): void {
  checkOptions("options", options, ["signal"]);
  notAborted(options.signal);
  endpoint.requireOpen();
  if (leases.every((lease) => lease instanceof Lease)) return;
  throw new RingletError("ERR_INVALID_ARG", "Cannot receive: the bytes go into a Lease", {
    advice: "take one with io.lease()",
  });
}

/** A socket that accepts streams. */
export class TcpListener implements AsyncIterable<TcpConn> {
  readonly #endpoint: Endpoint;
  readonly #options: TcpSocketOptions;
  readonly #flow: Flow;
  #localAddr: InternetAddress | UnixAddress | undefined;

  /** @ignore Listeners come from `io.listen()`. */
  constructor(
    init: Omit<EndpointInit, "policy" | "maxInFlightBytes">,
    flow: Flow,
    options: TcpSocketOptions,
    file?: SocketFile,
  ) {
    this.#endpoint = new Endpoint({ ...init, ...flow() });
    this.#flow = flow;
    this.#options = options;
    if (file !== undefined) this.#endpoint.closing.stopped.addEventListener("abort", () => file.remove());
  }

  /** The address this listener is bound to. */
  get localAddr(): InternetAddress | UnixAddress {
    return this.#localAddr ??= this.#endpoint.address("getsockname");
  }

  /**
   * Accepts the next connection.
   *
   * @param options A signal.
   * @returns The connection.
   * @throws {RingletError} `ERR_CLOSED` when the listener was closed meanwhile, `EMFILE` when descriptors have run out.
   */
  async accept(options: WaitOptions = {}): Promise<TcpConn> {
    checkOptions("options", options, ["signal"]);
    notAborted(options.signal);
    this.#endpoint.requireOpen("listener");
    const { hub, family } = this.#endpoint;
    const fd = await hub.engine.accept(this.#endpoint, options.signal);
    const names = family === C.AF_UNIX ? UNIX_OPTIONS : TCP_OPTIONS;
    try {
      applySettings(hub.system, fd, family, this.#options, names);
    } catch (error) {
      hub.system.libc.call.close(fd);
      throw error;
    }
    return new TcpConn({ ...this.#flow(), hub, fd, family, stream: true });
  }

  /**
   * Connections as they come, until the listener is closed. An accept that fails, as with `EMFILE` when descriptors have run out,
   * ends the loop with its error. The listener stays open, and so do the connections that wait: another loop goes on.
   */
  async *[Symbol.asyncIterator](): AsyncIterator<TcpConn> {
    while (!this.#endpoint.closing.begun) {
      let conn: TcpConn;
      try {
        conn = await this.accept();
      } catch (error) {
        if (this.#endpoint.closing.begun) return;
        throw error;
      }
      yield conn;
    }
  }

  /** Lets a pending accept keep the process alive again. */
  ref(): void {
    this.#endpoint.setRef(true);
  }

  /** Lets the process end although an accept is pending. */
  unref(): void {
    this.#endpoint.setRef(false);
  }

  /** Stops listening, and removes the file of a Unix listener. Accepted connections stay. A second call changes nothing. */
  async close(options: CloseOptions = {}): Promise<void> {
    deadlineOf(options);
    await this.#endpoint.closing.close(0);
  }

  /** {@linkcode close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
