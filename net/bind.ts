/**
 * Listening, and binding UDP sockets.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { type InternetAddress, toIpv6 } from "../ffi/address.ts";
import { ERRNO } from "../ffi/errno.ts";
import { SocketFile } from "../ffi/socket_file.ts";
import { RingletError, systemError } from "./errors.ts";
import { checkFlow, FLOW_OPTIONS, type FlowOptions, makeDescriptor, mustSucceed } from "./flow.ts";
import type { Hub } from "./hub.ts";
import {
  applySettings,
  BIND_OPTIONS,
  type BindOptions,
  checkSettings,
  NETWORK_ERROR_OPTIONS,
  type NetworkErrorOptions,
  setOption,
  TCP_OPTIONS,
  type TcpSocketOptions,
  UDP_OPTIONS,
  type UdpSocketOptions,
  UNIX_OPTIONS,
} from "./options.ts";
import { checkAddress, resolve, streamAddress, unixAddress } from "./resolve.ts";
import { TcpListener } from "./tcp.ts";
import { addressText } from "./text.ts";
import { maxDatagramBytes, UdpSocket } from "./udp.ts";
import { boolean, integer, options as checkOptions } from "./validate.ts";

/** Options of `listen`: an address and a port, or a path. The TCP options go to accepted connections. */
export interface ListenOptions extends FlowOptions, TcpSocketOptions, BindOptions {
  /** The local address. Default `0.0.0.0`. */
  hostname?: string;
  /** The local port; 0 lets the system choose. */
  port?: number;
  /** The path of a Unix socket instead, which has no TCP options. Closing the listener removes the file. */
  path?: string;
  /** Connections that may wait to be accepted. Default 4096, capped by net.core.somaxconn. */
  backlog?: number;
}

/** Options of `bindUdp`. */
export interface UdpOptions extends FlowOptions, UdpSocketOptions, NetworkErrorOptions, BindOptions {
  /** The local address. Default `0.0.0.0`. */
  hostname?: string;
  /** The local port. Default 0: the system chooses. */
  port?: number;
  /** The only peer: `to` can be left out then, and nobody else's datagrams are received. */
  remote?: InternetAddress;
  /**
   * The `segmentBytes` of sends that do not say it: whatever is longer leaves as a train of datagrams (UDP_SEGMENT as an option of the
   * socket, which costs the kernel less than saying it with each train). Without it such sends are single datagrams.
   */
  segmentBytes?: number;
  /** Sends may say when they leave, with `transmitNs` (SO_TXTIME, Linux 4.19). Default `false`. */
  transmitTimes?: boolean;
}

const LISTEN_OPTIONS: readonly (keyof ListenOptions)[] = [
  ...FLOW_OPTIONS,
  ...TCP_OPTIONS,
  ...BIND_OPTIONS,
  "hostname",
  "port",
  "path",
  "backlog",
];
const UDP_BIND_OPTIONS: readonly (keyof UdpOptions)[] = [
  ...FLOW_OPTIONS,
  ...UDP_OPTIONS,
  ...NETWORK_ERROR_OPTIONS,
  ...BIND_OPTIONS,
  "hostname",
  "port",
  "remote",
  "segmentBytes",
  "transmitTimes",
];
/** What to do when a path cannot be bound. */
const UNIX_ADVICE = {
  [ERRNO.EADDRINUSE]: "somebody listens at this path, or did and left the file behind: then remove it",
  [ERRNO.EACCES]: "the permissions of the path forbid it",
};
const NO_IPV6_OPTIONS = BIND_OPTIONS.filter((name) => name !== "ipv6Only");

/** See `Io.listen`. */
export async function listen(hub: Hub, options: ListenOptions): Promise<TcpListener> {
  checkOptions("options", options, LISTEN_OPTIONS);
  checkSettings(options, [...TCP_OPTIONS, ...BIND_OPTIONS]);
  const flow = checkFlow(hub, options);
  const backlog = integer("backlog", options.backlog ?? C.SOMAXCONN, 1, 2 ** 31 - 1);
  const { system } = hub;
  const target = streamAddress(options, 0);
  const unix = "path" in target;
  if (!unix) checkAddress(system, target, 0);
  const address = unix
    ? unixAddress(system, target.path)
    : (await resolve(system, target.hostname, target.port, hub.closed))[0];
  const { family, bytes } = address;
  let file: SocketFile | undefined;
  const prepare = (fd: number) => {
    if (!unix) applySettings(system, fd, family, { reuseAddress: true, ...options }, bindOptions(family));
    // Buffer sizes decide the window that is offered while connecting, so the listener has them too.
    applySettings(system, fd, family, options, UNIX_OPTIONS);
    const what = `listen at ${addressText(target)}`;
    mustSucceed(hub, "bind", system.libc.call.bind(fd, bytes, bytes.length), what, unix ? UNIX_ADVICE : {});
    if (unix) file = new SocketFile(target.path);
    mustSucceed(hub, "listen", system.libc.call.listen(fd, backlog), what);
  };
  try {
    const fd = makeDescriptor(hub, family, C.SOCK_STREAM, prepare);
    return new TcpListener({ hub, fd, family, stream: true }, flow, options, file);
  } catch (error) {
    file?.remove();
    throw error;
  }
}

/** See `Io.bindUdp`. */
export async function bindUdp(hub: Hub, options: UdpOptions): Promise<UdpSocket> {
  checkOptions("options", options, UDP_BIND_OPTIONS);
  checkSettings(options, [...UDP_OPTIONS, ...NETWORK_ERROR_OPTIONS, ...BIND_OPTIONS]);
  const flow = checkFlow(hub, options);
  const { system } = hub;
  const { hostname = "0.0.0.0", port = 0, remote, segmentBytes, transmitTimes = false } = options;
  boolean("transmitTimes", transmitTimes);
  checkAddress(system, { hostname, port }, 0);
  if (remote !== undefined) checkAddress(system, checkOptions("remote", remote, ["hostname", "port"]), 1);
  const [{ family, bytes }] = await resolve(system, hostname, port, hub.closed);
  if (segmentBytes !== undefined) integer("segmentBytes", segmentBytes, 1, maxDatagramBytes(family));
  const peer = remote === undefined ? undefined : await peerAddress(hub, family, remote);
  const fd = makeDescriptor(hub, family, C.SOCK_DGRAM, (fd) => {
    applySettings(system, fd, family, options, [...bindOptions(family), ...UDP_OPTIONS, ...NETWORK_ERROR_OPTIONS]);
    const { call } = system.libc;
    if (segmentBytes !== undefined && hub.settings.maxSegments > 1) {
      const errno = setOption(system, fd, C.IPPROTO_UDP, C.UDP_SEGMENT, segmentBytes);
      if (errno !== 0) throw systemError("setsockopt", errno, `set segmentBytes to ${segmentBytes}`);
    }
    if (transmitTimes) {
      const times = new Uint8Array(layout.sock_txtime.size);
      new DataView(times.buffer).setInt32(layout.sock_txtime.clockid, C.CLOCK_MONOTONIC, true);
      const result = call.setsockopt(fd, C.SOL_SOCKET, C.SO_TXTIME, times, times.length);
      mustSucceed(hub, "setsockopt", result, "set transmitTimes to true");
    }
    mustSucceed(hub, "bind", call.bind(fd, bytes, bytes.length), `bind to ${addressText({ hostname, port })}`);
    if (peer === undefined) return;
    mustSucceed(hub, "connect", call.connect(fd, peer, peer.length), `connect to ${addressText(remote!)}`);
  });
  const init = { ...flow(), hub, fd, family, stream: false, errors: options.errors, segmentBytes };
  return new UdpSocket(init, remote, transmitTimes);
}

async function peerAddress(hub: Hub, family: number, remote: InternetAddress): Promise<Uint8Array> {
  const found = await resolve(hub.system, remote.hostname, remote.port, hub.closed);
  const peer = found.find((address) => address.family === family || family === C.AF_INET6);
  if (peer === undefined) {
    throw new RingletError(
      "EAFNOSUPPORT",
      `Cannot bind: ${addressText(remote)} has no address of the socket's family`,
      {
        advice: "bind to an address of the same family",
      },
    );
  }
  return (family === C.AF_INET6 ? toIpv6(peer) : peer).bytes;
}

function bindOptions(family: number): readonly (keyof BindOptions)[] {
  return family === C.AF_INET6 ? BIND_OPTIONS : NO_IPV6_OPTIONS;
}
