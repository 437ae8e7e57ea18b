/**
 * UDP sockets.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import type { InternetAddress } from "../ffi/address.ts";
import type { Datagram, ReceivedDatagram } from "./datagram.ts";
import { DatagramReader, type DatagramsOptions } from "./datagram_reader.ts";
import { type DatagramOptions, DatagramSends, type OutgoingDatagram } from "./datagram_sends.ts";
import type { Destination } from "./destinations.ts";
import type { EndpointInit } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import type { Lease } from "./lease.ts";
import type { BatchReceipt } from "./many_sends.ts";
import { changeMembership, type MulticastOptions } from "./multicast.ts";
import type { NetworkError } from "./network_errors.ts";
import { either } from "./on_abort.ts";
import { configure, getOption, UDP_OPTIONS, type UdpSocketOptions } from "./options.ts";
import type { Receipt } from "./receipt.ts";
import type { SendData } from "./send_turns.ts";
import { Socket } from "./socket.ts";
import type { WaitOptions } from "./tcp.ts";
import { NO_OPTIONS, notAborted, options as checkOptions } from "./validate.ts";

/** The most that one datagram carries on a socket of an address family. */
export function maxDatagramBytes(family: number): number {
  return family === C.AF_INET6 ? 65_527 : 65_507;
}

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
  readonly #sends: DatagramSends;
  readonly #reader: DatagramReader;

  /** @ignore Sockets come from `io.bindUdp()`. */
  constructor(init: EndpointInit, remote?: InternetAddress, transmitTimes = false) {
    const maxBytes = maxDatagramBytes(init.family);
    super(init, maxBytes);
    this.endpoint.remote = remote;
    this.#sends = new DatagramSends(this.endpoint, this.turns, maxBytes, transmitTimes);
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
    return this.#sends.send(data, options);
  }

  /**
   * Sends many datagrams, to whomever, with one entry into the kernel (or as few as it allows), in order. A lease may be in the batch
   * many times: it is sent from where it is, and consumed when the last of those sends is released.
   *
   * @param batch Datagrams or trains, each with its own options, as {@linkcode send} takes them.
   * @param options A signal, which gives up what the kernel has not accepted.
   * @returns What became of each, as soon as that is known of all; one that fails does not stop the others.
   * @throws {RingletError} As {@linkcode send} does for bad input, of any of them: then nothing was sent. The signal's reason if it
   * was aborted before.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using a = await io.bindUdp({ hostname: "127.0.0.1" });
   * await using b = await io.bindUdp({ hostname: "127.0.0.1" });
   * await using sender = await io.bindUdp({ hostname: "127.0.0.1" });
   * const sent = await sender.sendMany([
   *   { data: await io.lease(1000), to: a.localAddr },
   *   { data: new Uint8Array(10), to: b.localAddr, ecn: 2 },
   *   { data: new Uint8Array(5000), to: b.localAddr, segmentBytes: 1400 },
   * ]);
   * assertEquals([sent.accepted, ...sent.bytes], [3, 1000, 10, 5000]);
   * assertEquals(sent.errors.size, 0);
   * await sent.released;
   * ```
   */
  sendMany(batch: Iterable<OutgoingDatagram>, options: WaitOptions = NO_OPTIONS): Promise<BatchReceipt> {
    return this.#sends.sendMany(batch, options);
  }

  /**
   * Sends one lease to many destinations, from where it is: it is copied for none of them, and consumed when the last of the sends is
   * released. `retain()` it to send it again.
   *
   * @param lease The lease.
   * @param destinations Where to; {@linkcode destination} makes some that cost the least.
   * @param options What {@linkcode send} takes besides, for all of them.
   * @returns What became of each, in the order of `destinations`; one that fails does not stop the others.
   * @throws {RingletError} As {@linkcode sendMany} does.
   *
   * @example
   * ```ts
   * import { open } from "@ringlet/ringlet";
   * import { assertEquals } from "@std/assert";
   *
   * await using io = await open({ arenaBytes: 1 << 20 });
   * await using sender = await io.bindUdp({ hostname: "127.0.0.1" });
   * const viewers = await Promise.all(Array.from({ length: 100 }, () => io.bindUdp({ hostname: "127.0.0.1" })));
   * const to = await Promise.all(viewers.map((viewer) => sender.destination(viewer.localAddr)));
   * using frame = (await io.lease(1200)).retain();
   * const { accepted, released } = await sender.fanOut(frame, to);
   * assertEquals(accepted, 100);
   * await released; // the frame may be written again
   * ```
   */
  fanOut(
    lease: Lease,
    destinations: Iterable<InternetAddress>,
    options: Omit<DatagramOptions, "to"> = NO_OPTIONS,
  ): Promise<BatchReceipt> {
    return this.#sends.fanOut(lease, destinations, options);
  }

  /**
   * Resolves an address, asks for the permission to send there, and encodes it, once for many sends.
   *
   * @param to A host and a port.
   * @param options A signal.
   * @returns What `to` takes wherever it takes an address.
   * @throws {RingletError} `ENOTFOUND`, `EAFNOSUPPORT` when it has no address of the socket's family. The runtime's own error when
   * the net permission is missing.
   */
  destination(to: InternetAddress, options: WaitOptions = NO_OPTIONS): Promise<Destination> {
    return this.#sends.destination(to, checkOptions("options", options, ["signal"]));
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
    return this.trySendTo(lease, this.#sends.tryHeader(lease, options), options);
  }

  /**
   * Segments that one call into the kernel may carry with `segmentBytes`: 128 or 64, by the kernel; 1 where it takes no trains, and
   * since it, or the device that the datagrams left through, refused one. Sends go on then, segment by segment.
   */
  get maxSegments(): number {
    return this.endpoint.sends.maxSegments;
  }

  /**
   * The largest packet that passes on the way to the socket's only peer, as far as the kernel knows, in bytes with headers (IP_MTU);
   * `undefined` without `remote`.
   */
  get pathMtuBytes(): number | undefined {
    const { hub: { system }, fd, family, remote } = this.endpoint;
    this.endpoint.requireOpen();
    if (remote === undefined) return undefined;
    return family === C.AF_INET6
      ? getOption(system, fd, C.IPPROTO_IPV6, C.IPV6_MTU)
      : getOption(system, fd, C.IPPROTO_IP, C.IP_MTU);
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
    return errors.iterate(this.endpoint, either(signal, stopped));
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
    changeMembership(this.endpoint, "join", group, options);
  }

  /** Leaves a multicast group that was joined with the same arguments. */
  leaveMulticast(group: string, options: MulticastOptions = {}): void {
    changeMembership(this.endpoint, "leave", group, options);
  }
}
