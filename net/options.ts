/**
 * Socket options: what users write, and what setsockopt takes. One table.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import type { System } from "../ffi/system.ts";
import { systemError } from "./errors.ts";
import { boolean, integer, oneOf, options as checkOptions } from "./validate.ts";

/** Options of every socket. */
export interface SocketOptions {
  /** SO_SNDBUF in bytes; the kernel doubles it and caps it at net.core.wmem_max. */
  sendBufferBytes?: number;
  /** SO_RCVBUF in bytes; the kernel doubles it and caps it at net.core.rmem_max. */
  receiveBufferBytes?: number;
}

/** Options of a TCP connection that can be changed at any time. */
export interface TcpSocketOptions extends SocketOptions {
  /**
   * Send the short segment at the end of a send at once (TCP_NODELAY) instead of together with what follows. Default `false`, as
   * with the runtimes' own sockets: it suits bulk data; small messages that wait for no answer want `true`.
   */
  noDelay?: boolean;
  /** Probe idle connections (SO_KEEPALIVE). Default `false`. */
  keepAlive?: boolean;
  /** Seconds of silence before the first probe (TCP_KEEPIDLE). */
  keepAliveIdleSeconds?: number;
  /** Seconds between probes (TCP_KEEPINTVL). */
  keepAliveIntervalSeconds?: number;
  /** Unanswered probes before the connection is dropped (TCP_KEEPCNT). */
  keepAliveProbes?: number;
}

/**
 * What the kernel does about datagrams that are larger than the path takes (IP_MTU_DISCOVER, IPV6_MTU_DISCOVER):
 *
 * - `off`: they are cut into fragments, by this host and by routers.
 * - `want`: this host cuts them to what the path is known to take; what fits must not be cut on the way (IPv4's DF).
 * - `do`: nobody cuts them; those larger than the path is known to take fail with `EMSGSIZE`.
 * - `probe`: nobody cuts them, and only the device's own MTU is minded: for programs that find out the path's by themselves.
 */
export type PathMtuDiscovery = "off" | "want" | "do" | "probe";
/** Their numbers are the kernel's. */
const PATH_MTU_DISCOVERY = ["off", "want", "do", "probe"] as const satisfies readonly PathMtuDiscovery[];

/** Options of a UDP socket that can be changed at any time. */
export interface UdpSocketOptions extends SocketOptions {
  /**
   * Take a train of datagrams of one size from one sender as one (UDP_GRO, Linux 5.0): `segmentBytes` tells where to cut it. Leases of
   * 65,536 bytes hold the longest. Default `false`.
   */
  receiveSegments?: boolean;
  /** Tell the local address and the interface of each datagram (IP_PKTINFO, IPV6_RECVPKTINFO). Default `false`. */
  receiveLocalAddress?: boolean;
  /** Tell the traffic class and ECN of each datagram (IP_RECVTOS, IPV6_RECVTCLASS). Default `false`. */
  receiveTrafficClass?: boolean;
  /** Tell the hop limit of each datagram (IP_RECVTTL, IPV6_RECVHOPLIMIT). Default `false`. */
  receiveHopLimit?: boolean;
  /** Tell when the kernel got each datagram (SO_TIMESTAMPNS). Default `false`. */
  receiveTime?: boolean;
  /** Tell with each datagram how many were dropped before it because the receive buffer was full (SO_RXQ_OVFL). Default `false`. */
  receiveDropped?: boolean;
  /** The traffic class (TOS) byte of datagrams that do not say it themselves, 0 to 255 (IP_TOS, IPV6_TCLASS). Default 0. */
  trafficClass?: number;
  /** Hops that datagrams may take that do not say it themselves, 1 to 255 (IP_TTL, IPV6_UNICAST_HOPS). Default 64. */
  hopLimit?: number;
  /** What is done about packets that are too big for the path; see {@linkcode PathMtuDiscovery}. Default `"want"`. */
  pathMtuDiscovery?: PathMtuDiscovery;
  /** Allow sending to broadcast addresses (SO_BROADCAST). Default `false`. */
  broadcast?: boolean;
  /** Hops that multicast datagrams may take, 0 to 255. Default 1. */
  multicastTtl?: number;
  /** Whether this host's own receivers get our multicast datagrams. Default `true`. */
  multicastLoop?: boolean;
}

/** What a UDP socket tells about datagrams that could not be delivered. */
export interface NetworkErrorOptions {
  /**
   * Tell what the network answers to datagrams that could not be delivered, in `errors()` and nowhere else (IP_RECVERR, IPV6_RECVERR).
   * A socket with `remote` then does not fail with `ECONNREFUSED`. Default `false`.
   */
  errors?: boolean;
}

/** Options that must be set before the socket is bound. */
export interface BindOptions {
  /** SO_REUSEADDR. Default `true` for listeners, `false` elsewhere. */
  reuseAddress?: boolean;
  /** SO_REUSEPORT: several sockets share the address, and the kernel spreads peers over them. Default `false`. */
  reusePort?: boolean;
  /** Refuse IPv4 on an IPv6 socket (IPV6_V6ONLY). Default `false`. */
  ipv6Only?: boolean;
}

type AnyOption =
  & Required<TcpSocketOptions>
  & Required<UdpSocketOptions>
  & Required<NetworkErrorOptions>
  & Required<BindOptions>;

interface Setting {
  readonly level: number;
  readonly option: number;
  /** What an IPv6 socket has besides: its IPv4 packets follow `option`, the others this. */
  readonly v6?: readonly [level: number, option: number];
  /** Bounds of a number. */
  readonly range?: readonly [min: number, max: number];
  /** The words for 0, 1, 2, …; a setting with neither is a boolean. */
  readonly words?: readonly string[];
}

const MAX_BYTES = 2 ** 31 - 1;

const SETTINGS: { readonly [K in keyof AnyOption]: Setting } = {
  sendBufferBytes: { level: C.SOL_SOCKET, option: C.SO_SNDBUF, range: [1, MAX_BYTES] },
  receiveBufferBytes: { level: C.SOL_SOCKET, option: C.SO_RCVBUF, range: [1, MAX_BYTES] },
  noDelay: { level: C.IPPROTO_TCP, option: C.TCP_NODELAY },
  keepAlive: { level: C.SOL_SOCKET, option: C.SO_KEEPALIVE },
  keepAliveIdleSeconds: { level: C.IPPROTO_TCP, option: C.TCP_KEEPIDLE, range: [1, 32_767] },
  keepAliveIntervalSeconds: { level: C.IPPROTO_TCP, option: C.TCP_KEEPINTVL, range: [1, 32_767] },
  keepAliveProbes: { level: C.IPPROTO_TCP, option: C.TCP_KEEPCNT, range: [1, 127] },
  receiveSegments: { level: C.IPPROTO_UDP, option: C.UDP_GRO },
  receiveLocalAddress: {
    level: C.IPPROTO_IP,
    option: C.IP_PKTINFO,
    v6: [C.IPPROTO_IPV6, C.IPV6_RECVPKTINFO],
  },
  receiveTrafficClass: { level: C.IPPROTO_IP, option: C.IP_RECVTOS, v6: [C.IPPROTO_IPV6, C.IPV6_RECVTCLASS] },
  receiveHopLimit: { level: C.IPPROTO_IP, option: C.IP_RECVTTL, v6: [C.IPPROTO_IPV6, C.IPV6_RECVHOPLIMIT] },
  receiveTime: { level: C.SOL_SOCKET, option: C.SO_TIMESTAMPNS },
  receiveDropped: { level: C.SOL_SOCKET, option: C.SO_RXQ_OVFL },
  trafficClass: {
    level: C.IPPROTO_IP,
    option: C.IP_TOS,
    v6: [C.IPPROTO_IPV6, C.IPV6_TCLASS],
    range: [0, 255],
  },
  hopLimit: {
    level: C.IPPROTO_IP,
    option: C.IP_TTL,
    v6: [C.IPPROTO_IPV6, C.IPV6_UNICAST_HOPS],
    range: [1, 255],
  },
  pathMtuDiscovery: {
    level: C.IPPROTO_IP,
    option: C.IP_MTU_DISCOVER,
    v6: [C.IPPROTO_IPV6, C.IPV6_MTU_DISCOVER],
    words: PATH_MTU_DISCOVERY,
  },
  broadcast: { level: C.SOL_SOCKET, option: C.SO_BROADCAST },
  multicastTtl: {
    level: C.IPPROTO_IP,
    option: C.IP_MULTICAST_TTL,
    v6: [C.IPPROTO_IPV6, C.IPV6_MULTICAST_HOPS],
    range: [0, 255],
  },
  multicastLoop: {
    level: C.IPPROTO_IP,
    option: C.IP_MULTICAST_LOOP,
    v6: [C.IPPROTO_IPV6, C.IPV6_MULTICAST_LOOP],
  },
  errors: { level: C.IPPROTO_IP, option: C.IP_RECVERR, v6: [C.IPPROTO_IPV6, C.IPV6_RECVERR] },
  reuseAddress: { level: C.SOL_SOCKET, option: C.SO_REUSEADDR },
  reusePort: { level: C.SOL_SOCKET, option: C.SO_REUSEPORT },
  ipv6Only: { level: C.IPPROTO_IPV6, option: C.IPV6_V6ONLY },
};

const BUFFERS = ["sendBufferBytes", "receiveBufferBytes"] as const;
/** Names of {@linkcode TcpSocketOptions}. */
export const TCP_OPTIONS = [
  ...BUFFERS,
  "noDelay",
  "keepAlive",
  "keepAliveIdleSeconds",
  "keepAliveIntervalSeconds",
  "keepAliveProbes",
] as const satisfies (keyof TcpSocketOptions)[];
/** Names of {@linkcode UdpSocketOptions}. */
export const UDP_OPTIONS = [
  ...BUFFERS,
  "receiveSegments",
  "receiveLocalAddress",
  "receiveTrafficClass",
  "receiveHopLimit",
  "receiveTime",
  "receiveDropped",
  "trafficClass",
  "hopLimit",
  "pathMtuDiscovery",
  "broadcast",
  "multicastTtl",
  "multicastLoop",
] as const satisfies (keyof UdpSocketOptions)[];
/**
 * Names of {@linkcode NetworkErrorOptions}. Set at the bind and never again: kernels throw away what is in the error queue when it is
 * switched off, zero-copy notifications included.
 */
export const NETWORK_ERROR_OPTIONS = ["errors"] as const satisfies (keyof NetworkErrorOptions)[];
/** Names of {@linkcode BindOptions}. */
export const BIND_OPTIONS = ["reuseAddress", "reusePort", "ipv6Only"] as const satisfies (keyof BindOptions)[];
/** Options that a Unix socket has, too. */
export const UNIX_OPTIONS = BUFFERS;

/** Sets an integer socket option; answers 0 or the errno. */
export function setOption(system: System, fd: number, level: number, option: number, value: number): number {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  return system.libc.call.setsockopt(fd, level, option, bytes, 4) === 0 ? 0 : system.libc.errno();
}

/**
 * The value of an integer socket option.
 *
 * @throws {RingletError} with the errno of getsockopt.
 */
export function getOption(system: System, fd: number, level: number, option: number): number {
  const value = new Int32Array(1);
  const length = new Uint8Array(Uint32Array.of(4).buffer);
  const { call, errno } = system.libc;
  if (call.getsockopt(fd, level, option, new Uint8Array(value.buffer), length) === 0) return value[0];
  throw systemError("getsockopt", errno(), "read an option of the socket");
}

/** Checks the options in `values` that are `names`, without setting them. */
export function checkSettings(values: Partial<AnyOption>, names: readonly (keyof AnyOption)[]): void {
  for (const name of names) {
    const value = values[name];
    if (value === undefined) continue;
    const { range, words } = SETTINGS[name];
    if (range !== undefined) integer(name, value, range[0], range[1]);
    else if (words !== undefined) oneOf(name, value, words);
    else boolean(name, value);
  }
}

/**
 * Sets those of `names` that `values` has.
 *
 * @throws {RingletError} with the errno of setsockopt.
 */
export function applySettings(
  system: System,
  fd: number,
  family: number,
  values: Partial<AnyOption>,
  names: readonly (keyof AnyOption)[],
): void {
  for (const name of names) {
    const value = values[name];
    if (value === undefined) continue;
    const { level, option, v6, words } = SETTINGS[name];
    const number = words === undefined ? Number(value) : words.indexOf(value as string);
    const set = (level: number, option: number) => {
      const errno = setOption(system, fd, level, option, number);
      if (errno !== 0) throw systemError("setsockopt", errno, `set ${name} to ${value}`);
    };
    set(level, option);
    if (v6 !== undefined && family === C.AF_INET6) set(...v6);
  }
}

/** Checks and sets options on an open socket. */
export function configure<T extends Partial<AnyOption>>(
  system: System,
  fd: number,
  family: number,
  values: T,
  names: readonly (keyof AnyOption & keyof T & string)[],
): void {
  checkOptions("options", values, names);
  checkSettings(values, names);
  applySettings(system, fd, family, values, names);
}
