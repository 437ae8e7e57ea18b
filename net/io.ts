/**
 * An `open()`: one arena, one engine, and the sockets made from it.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import type { LeaseOptions } from "./arena.ts";
import { bindUdp, listen, type ListenOptions, type UdpOptions } from "./bind.ts";
import { connect, type ConnectOptions } from "./connect.ts";
import type { EngineName } from "./engine.ts";
import { closedError, RingletError } from "./errors.ts";
import type { Hub } from "./hub.ts";
import type { Lease } from "./lease.ts";
import type { ReapHandler } from "./batch_sends.ts";
import { type CloseOptions, deadlineOf } from "./socket.ts";
import { hubStats, type Stats } from "./stats.ts";
import type { TcpConn, TcpListener, WaitOptions } from "./tcp.ts";
import type { UdpSocket } from "./udp.ts";
import { NO_OPTIONS, notAborted, options as checkOptions } from "./validate.ts";

/** What `open()` chose, and why. */
export interface EngineChoice {
  /** The engine's name. */
  readonly name: EngineName;
  /** Why it and no better one. */
  readonly reason: string;
}

/** What was tried for real at `open()`. */
export interface Capabilities {
  /** SO_ZEROCOPY on TCP (Linux 4.14). */
  readonly zeroCopyTcp: boolean;
  /** SO_ZEROCOPY on UDP (Linux 5.0). */
  readonly zeroCopyUdp: boolean;
  /** Segments that a train of datagrams may have: 128 (Linux 6.9), 64 (4.18), or 1 where there are no trains. */
  readonly udpSegments: number;
  /** Rings in the program's memory, with zero-copy sends (Linux 6.5). `false` too when another engine was asked for. */
  readonly uring: boolean;
  /** Bytes of the arena, from its start, that are registered with the ring. */
  readonly registeredBytes: number;
  /** A send of several leases can use registered memory (Linux 6.15). */
  readonly gathersRegistered: boolean;
}

/** A `struct timespec`, and its bytes. */
const now = new BigInt64Array(2);
const nowBytes = new Uint8Array(now.buffer);

/** Every open io: one that is not closed keeps itself alive. */
const opened = new Set<Io>();

/**
 * The arena, the engine and the sockets of one `open()`. It belongs to the thread that opened it.
 *
 * @example
 * ```ts
 * import { open } from "@ringlet/ringlet";
 * import { assertEquals } from "@std/assert";
 *
 * await using io = await open({ arenaBytes: 1 << 20 });
 * const lease = await io.lease(4096, { alignBytes: 4096 });
 * const { lent, released, inFlight } = io.stats();
 * assertEquals(lent, released + inFlight);
 * lease.release();
 * ```
 */
export class Io {
  /** The engine at work, and why. */
  readonly engine: EngineChoice;
  /** What was tried for real. */
  readonly capabilities: Capabilities;
  readonly #hub: Hub;
  #closing: Promise<void> | undefined;
  /** Nothing more will be told. */
  #ended = false;

  /** @ignore Comes from `open()`. */
  constructor(hub: Hub, engine: EngineChoice, capabilities: Capabilities) {
    this.#hub = hub;
    this.engine = engine;
    this.capabilities = capabilities;
    opened.add(this);
  }

  /**
   * Takes a piece of the arena, as soon as there is room: first come, first served.
   *
   * @param byteLength Its length in bytes, up to the arena's.
   * @param options Its alignment, and a signal to stop waiting.
   * @returns The lease. Its content is whatever was there before.
   * @throws {RingletError} `ERR_OUT_OF_RANGE` for a length that never fits; `ERR_CLOSED`. The signal's reason when it aborts.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * using page = await io.lease(4096, { alignBytes: 4096 });
   * assertEquals(page.byteLength, 4096);
   * ```
   */
  async lease(byteLength: number, options: LeaseOptions & { signal?: AbortSignal } = {}): Promise<Lease> {
    this.#requireOpen();
    checkOptions("options", options, ["alignBytes", "signal"]);
    return await this.#hub.arena.lease(byteLength, options);
  }

  /**
   * Takes a piece of the arena if there is room and nobody waits for it.
   *
   * @param byteLength Its length in bytes, up to the arena's.
   * @param options Its alignment.
   * @returns The lease, or `undefined`.
   * @throws {RingletError} As {@linkcode lease} does for bad input.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * using all = io.tryLease(1 << 20);
   * assertEquals(all?.byteLength, 1 << 20);
   * assertEquals(io.tryLease(1), undefined);
   * ```
   */
  tryLease(byteLength: number, options: LeaseOptions = {}): Lease | undefined {
    this.#requireOpen();
    checkOptions("options", options, ["alignBytes"]);
    return this.#hub.arena.tryLease(byteLength, options);
  }

  /**
   * Connects to a TCP or Unix stream listener.
   *
   * @param options Where to, and how.
   * @returns The connection.
   * @throws {RingletError} `ECONNREFUSED`, `ETIMEDOUT` and the like with the last address tried; `ENOTFOUND` for an unknown
   * name. The runtime's own error when the net permission is missing. The signal's reason when it aborts.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
   * const { port } = listener.localAddr as { port: number };
   * await using conn = await io.connect({ hostname: "localhost", port, timeoutMs: 1000 });
   * assertEquals(conn.remoteAddr, listener.localAddr);
   * ```
   */
  async connect(options: ConnectOptions): Promise<TcpConn> {
    this.#requireOpen();
    return await connect(this.#hub, options);
  }

  /**
   * Listens for TCP or Unix stream connections.
   *
   * @param options Where, and how.
   * @returns The listener.
   * @throws {RingletError} `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` and the like. The runtime's own error when the net
   * permission is missing.
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
   * for await (const peer of listener) {
   *   assertEquals(peer.remoteAddr, conn.localAddr);
   *   await peer.close();
   *   break;
   * }
   * ```
   */
  async listen(options: ListenOptions): Promise<TcpListener> {
    this.#requireOpen();
    return await listen(this.#hub, options);
  }

  /**
   * Makes a UDP socket.
   *
   * @param options Where, and how.
   * @returns The socket.
   * @throws {RingletError} `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` and the like. The runtime's own error when the net
   * permission is missing.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using a = await io.bindUdp({ hostname: "127.0.0.1" });
   * await using b = await io.bindUdp({ hostname: "127.0.0.1", remote: a.localAddr });
   * assertEquals(b.remoteAddr, a.localAddr);
   * ```
   */
  async bindUdp(options: UdpOptions = {}): Promise<UdpSocket> {
    this.#requireOpen();
    return await bindUdp(this.#hub, options);
  }

  /**
   * Hands the kernel what `trySend` has prepared, in as few calls as it allows.
   *
   * @returns How many sockets had something.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using udp = await io.bindUdp({ hostname: "127.0.0.1" });
   * const waiting = new Set<number>();
   * for (let i = 0; i < 10; i++) {
   *   const lease = io.tryLease(1000)!;
   *   lease.bytes.fill(i);
   *   waiting.add(udp.trySend(lease, { to: udp.localAddr }));
   * }
   * assertEquals(io.flush(), 1); // one socket, one call into the kernel
   * while (waiting.size > 0) io.reap((id, event) => event === "released" && waiting.delete(id));
   * ```
   */
  flush(): number {
    this.#requireOpen();
    return this.#hub.flush();
  }

  /**
   * Takes back what the kernel has released, and tells what became of the sends of `trySend`: `accepted` (value: bytes), then
   * `released` (value: 1 if the kernel copied, else 0); or `refused` (value: the errno, 0 if it was given up), and the lease is the
   * program's again; or `failed` (value: the errno) when a part had been accepted, and then `released`. Never waits. After
   * {@linkcode close}, it tells how the sends ended that were not reaped before.
   *
   * @param handler Called for each event; it may send again. A `reap` within it answers 0, for the one outside goes on.
   * @returns How many events there were.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using udp = await io.bindUdp({ hostname: "127.0.0.1" });
   * const waiting = new Set<number>();
   * for (let i = 0; i < 10; i++) {
   *   const lease = io.tryLease(1000)!;
   *   lease.bytes.fill(i);
   *   waiting.add(udp.trySend(lease, { to: udp.localAddr }));
   * }
   * io.flush();
   * let bytes = 0;
   * while (waiting.size > 0) {
   *   io.reap((id, event, value) => {
   *     if (event === "accepted") bytes += value;
   *     if (event === "released" || event === "refused") waiting.delete(id);
   *   });
   * }
   * assertEquals(bytes, 10_000);
   * ```
   */
  reap(handler: ReapHandler): number {
    if (typeof handler !== "function") {
      throw new RingletError("ERR_INVALID_ARG", "Cannot reap: handler must be a function");
    }
    if (this.#closing === undefined) this.#hub.engine.poll();
    this.#hub.dispatch();
    return this.#hub.batch.drain(handler);
  }

  /**
   * Waits until {@linkcode reap} has something to tell; the event loop goes on meanwhile.
   *
   * @param options A signal.
   * @throws {RingletError} `ERR_CLOSED` when the io is closed and everything was told. The signal's reason when it aborts.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using udp = await io.bindUdp({ hostname: "127.0.0.1" });
   * const id = udp.trySend(io.tryLease(1000)!, { to: udp.localAddr });
   * io.flush();
   * const seen: string[] = [];
   * while (!seen.includes("released")) {
   *   await io.reapable();
   *   io.reap((which, event) => {
   *     assertEquals(which, id);
   *     seen.push(event);
   *   });
   * }
   * assertEquals(seen, ["accepted", "released"]);
   * ```
   */
  async reapable(options: WaitOptions = NO_OPTIONS): Promise<void> {
    const { signal } = checkOptions("options", options, ["signal"]);
    notAborted(signal);
    const { batch, reapers } = this.#hub;
    if (batch.ready) return await this.#hub.inTurn(undefined);
    if (this.#ended) throw closedError("io");
    await reapers.wait(undefined, signal);
  }

  /**
   * The clock of `transmitNs`, in nanoseconds since the machine was started (CLOCK_MONOTONIC).
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assert } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * const before = io.monotonicNs();
   * assert(io.monotonicNs() >= before);
   * ```
   */
  monotonicNs(): bigint {
    this.#hub.system.libc.call.clock_gettime(C.CLOCK_MONOTONIC, nowBytes);
    return now[0] * 1_000_000_000n + now[1];
  }

  /** What was lent, released and is in flight, and everything else worth a number. */
  stats(): Stats {
    return hubStats(this.#hub);
  }

  /**
   * Closes every socket as its own `close` does, all at once, and then the io. A second call changes nothing.
   *
   * @param options How long that may take.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * const io = await open({ arenaBytes: 1 << 20 });
   * await io.close({ deadlineMs: 1000 });
   * assertEquals(io.stats().sockets, 0);
   * ```
   */
  close(options: CloseOptions = {}): Promise<void> {
    try {
      const deadlineMs = deadlineOf(options);
      return this.#closing ??= this.#close(deadlineMs);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #close(deadlineMs: number): Promise<void> {
    const hub = this.#hub;
    hub.close();
    await Promise.all([...hub.endpoints].map((endpoint) => endpoint.closing.close(deadlineMs)));
    hub.arena.close();
    hub.recordWaiters.fail(closedError("io"));
    await hub.engine.close();
    this.#ended = true;
    hub.reapers.fail(closedError("io"));
    opened.delete(this);
  }

  /** {@linkcode close} with its default deadline. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #requireOpen(): void {
    if (this.#closing !== undefined) throw closedError("io");
  }
}
