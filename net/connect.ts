/**
 * Connecting: every address of a name is tried.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import { type EncodedAddress, encodeNumeric, type InternetAddress, type UnixAddress } from "../ffi/address.ts";
import { RingletError } from "./errors.ts";
import { checkFlow, type Flow, FLOW_OPTIONS, type FlowOptions, makeDescriptor, mustSucceed } from "./flow.ts";
import type { Hub } from "./hub.ts";
import { applySettings, checkSettings, TCP_OPTIONS, type TcpSocketOptions, UNIX_OPTIONS } from "./options.ts";
import { checkAddress, resolve, streamAddress, unixAddress } from "./resolve.ts";
import { TcpConn } from "./tcp.ts";
import { addressText } from "./text.ts";
import { integer, notAborted, options as checkOptions, port, text } from "./validate.ts";

/** Options of `connect`: a host and a port, or a path. */
export interface ConnectOptions extends FlowOptions, TcpSocketOptions {
  /** The peer's address or name; every address of a name is tried. */
  hostname?: string;
  /** The peer's port. */
  port?: number;
  /** The path of a Unix socket instead, which has no TCP options. */
  path?: string;
  /** Local address to connect from. */
  localHostname?: string;
  /** Local port to connect from. */
  localPort?: number;
  /** Allow a local address that is still in TIME_WAIT. */
  reuseAddress?: boolean;
  /** Give up after so many milliseconds. Default: the kernel's, about two minutes. */
  timeoutMs?: number;
  /** Gives up connecting. */
  signal?: AbortSignal;
}

const CONNECT_OPTIONS: readonly (keyof ConnectOptions)[] = [
  ...FLOW_OPTIONS,
  ...TCP_OPTIONS,
  "hostname",
  "port",
  "path",
  "localHostname",
  "localPort",
  "reuseAddress",
  "timeoutMs",
  "signal",
];

/** See `Io.connect`. */
export async function connect(hub: Hub, options: ConnectOptions): Promise<TcpConn> {
  checkOptions("options", options, CONNECT_OPTIONS);
  checkSettings(options, [...TCP_OPTIONS, "reuseAddress"]);
  const flow = checkFlow(hub, options);
  if (options.localHostname !== undefined) text("localHostname", options.localHostname);
  if (options.localPort !== undefined) port("localPort", options.localPort, 0);
  const target = streamAddress(options, 1);
  const timeout = options.timeoutMs === undefined
    ? undefined
    : AbortSignal.timeout(integer("timeoutMs", options.timeoutMs, 1, 2 ** 31 - 1));
  const untilMs = performance.now() + (options.timeoutMs ?? Infinity);
  notAborted(options.signal);
  const signal = AbortSignal.any([hub.closed, options.signal, timeout].filter((signal) => signal !== undefined));
  let silent = { who: "the name server", syscall: "getaddrinfo" };
  try {
    const addresses = await addressesOf(hub, target, signal);
    silent = { who: "the peer", syscall: "connect" };
    return await connectToAny({ hub, target, options, flow }, addresses, signal, untilMs);
  } catch (error) {
    notAborted(options.signal);
    if (!timeout?.aborted) throw error;
    const what = `connect to ${addressText(target)} within ${options.timeoutMs} ms`;
    throw new RingletError("ETIMEDOUT", `Cannot ${what}: ${silent.who} did not answer`, { syscall: silent.syscall });
  }
}

/** What all attempts of one `connect` share. */
interface Attempt {
  readonly hub: Hub;
  readonly target: InternetAddress | UnixAddress;
  readonly options: ConnectOptions;
  readonly flow: Flow;
}

async function addressesOf(
  hub: Hub,
  target: InternetAddress | UnixAddress,
  signal: AbortSignal,
): Promise<EncodedAddress[]> {
  if ("path" in target) return [unixAddress(hub.system, target.path)];
  checkAddress(hub.system, target, 1);
  return await resolve(hub.system, target.hostname, target.port, signal);
}

async function connectToAny(
  attempt: Attempt,
  addresses: readonly EncodedAddress[],
  signal: AbortSignal,
  untilMs: number,
): Promise<TcpConn> {
  let failure: unknown;
  for (const [i, address] of addresses.entries()) {
    const others = addresses.length - 1 - i;
    let share = signal;
    if (untilMs < Infinity && others > 0) {
      // One that does not answer leaves time for those behind it.
      const leftMs = untilMs - performance.now();
      share = AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, Math.floor(leftMs / (others + 1))))]);
    }
    try {
      return await connectTo(attempt, address, share);
    } catch (error) {
      signal.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}

async function connectTo(
  { hub, target, options, flow }: Attempt,
  { family, bytes }: EncodedAddress,
  signal: AbortSignal,
): Promise<TcpConn> {
  signal.throwIfAborted();
  const fd = makeDescriptor(hub, family, C.SOCK_STREAM, (fd) => {
    if (family === C.AF_UNIX) return applySettings(hub.system, fd, family, options, UNIX_OPTIONS);
    applySettings(hub.system, fd, family, options, ["reuseAddress", ...TCP_OPTIONS]);
    bindLocal(hub, fd, family, options);
  });
  const conn = new TcpConn({ ...flow(), hub, fd, family, stream: true }, target);
  try {
    await conn.connect(bytes, `connect to ${addressText(target)}`, signal);
    return conn;
  } catch (error) {
    await conn.abort();
    throw error;
  }
}

function bindLocal(hub: Hub, fd: number, family: number, options: ConnectOptions): void {
  const { localHostname, localPort = 0 } = options;
  if (localHostname === undefined && localPort === 0) return;
  const hostname = localHostname ?? (family === C.AF_INET6 ? "::" : "0.0.0.0");
  const local = encodeNumeric(hub.system, hostname, localPort);
  if (local === undefined) {
    throw new RingletError("ERR_INVALID_ARG", `localHostname must be an IP address: current value is "${hostname}"`);
  }
  const { call } = hub.system.libc;
  mustSucceed(hub, "bind", call.bind(fd, local.bytes, local.bytes.length), `connect from ${hostname}:${localPort}`);
}
