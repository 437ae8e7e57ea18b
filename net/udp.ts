/**
 * UDP sockets.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { encodeNumeric, interfaceIndex, type InternetAddress } from "../ffi/address.ts";
import type { Datagram, ReceivedDatagram } from "./datagram.ts";
import { DatagramReader, type DatagramsOptions } from "./datagram_reader.ts";
import type { EndpointInit, Name } from "./endpoint.ts";
import { RingletError, systemError } from "./errors.ts";
import { Lease } from "./lease.ts";
import type { NetworkError } from "./network_errors.ts";
import { configure, UDP_OPTIONS, type UdpSocketOptions } from "./options.ts";
import type { Receipt } from "./receipt.ts";
import { Destinations } from "./resolve.ts";
import { SEND_OPTIONS, type SendData, type SendOptions, TRY_SEND_OPTIONS } from "./send_turns.ts";
import { Socket } from "./socket.ts";
import type { WaitOptions } from "./tcp.ts";
import { TrainSends } from "./train_sends.ts";
import { NO_OPTIONS, notAborted, options as checkOptions, text } from "./validate.ts";

/** Options of a datagram. */
export interface DatagramOptions extends SendOptions {
  /** The destination; not needed when the socket has a `remote` address. */
  to?: InternetAddress;
  /**
   * Sends trains of datagrams of so many bytes each, the last one shorter: one call into the kernel for up to 128 of them
   * (UDP_SEGMENT, Linux 4.18). At most what the path's MTU allows without its headers; larger segments fail with `EMSGSIZE`.
   */
  segmentBytes?: number;
}

/** Which interface joins a multicast group. */
export interface MulticastOptions {
  /** Name of the interface, such as `eth0`. Default: the kernel chooses by its routes. */
  interface?: string;
}

const TRY_DATAGRAM_OPTIONS = [...TRY_SEND_OPTIONS, "to", "segmentBytes"] as const satisfies (keyof DatagramOptions)[];
const DATAGRAM_OPTIONS = [...SEND_OPTIONS, "to", "segmentBytes"] as const satisfies (keyof DatagramOptions)[];

/** The most that one datagram carries. */
const MAX_BYTES_V4 = 65_507;
const MAX_BYTES_V6 = 65_527;

/**
 * A UDP socket.
 *
 * @example
 * ```ts
 * import { open } from "@ringlet/ringlet";
 * import { assertEquals } from "@std/assert";
 *
 * await using io = await open({ arenaBytes: 1 << 20 });
 * await using receiver = await io.bindUdp({ hostname: "127.0.0.1", port: 0 });
 * await using sender = await io.bindUdp({ hostname: "127.0.0.1", port: 0 });
 *
 * const to = receiver.localAddr;
 * await sender.send(new Uint8Array([1, 2, 3]), { to });
 *
 * using into = await io.lease(1500);
 * const { bytes, from } = await receiver.recv(into);
 * assertEquals(bytes, 3);
 * assertEquals(from, sender.localAddr);
 * ```
 */
export class UdpSocket extends Socket {
  readonly #destinations: Destinations;
  readonly #trains: TrainSends;
  readonly #reader: DatagramReader;

  /** @ignore Sockets come from `io.bindUdp()`. */
  constructor(init: EndpointInit, remote?: InternetAddress) {
    const maxBytes = init.family === C.AF_INET6 ? MAX_BYTES_V6 : MAX_BYTES_V4;
    super(init, maxBytes);
    this.#trains = new TrainSends(this.endpoint, this.turns, maxBytes);
    this.endpoint.remote = remote;
    this.#destinations = new Destinations(init.hub.system, init.family);
    this.#reader = new DatagramReader(this.endpoint);
  }

  /** The address this socket is bound to. */
  override get localAddr(): InternetAddress {
    return super.localAddr as InternetAddress;
  }

  /** The only peer, if the socket was bound with one. */
  override get remoteAddr(): InternetAddress | undefined {
    return super.remoteAddr as InternetAddress | undefined;
  }

  /**
   * Sends one datagram; with `segmentBytes` a train of them, or several, with one receipt.
   *
   * @param data A lease, which the send consumes (see {@linkcode Lease}); bytes, which are copied into one; or up to 16 of
   * them, which make one datagram or train. At most 65,507 bytes over IPv4, 65,527 over IPv6; `new Uint8Array(0)` is an empty one.
   * With `segmentBytes` a lease or bytes may be longer.
   * @param options The destination, the size of segments, a range of a single lease, and a signal.
   * @returns A receipt as soon as the kernel has accepted the datagram. Its `released` tells when the memory is free again.
   * @throws {RingletError} `EMSGSIZE`, `EDESTADDRREQ`, `EACCES` (broadcast), `ECONNREFUSED` (a peer's answer to an earlier
   * datagram of a socket with `remote`), `ENOTFOUND`; the leases are the program's again.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using receiver = await io.bindUdp({ hostname: "127.0.0.1" });
   * await using sender = await io.bindUdp({ hostname: "127.0.0.1" });
   * const lease = await io.lease(60_000);
   * const receipt = await sender.send(lease, { to: receiver.localAddr, byteLength: 50_000 });
   * assertEquals(receipt.bytes, 50_000);
   *
   * // 5,000 bytes as datagrams of 1,400, 1,400, 1,400 and 800
   * const train = await sender.send(await io.lease(5000), { to: receiver.localAddr, segmentBytes: 1400 });
   * assertEquals(train.bytes, 5000);
   * ```
   */
  send(data: SendData | readonly SendData[], options: DatagramOptions = NO_OPTIONS): Promise<Receipt> {
    try {
      if (options !== NO_OPTIONS) checkOptions("options", options, DATAGRAM_OPTIONS);
      if (options.to === undefined) return this.#sendTo(this.#connected(), data, options);
      const name = this.#destinations.now(options.to);
      if (name !== undefined) return this.#sendTo(name, data, options);
      if (options.segmentBytes === undefined) this.turns.check(data, options);
      notAborted(options.signal);
      const { stopped } = this.endpoint.closing;
      const signal = options.signal === undefined ? stopped : AbortSignal.any([options.signal, stopped]);
      return this.#destinations.later(options.to, signal).then((name) => this.#sendTo(name, data, options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Prepares a datagram without a promise. It goes out with the next `io.flush()`, and `io.reap()` tells what became of it.
   *
   * @param lease The lease to send, which is consumed.
   * @param options A range of it, and a numeric destination.
   * @returns The send's number, or -1 when every record is in use: flush, reap, and try again.
   * @throws {RingletError} As {@linkcode send} does for bad input.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using receiver = await io.bindUdp({ hostname: "127.0.0.1" });
   * await using sender = await io.bindUdp({ hostname: "127.0.0.1" });
   * const lease = io.tryLease(1000)!;
   * const id = sender.trySend(lease, { to: receiver.localAddr });
   * io.flush();
   * io.reap((which) => assertEquals(which, id));
   * using into = await io.lease(1500);
   * assertEquals((await receiver.recv(into)).bytes, 1000);
   * ```
   */
  trySend(lease: Lease, options: Omit<DatagramOptions, "signal"> = NO_OPTIONS): number {
    if (options !== NO_OPTIONS) checkOptions("options", options, TRY_DATAGRAM_OPTIONS);
    const { to } = options;
    const name = to === undefined ? this.#connected() : this.#destinations.now(to);
    if (to !== undefined && name === undefined) {
      throw new RingletError(
        "ERR_INVALID_ARG",
        `Cannot try to send to "${to.hostname}": trySend takes numeric addresses`,
        {
          advice: "resolve the name first, or use send()",
        },
      );
    }
    const { segmentBytes } = options;
    if (segmentBytes === undefined || !(lease instanceof Lease)) {
      return this.trySendTo(lease, name && { name }, options);
    }
    return this.trySendTo(lease, this.#trains.headerOfOne(lease, name, segmentBytes, options), options);
  }

  #sendTo(
    name: Name | undefined,
    data: SendData | readonly SendData[],
    options: DatagramOptions,
  ): Promise<Receipt> {
    const { segmentBytes } = options;
    if (segmentBytes === undefined) return this.sendTo(data, name && { name }, options);
    this.endpoint.closing.requireWritable();
    return this.#trains.send(data, name, segmentBytes, options);
  }

  /**
   * Segments that one call into the kernel may carry with `segmentBytes`: 128 or 64, by the kernel; 1 where it takes no trains, and
   * since it, or the device that the datagrams left through, refused one. Sends go on then, segment by segment.
   */
  get maxSegments(): number {
    return this.endpoint.maxSegments;
  }

  #connected(): undefined {
    if (this.endpoint.remote !== undefined) return undefined;
    throw new RingletError("EDESTADDRREQ", "Cannot send: there is no destination", {
      advice: "pass `to`, or bind the socket with `remote`",
    });
  }

  /**
   * Receives one datagram into the front of a lease. The lease is lent meanwhile.
   *
   * @param lease Where to; a longer datagram is truncated.
   * @param options A signal; giving up loses no datagram.
   * @returns Its length and sender, and what the socket's `receive…` options ask for.
   * @throws {RingletError} `ERR_CLOSED` when this socket was closed meanwhile, `ERR_LEASE_*` for a lease that cannot be filled.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using receiver = await io.bindUdp({ hostname: "127.0.0.1" });
   * await using sender = await io.bindUdp({ hostname: "127.0.0.1" });
   * await sender.send(new Uint8Array(100), { to: receiver.localAddr });
   * using into = await io.lease(60);
   * assertEquals(await receiver.recv(into), { bytes: 60, from: sender.localAddr, truncated: true });
   * ```
   */
  recv(lease: Lease, options: WaitOptions = NO_OPTIONS): Promise<Datagram> {
    return this.#reader.recv(lease, options);
  }

  /**
   * Receives what there is, a datagram into the front of each lease from the first one on, with one system call. Waits until there is
   * one at least. All leases are lent meanwhile.
   *
   * @param leases Where to, 1 to 64 leases; a longer datagram is truncated.
   * @param options A signal; giving up loses no datagram.
   * @returns What came, in order, each with its lease; the leases behind those are as before.
   * @throws {RingletError} `ERR_CLOSED` when this socket was closed meanwhile, `ERR_LEASE_*` for a lease that cannot be filled or
   * is there twice, `ERR_OUT_OF_RANGE` for too many leases or none.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using receiver = await io.bindUdp({ hostname: "127.0.0.1" });
   * await using sender = await io.bindUdp({ hostname: "127.0.0.1" });
   * for (const value of [1, 2, 3]) await sender.send(new Uint8Array([value]), { to: receiver.localAddr });
   *
   * const leases = await Promise.all(Array.from({ length: 32 }, () => io.lease(1500)));
   * const values = [];
   * while (values.length < 3) {
   *   for (const { lease, bytes } of await receiver.recvMany(leases)) values.push(...lease.bytes.subarray(0, bytes));
   * }
   * assertEquals(values, [1, 2, 3]);
   * for (const lease of leases) lease.release();
   * ```
   */
  recvMany(leases: readonly Lease[], options: WaitOptions = NO_OPTIONS): Promise<ReceivedDatagram[]> {
    return this.#reader.recvMany(leases, options);
  }

  /**
   * Datagrams as they come, each in a lease that is the program's to release, to keep, or to send on. Many are read with one system
   * call. When the arena has no room the loop waits for some, and the kernel keeps what comes, as far as `receiveBufferBytes` goes.
   *
   * The loop ends when the socket is closed or the signal is aborted. What it had read and not come to when it was left goes to
   * whoever receives next from this socket; only {@linkcode close} drops it.
   *
   * @param options How much is read at once, and a signal.
   * @returns Datagrams with their leases.
   * @throws {RingletError} `ERR_OUT_OF_RANGE` for bad options; in the loop `ECONNREFUSED` for a socket with `remote`. The socket
   * stays open then, and another loop goes on.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using echo = await io.bindUdp({ hostname: "127.0.0.1" });
   * await using client = await io.bindUdp({ hostname: "127.0.0.1", remote: echo.localAddr });
   * await client.send(new TextEncoder().encode("hello"));
   * for await (const { lease, bytes, from } of echo.datagrams({ leaseBytes: 2048 })) {
   *   await echo.send(lease, { to: from, byteLength: bytes }); // answered from where it is
   *   break;
   * }
   * using into = await io.lease(100);
   * assertEquals((await client.recv(into)).bytes, 5);
   * ```
   */
  datagrams(options: DatagramsOptions = NO_OPTIONS): AsyncIterableIterator<ReceivedDatagram> {
    return this.#reader.datagrams(options);
  }

  /**
   * What the network answers to datagrams that could not be delivered, for a socket that was bound with `errors: true`. Such answers
   * come late and may be lost or forged, so they are hints. The loop ends when the socket is closed or the signal is aborted; of what
   * nobody takes the last 256 are kept. With several loops each answer goes to one of them.
   *
   * @param options A signal.
   * @returns The answers, from those kept on.
   * @throws {RingletError} `ERR_INVALID_ARG` when the socket was bound without `errors: true`.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * const gone = await io.bindUdp({ hostname: "127.0.0.1" });
   * const to = gone.localAddr;
   * await gone.close();
   * await using udp = await io.bindUdp({ hostname: "127.0.0.1", errors: true });
   * await udp.send(new Uint8Array(100), { to });
   * for await (const error of udp.errors()) {
   *   assertEquals([error.code, error.to, error.reporter], ["ECONNREFUSED", to, "127.0.0.1"]);
   *   break;
   * }
   * ```
   */
  errors(options: WaitOptions = NO_OPTIONS): AsyncIterableIterator<NetworkError> {
    const { signal } = checkOptions("options", options, ["signal"]);
    notAborted(signal);
    this.endpoint.requireOpen();
    const { errors, closing: { stopped } } = this.endpoint;
    if (errors === undefined) {
      throw new RingletError("ERR_INVALID_ARG", "Cannot tell errors: the socket does not ask for them", {
        advice: "bind it with `errors: true`",
      });
    }
    return errors.iterate(this.endpoint, signal === undefined ? stopped : AbortSignal.any([signal, stopped]));
  }

  /** Changes options of the open socket. */
  configure(options: UdpSocketOptions): void {
    this.endpoint.requireOpen();
    configure(this.endpoint.hub.system, this.endpoint.fd, this.endpoint.family, options, UDP_OPTIONS);
  }

  /**
   * Joins a multicast group.
   *
   * @param group The group's address.
   * @param options The interface.
   * @throws {RingletError} `EINVAL` for an address that is no multicast group, `ENODEV` for an unknown interface,
   * `EADDRINUSE` when the group was joined before.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using udp = await io.bindUdp({ hostname: "0.0.0.0" });
   * udp.joinMulticast("239.1.2.3", { interface: "lo" });
   * udp.leaveMulticast("239.1.2.3", { interface: "lo" });
   * assertEquals(udp.localAddr.hostname, "0.0.0.0");
   * ```
   */
  joinMulticast(group: string, options: MulticastOptions = {}): void {
    this.#membership("join", group, options);
  }

  /** Leaves a multicast group that was joined with the same arguments. */
  leaveMulticast(group: string, options: MulticastOptions = {}): void {
    this.#membership("leave", group, options);
  }

  #membership(action: "join" | "leave", group: string, options: MulticastOptions): void {
    this.endpoint.requireOpen();
    checkOptions("options", options, ["interface"]);
    const { system } = this.endpoint.hub;
    const address = encodeNumeric(system, text("group", group), 0);
    if (address === undefined) {
      throw new RingletError("ERR_INVALID_ARG", `group must be an IP address: current value is "${group}"`);
    }
    const index = options.interface === undefined ? 0 : interfaceIndex(system, text("interface", options.interface));
    if (options.interface !== undefined && index === 0) {
      throw new RingletError("ENODEV", `Cannot ${action} ${group}: there is no interface "${options.interface}"`);
    }
    const v6 = address.family === C.AF_INET6;
    const { ip_mreqn, ipv6_mreq, sockaddr_in, sockaddr_in6 } = layout;
    const request = new Uint8Array(v6 ? ipv6_mreq.size : ip_mreqn.size);
    const ip = v6
      ? address.bytes.subarray(sockaddr_in6.sin6_addr, sockaddr_in6.sin6_addr + 16)
      : address.bytes.subarray(sockaddr_in.sin_addr, sockaddr_in.sin_addr + 4);
    request.set(ip, v6 ? ipv6_mreq.ipv6mr_multiaddr : ip_mreqn.imr_multiaddr);
    new DataView(request.buffer).setInt32(v6 ? ipv6_mreq.ipv6mr_interface : ip_mreqn.imr_ifindex, index, true);
    const option = v6
      ? { join: C.IPV6_ADD_MEMBERSHIP, leave: C.IPV6_DROP_MEMBERSHIP }[action]
      : { join: C.IP_ADD_MEMBERSHIP, leave: C.IP_DROP_MEMBERSHIP }[action];
    const level = v6 ? C.IPPROTO_IPV6 : C.IPPROTO_IP;
    if (system.libc.call.setsockopt(this.endpoint.fd, level, option, request, request.length) < 0) {
      throw systemError("setsockopt", system.libc.errno(), `${action} ${group}`);
    }
  }
}
