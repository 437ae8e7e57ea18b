/**
 * Where datagrams go, as their records want it.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import { type EncodedAddress, encodeNumeric, hostOf, type InternetAddress, isMapped, toIpv6 } from "../ffi/address.ts";
import type { System } from "../ffi/system.ts";
import { RingletError } from "./errors.ts";
import { checkAddress, resolve } from "./resolve.ts";
import type { Header, Name } from "./send_queue.ts";
import { shown } from "./validate.ts";

/**
 * An address that was resolved, permitted and encoded once, for programs that send to it again and again. Comes from
 * `udp.destination()`, and goes wherever `to` does, with any socket of the same family.
 *
 * @example
 * ```ts
 * import { open } from "@ringlet/ringlet";
 * import { assertEquals } from "@std/assert";
 *
 * await using io = await open({ arenaBytes: 1 << 20 });
 * await using receiver = await io.bindUdp({ hostname: "127.0.0.1" });
 * await using sender = await io.bindUdp({ hostname: "127.0.0.1" });
 * const to = await sender.destination({ hostname: "localhost", port: receiver.localAddr.port });
 * assertEquals(to.hostname, "localhost");
 * assertEquals((await sender.send(new Uint8Array(100), { to })).bytes, 100);
 * ```
 */
export class Destination implements InternetAddress {
  /** The name or address that was asked for. */
  readonly hostname: string;
  /** The port. */
  readonly port: number;
  /** @ignore The family of sockets that can send there. */
  readonly family: number;
  /** @ignore What a record gets. */
  readonly header: Header & { readonly name: Name };

  /** @ignore Comes from `udp.destination()`. */
  constructor({ hostname, port }: InternetAddress, family: number, name: Name) {
    this.hostname = hostname;
    this.port = port;
    this.family = family;
    this.header = { name };
  }
}

/** Destinations kept encoded by one socket. */
const MAX_KNOWN = 1024;

/** Turns the destinations of one UDP socket into what the core writes into a record. */
export class Destinations {
  readonly #system: System;
  readonly #family: number;
  readonly #known = new Map<string, Destination>();
  #last: Destination | undefined;

  /** @param family The socket's. */
  constructor(system: System, family: number) {
    this.#system = system;
    this.#family = family;
  }

  /** A numeric address, without waiting; `undefined` for a name that was not resolved yet. */
  now(to: InternetAddress): Destination | undefined {
    if (to instanceof Destination) {
      if (to.family !== this.#family) throw wrongFamily(to.hostname);
      return to;
    }
    if (typeof to !== "object" || to === null) {
      throw new RingletError(
        "ERR_INVALID_ARG",
        `to must be an object with hostname and port: current value is ${shown(to)}`,
      );
    }
    const { hostname, port } = to;
    if (hostname === this.#last?.hostname && port === this.#last.port) return this.#last;
    checkAddress(this.#system, to, 1);
    const key = `${port} ${hostname}`;
    const known = this.#known.get(key) ?? this.#learn(key, to);
    if (known !== undefined) this.#last = known;
    return known;
  }

  /** The same for names too; a name is resolved anew each time. */
  async later(to: InternetAddress, signal: AbortSignal): Promise<Destination> {
    const found = await resolve(this.#system, to.hostname, to.port, signal);
    const usable = found.find(({ family }) => family === this.#family || this.#family === C.AF_INET6);
    if (usable === undefined) throw wrongFamily(to.hostname);
    return this.#make(to, usable);
  }

  #learn(key: string, to: InternetAddress): Destination | undefined {
    const encoded = encodeNumeric(this.#system, to.hostname, to.port);
    if (encoded === undefined) return undefined;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    const made = this.#make(to, encoded);
    this.#known.set(key, made);
    return made;
  }

  #make(to: InternetAddress, encoded: EncodedAddress): Destination {
    const address = this.#family === C.AF_INET6 ? toIpv6(encoded) : encoded;
    if (address.family !== this.#family) throw wrongFamily(to.hostname);
    return new Destination(to, this.#family, toName(address));
  }
}

function wrongFamily(hostname: string): RingletError {
  return new RingletError("EAFNOSUPPORT", `Cannot send to "${hostname}": it has no address of the socket's family`, {
    advice: 'bind to an address of the same family, or to "::" to reach both',
  });
}

/** A `struct sockaddr` as the words that go into a record. */
function toName(address: EncodedAddress): Name {
  const { family, bytes } = address;
  const v4 = family === C.AF_INET || isMapped(hostOf(address));
  return { words: new Uint32Array(bytes.buffer), byteLength: bytes.length, v4 };
}
