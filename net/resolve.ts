/**
 * From what users write to addresses that the kernel takes: names and permissions.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import {
  type EncodedAddress,
  encodeNumeric,
  encodePath,
  type InternetAddress,
  resolveName,
  type UnixAddress,
} from "../ffi/address.ts";
import type { System } from "../ffi/system.ts";
import { RingletError, systemError } from "./errors.ts";
import { FLOW_OPTIONS } from "./flow.ts";
import { UNIX_OPTIONS } from "./options.ts";
import { path as checkPath, port as checkPort, shown, text } from "./validate.ts";
import { unlessAborted } from "./waiters.ts";

/** Names of getaddrinfo's errors, in Node's words. */
const NAME_ERRORS: Record<number, string> = {
  [C.EAI_NONAME]: "ENOTFOUND",
  [C.EAI_NODATA]: "ENOTFOUND",
  [C.EAI_AGAIN]: "EAI_AGAIN",
  [C.EAI_FAIL]: "EAI_FAIL",
  [C.EAI_SYSTEM]: "EAI_SYSTEM",
};

/** Checks an Internet address and asks for the permission to use it. `minPort` is 0 where the system may choose. */
export function checkAddress(system: System, address: InternetAddress, minPort: 0 | 1): void {
  const { hostname, port } = address;
  text("hostname", hostname);
  checkPort("port", port, minPort);
  try {
    system.runtime.requireNet(hostname, port);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw new RingletError(
      "ERR_INVALID_ARG",
      `hostname must be a name or an address: current value is ${shown(hostname)}`,
      {
        cause: error,
      },
    );
  }
}

/**
 * Every address of a host. An aborted `signal` ends the wait for it.
 *
 * @throws {RingletError} `ENOTFOUND` when the name has none, `EAI_AGAIN` when the resolver did not answer, `EMFILE`.
 */
export async function resolve(
  system: System,
  hostname: string,
  port: number,
  signal: AbortSignal,
): Promise<EncodedAddress[]> {
  const numeric = encodeNumeric(system, hostname, port);
  if (numeric !== undefined) return [numeric];
  signal.throwIfAborted();
  const found = await unlessAborted(resolveName(system, hostname, port, signal), signal);
  if (typeof found !== "number") return found;
  requireDescriptors(system, `find "${hostname}"`);
  throw new RingletError(NAME_ERRORS[found] ?? `EAI_${-found}`, `Cannot find "${hostname}": getaddrinfo failed`, {
    syscall: "getaddrinfo",
    advice: "check the name and the resolver",
  });
}

/** Throws `EMFILE` or `ENFILE` when descriptors have run out: the resolver, which needs some, then says that there is no such name. */
function requireDescriptors({ libc }: System, what: string): void {
  const fd = libc.call.eventfd(0, C.EFD_CLOEXEC);
  if (fd < 0) throw systemError("getaddrinfo", libc.errno(), what);
  libc.call.close(fd);
}

/** Options of `connect` and `listen` that mean something with a `path`. */
const WITH_PATH: readonly string[] = ["path", "backlog", "timeoutMs", "signal", ...FLOW_OPTIONS, ...UNIX_OPTIONS];

/** Where a stream goes: `path`, or `hostname` (default `0.0.0.0` where the system may choose the port) and `port`. */
export function streamAddress(
  options: { hostname?: string; port?: number; path?: string },
  minPort: 0 | 1,
): InternetAddress | UnixAddress {
  const { hostname, port, path } = options;
  if (path === undefined) {
    const host = hostname ?? (minPort === 0 ? "0.0.0.0" : hostname);
    return { hostname: text("hostname", host), port: checkPort("port", port, minPort) };
  }
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || WITH_PATH.includes(name)) continue;
    throw new RingletError("ERR_INVALID_ARG", `${name} does not go with path: a Unix socket has no such option`);
  }
  return { path: checkPath(path) };
}

/** The address of a Unix socket, with the permission to use it. */
export function unixAddress(system: System, path: string): EncodedAddress {
  const encoded = encodePath(path);
  if (encoded === undefined) {
    throw new RingletError("ERR_OUT_OF_RANGE", "path must have at most 107 bytes: current value is longer");
  }
  system.runtime.requirePath(path);
  return encoded;
}
