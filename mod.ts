/**
 * Ringlet lends your buffers to the Linux kernel and never loses one: zero-copy TCP and UDP for Deno.
 *
 * @module
 */
export type { InternetAddress, UnixAddress } from "./ffi/address.ts";
export type { ArenaStats, LeaseOptions } from "./net/arena.ts";
export type { ListenOptions, UdpOptions } from "./net/bind.ts";
export type { ConnectOptions } from "./net/connect.ts";
export { type Datagram, type Metadata, type ReceivedDatagram, segmentsOf } from "./net/datagram.ts";
export type { DatagramsOptions } from "./net/datagram_reader.ts";
export type { DatagramOptions, OutgoingDatagram } from "./net/datagram_sends.ts";
export type { Destination } from "./net/destinations.ts";
export type { EngineName } from "./net/engine.ts";
export { RingletError, type RingletErrorCode, type RingletErrorDetails } from "./net/errors.ts";
export type { FlowOptions } from "./net/flow.ts";
export type { Capabilities, EngineChoice, Io } from "./net/io.ts";
export type { Lease, LeaseState } from "./net/lease.ts";
export type { BatchReceipt } from "./net/many_sends.ts";
export type { MulticastOptions } from "./net/multicast.ts";
export type { NetworkError } from "./net/network_errors.ts";
export { open, type OpenOptions } from "./net/open.ts";
export type {
  BindOptions,
  NetworkErrorOptions,
  PathMtuDiscovery,
  SocketOptions,
  TcpSocketOptions,
  UdpSocketOptions,
} from "./net/options.ts";
export type { Receipt, Release } from "./net/receipt.ts";
export type { SendMetadata } from "./net/send_metadata.ts";
export type { SendData, SendOptions } from "./net/send_turns.ts";
export type { ReapHandler, SendEvent } from "./net/batch_sends.ts";
export type { CloseOptions, Socket } from "./net/socket.ts";
export type { SendStats, SocketStats, Stats } from "./net/stats.ts";
export type { TcpConn, TcpListener, WaitOptions } from "./net/tcp.ts";
export type { UdpSocket } from "./net/udp.ts";
export type { ZeroCopyMode, ZeroCopyStats } from "./net/zerocopy_policy.ts";
