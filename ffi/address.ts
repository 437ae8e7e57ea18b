/**
 * Socket addresses: between text, `struct sockaddr` and names.
 *
 * @module
 */
import { C, layout } from "./abi.ts";
import type { System } from "./system.ts";

/** A host and a port. */
export interface InternetAddress {
  /** An IPv4 or IPv6 address (`fe80::1%eth0` with its interface), or a name. */
  readonly hostname: string;
  /** 1 to 65535; 0 where the system may choose one. */
  readonly port: number;
}

/** The path of a Unix socket; one that starts with `"\0"` is in Linux's abstract namespace. */
export interface UnixAddress {
  /** At most 107 bytes. */
  readonly path: string;
}

/** An address as the kernel takes it. */
export interface EncodedAddress {
  readonly family: number;
  /** A `struct sockaddr`, exactly as long as its family wants. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** `text` as a C string. */
function cString(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(`${text}\0`);
}

function fromCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function inet(family: number, port: number, address: Uint8Array, scope = 0): EncodedAddress {
  const { sockaddr_in: v4, sockaddr_in6: v6 } = layout;
  const bytes = new Uint8Array(family === C.AF_INET ? v4.size : v6.size);
  const view = new DataView(bytes.buffer);
  view.setUint16(v4.sin_family, family, true);
  view.setUint16(v4.sin_port, port, false);
  bytes.set(address, family === C.AF_INET ? v4.sin_addr : v6.sin6_addr);
  if (family === C.AF_INET6) view.setUint32(v6.sin6_scope_id, scope, true);
  return { family, bytes };
}

/** The numeric IP address `hostname` with `port`, or `undefined` when `hostname` is a name. */
export function encodeNumeric(system: System, hostname: string, port: number): EncodedAddress | undefined {
  const { call } = system.libc;
  const [host, zone] = hostname.split("%", 2);
  const address = new Uint8Array(16);
  if (zone === undefined && call.inet_pton(C.AF_INET, cString(host), address) === 1) {
    return inet(C.AF_INET, port, address.subarray(0, 4));
  }
  if (call.inet_pton(C.AF_INET6, cString(host), address) !== 1) return undefined;
  const scope = zone === undefined ? 0 : call.if_nametoindex(cString(zone)) || Number(zone) || 0;
  return inet(C.AF_INET6, port, address, scope);
}

/** A Unix socket's path, or `undefined` when it is too long (107 bytes, or 108 in the abstract namespace). */
export function encodePath(path: string): EncodedAddress | undefined {
  const { sockaddr_un: un } = layout;
  const abstract = path.startsWith("\0");
  const name = abstract ? encoder.encode(path) : cString(path);
  if (un.sun_path + name.length > un.size) return undefined;
  const bytes = new Uint8Array(un.sun_path + name.length);
  new DataView(bytes.buffer).setUint16(un.sun_family, C.AF_UNIX, true);
  bytes.set(name, un.sun_path);
  return { family: C.AF_UNIX, bytes };
}

/** The bare IP address within an encoded one. */
export function hostOf({ family, bytes }: EncodedAddress): Uint8Array<ArrayBuffer> {
  const { sockaddr_in: v4, sockaddr_in6: v6 } = layout;
  return family === C.AF_INET
    ? bytes.subarray(v4.sin_addr, v4.sin_addr + 4)
    : bytes.subarray(v6.sin6_addr, v6.sin6_addr + 16);
}

/** Whether a bare IPv6 address is an IPv4 one (`::ffff:a.b.c.d`). */
export function isMapped(host: Uint8Array): boolean {
  return host.every((byte, i) => i >= 12 || byte === (i < 10 ? 0 : 0xff));
}

/** An IPv4 address as a socket of family IPv6 wants it (`::ffff:a.b.c.d`). */
export function toIpv6(address: EncodedAddress): EncodedAddress {
  if (address.family !== C.AF_INET) return address;
  const mapped = new Uint8Array(16).fill(0xff, 10, 12);
  mapped.set(hostOf(address), 12);
  const port = new DataView(address.bytes.buffer).getUint16(layout.sockaddr_in.sin_port, false);
  return inet(C.AF_INET6, port, mapped);
}

/** The address in a `struct sockaddr` of `length` bytes. An IPv4 address mapped into IPv6 comes out as IPv4. */
export function decodeAddress(system: System, sockaddr: Uint8Array, length: number): InternetAddress | UnixAddress {
  const view = new DataView(sockaddr.buffer, sockaddr.byteOffset, sockaddr.byteLength);
  const family = length < 2 ? C.AF_UNIX : view.getUint16(0, true);
  const { sockaddr_in: v4, sockaddr_in6: v6, sockaddr_un: un } = layout;
  if (family === C.AF_UNIX) {
    const name = sockaddr.slice(un.sun_path, Math.max(un.sun_path, length));
    return { path: name[0] === 0 ? decoder.decode(name) : fromCString(name) };
  }
  const port = view.getUint16(v4.sin_port, false);
  let address = sockaddr.slice(v4.sin_addr, v4.sin_addr + 4);
  let textFamily: number = family;
  let zone = "";
  if (family === C.AF_INET6) {
    address = sockaddr.slice(v6.sin6_addr, v6.sin6_addr + 16);
    if (isMapped(address)) {
      address = address.slice(12);
      textFamily = C.AF_INET;
    }
    const scope = view.getUint32(v6.sin6_scope_id, true);
    if (scope !== 0) zone = `%${interfaceName(system, scope)}`;
  }
  const text = new Uint8Array(64);
  system.libc.call.inet_ntop(textFamily, address, text, text.length);
  return { hostname: fromCString(text) + zone, port };
}

function interfaceName(system: System, index: number): string {
  const name = new Uint8Array(C.IFNAMSIZ);
  return system.libc.call.if_indextoname(index, name) === 0n ? String(index) : fromCString(name);
}

/** The index of the network interface `name`, or 0. */
export function interfaceIndex(system: System, name: string): number {
  return system.libc.call.if_nametoindex(cString(name));
}

/**
 * Every address of `hostname`, in the resolver's order, or the resolver's error number. Runs on another thread and writes only
 * to memory of its own, which outlives a thread that is terminated meanwhile. Keeps the process alive until `signal` is aborted:
 * nobody waits for it then, but a resolver takes long to give up.
 */
export async function resolveName(
  system: System,
  hostname: string,
  port: number,
  signal?: AbortSignal,
): Promise<EncodedAddress[] | number> {
  const { call } = system.libc;
  const { addrinfo } = layout;
  const name = cString(hostname);
  const block = new Uint8Array(addrinfo.size + 8 + name.length); // hints, the result's pointer, the name
  new DataView(block.buffer).setInt32(addrinfo.ai_socktype, C.SOCK_STREAM, true);
  block.set(name, addrinfo.size + 8);
  const base = call.malloc(BigInt(block.length));
  call.poke(base, block, BigInt(block.length));
  const result = base + BigInt(addrinfo.size);
  const pending = call.getaddrinfo(result + 8n, 0n, base, result);
  const unref = () => {
    system.runtime.setRef(pending, false);
    signal?.removeEventListener("abort", unref);
  };
  signal?.addEventListener("abort", unref);
  const failure = await pending;
  signal?.removeEventListener("abort", unref);
  const addresses: EncodedAddress[] = [];
  if (failure === 0) {
    const pointer = new BigUint64Array(1);
    call.peek(new Uint8Array(pointer.buffer), result, 8n);
    const entry = new Uint8Array(addrinfo.size);
    const view = new DataView(entry.buffer);
    for (let at = pointer[0]; at !== 0n; at = view.getBigUint64(addrinfo.ai_next, true)) {
      call.peek(entry, at, BigInt(addrinfo.size));
      const bytes = new Uint8Array(view.getUint32(addrinfo.ai_addrlen, true));
      call.peek(bytes, view.getBigUint64(addrinfo.ai_addr, true), BigInt(bytes.length));
      new DataView(bytes.buffer).setUint16(layout.sockaddr_in.sin_port, port, false);
      addresses.push({ family: view.getInt32(addrinfo.ai_family, true), bytes });
    }
    call.freeaddrinfo(pointer[0]);
  }
  call.free(base);
  return failure === 0 ? addresses : failure;
}
