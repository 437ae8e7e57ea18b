/**
 * Addresses that the kernel tells with every datagram, as text. Mostly they are the same few, so they are remembered.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { decodeAddress, type InternetAddress } from "../ffi/address.ts";
import type { System } from "../ffi/system.ts";

/** Addresses remembered; a power of two. */
const PLACES = 1024;
/** Words of the longest address, a `struct sockaddr_in6`. */
const WORDS = layout.sockaddr_in6.size / 4;

/** See the module. */
export class AddressBook {
  readonly #system: System;
  readonly #words = new Int32Array(PLACES * WORDS);
  readonly #addresses: (InternetAddress | undefined)[] = new Array(PLACES).fill(undefined);
  readonly #key = new Int32Array(WORDS);

  constructor(system: System) {
    this.#system = system;
  }

  /** The `struct sockaddr` of `byteLength` bytes at `at`. Answers the same object for the same address, mostly. */
  name(view: DataView, at: number, byteLength: number): InternetAddress {
    const key = this.#key;
    const words = Math.min(byteLength >> 2, WORDS);
    for (let i = 0; i < WORDS; i++) key[i] = i < words ? view.getInt32(at + i * 4, true) : 0;
    return this.#find();
  }

  /** The bare IP address of `family` at `at`. */
  host(view: DataView, at: number, family: number): string {
    const key = this.#key.fill(0);
    const { sockaddr_in: v4, sockaddr_in6: v6 } = layout;
    key[0] = family;
    if (family === C.AF_INET) key[v4.sin_addr / 4] = view.getInt32(at, true);
    else for (let i = 0; i < 4; i++) key[v6.sin6_addr / 4 + i] = view.getInt32(at + i * 4, true);
    return this.#find().hostname;
  }

  #find(): InternetAddress {
    const key = this.#key;
    let hash = 0;
    for (let i = 0; i < WORDS; i++) hash = Math.imul(hash ^ key[i], 0x9e3779b1);
    const place = hash >>> 22; // the upper bits depend on all others
    const known = this.#words;
    const from = place * WORDS;
    const address = this.#addresses[place];
    let same = address !== undefined;
    for (let i = 0; same && i < WORDS; i++) same = known[from + i] === key[i];
    if (same) return address!;
    known.set(key, from);
    const bytes = new Uint8Array(key.buffer);
    const found = Object.freeze(decodeAddress(this.#system, bytes, bytes.length)) as InternetAddress;
    return this.#addresses[place] = found;
  }
}
