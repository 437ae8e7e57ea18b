/**
 * From what users write to addresses that the kernel takes: names, permissions and destinations of datagrams.
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
  toIpv6,
  type UnixAddress,
} from "../ffi/address.ts";
import type { System } from "../ffi/system.ts";
import type { Name } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import { port as checkPort, text } from "./validate.ts";

/** Names of getaddrinfo's errors, in Node's words. */
const NAME_ERRORS: Record<number, string> = {
  [C.EAI_NONAME]: "ENOTFOUND",
  [C.EAI_NODATA]: "ENOTFOUND",
  [C.EAI_AGAIN]: "EAI_AGAIN",
};

/** Checks an Internet address and asks for the permission to use it. `minPort` is 0 where the system may choose. */
export function checkAddress(system: System, address: InternetAddress, minPort: 0 | 1): void {
  text("hostname", address.hostname);
  checkPort("port", address.port, minPort);
  system.runtime.requireNet(address.hostname, address.port);
}

/**
 * Every address of a host.
 *
 * @throws {RingletError} `ENOTFOUND` when the name has none, `EAI_AGAIN` when the resolver did not answer.
 */
export async function resolve(system: System, hostname: string, port: number): Promise<EncodedAddress[]> {
  const numeric = encodeNumeric(system, hostname, port);
  if (numeric !== undefined) return [numeric];
  const found = await resolveName(system, hostname, port);
  if (typeof found !== "number") return found;
  throw new RingletError(NAME_ERRORS[found] ?? `EAI_${-found}`, `Cannot find "${hostname}": getaddrinfo failed`, {
    syscall: "getaddrinfo",
    advice: "check the name and the resolver",
  });
}

/** Where a stream goes: `path`, or `hostname` (default `0.0.0.0` where the system may choose the port) and `port`. */
export function streamAddress(
  { hostname, port, path }: { hostname?: string; port?: number; path?: string },
  minPort: 0 | 1,
): InternetAddress | UnixAddress {
  if (path === undefined) {
    const host = hostname ?? (minPort === 0 ? "0.0.0.0" : hostname);
    return { hostname: text("hostname", host), port: checkPort("port", port, minPort) };
  }
  if (hostname !== undefined || port !== undefined) {
    throw new RingletError("ERR_INVALID_ARG", "path goes without hostname and port");
  }
  return { path: text("path", path) };
}

/** The address of a Unix socket, with the permission to use it. */
export function unixAddress(system: System, path: string): EncodedAddress {
  text("path", path);
  const encoded = encodePath(path);
  if (encoded === undefined) {
    throw new RingletError("ERR_OUT_OF_RANGE", "path must have at most 107 bytes: current value is longer");
  }
  system.runtime.requirePath(path);
  return encoded;
}

/** Destinations kept encoded by one socket. */
const MAX_KNOWN = 1024;

/** Turns the destinations of one UDP socket into what the core writes into a record. */
export class Destinations {
  readonly #system: System;
  readonly #family: number;
  readonly #known = new Map<string, Name>();
  #lastHostname = "";
  #lastPort = -1;
  #last: Name | undefined;

  /** @param family The socket's. */
  constructor(system: System, family: number) {
    this.#system = system;
    this.#family = family;
  }

  /** A numeric address, without waiting; `undefined` for a name that was not resolved yet. */
  now(to: InternetAddress): Name | undefined {
    if (typeof to !== "object" || to === null) {
      throw new RingletError("ERR_INVALID_ARG", `to must be an object with hostname and port: current value is ${to}`);
    }
    const { hostname, port } = to;
    if (hostname === this.#lastHostname && port === this.#lastPort) return this.#last;
    checkAddress(this.#system, to, 1);
    const key = `${port} ${hostname}`;
    let name = this.#known.get(key);
    if (name === undefined) {
      const encoded = encodeNumeric(this.#system, hostname, port);
      if (encoded === undefined) return undefined;
      name = this.#learn(key, encoded);
    }
    this.#lastHostname = hostname;
    this.#lastPort = port;
    this.#last = name;
    return name;
  }

  /** The same for names too; a name is resolved anew each time. */
  async later(to: InternetAddress): Promise<Name> {
    const found = await resolve(this.#system, to.hostname, to.port);
    const usable = found.find(({ family }) => family === this.#family || this.#family === C.AF_INET6);
    if (usable === undefined) {
      throw new RingletError(
        "EAFNOSUPPORT",
        `Cannot send to "${to.hostname}": it has no address of the socket's family`,
        {
          advice: "bind to an address of the same family",
        },
      );
    }
    return toName(this.#family === C.AF_INET6 ? toIpv6(usable) : usable);
  }

  #learn(key: string, encoded: EncodedAddress): Name {
    const address = this.#family === C.AF_INET6 ? toIpv6(encoded) : encoded;
    if (address.family !== this.#family) {
      throw new RingletError("EAFNOSUPPORT", "Cannot send to an IPv6 address from an IPv4 socket", {
        advice: 'bind to "::" to reach both families',
      });
    }
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    const name = toName(address);
    this.#known.set(key, name);
    return name;
  }
}

/** A `struct sockaddr` as the words that go into a record. */
function toName({ bytes }: EncodedAddress): Name {
  return { words: new Uint32Array(bytes.buffer), byteLength: bytes.length };
}
