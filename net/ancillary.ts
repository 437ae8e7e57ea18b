/**
 * Control messages as the kernel writes them beside what is received: the one place where they are decoded. Nothing is trusted that
 * does not lie within the bytes that there are.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import type { AddressBook } from "./address_book.ts";
import type { Metadata } from "./datagram.ts";

const { cmsghdr, in_pktinfo, in6_pktinfo, sock_extended_err, __kernel_timespec } = layout;

/** A kind of control message and what it means; `B` is what it needs to know besides. */
interface Kind<T, B> {
  readonly level: number;
  readonly type: number;
  /** Bytes that it has at least. */
  readonly bytes: number;
  /** Puts what it says into `told`. */
  read(told: T, view: DataView, at: number, book: B): void;
}

/** Decodes those kinds of control messages that are asked for, and steps over all others. */
class Decoder<T, B> {
  readonly #kinds = new Map<number, Kind<T, B>>();

  constructor(kinds: readonly Kind<T, B>[]) {
    for (const kind of kinds) this.#kinds.set(key(kind.level, kind.type), kind);
  }

  /** Reads the messages in the bytes from `at` to `end`. */
  decode(told: T, view: DataView, at: number, end: number, book: B): void {
    while (at + cmsghdr.size <= end) {
      const length = view.getUint32(at + cmsghdr.cmsg_len, true);
      // The upper half of a 64-bit length. One that is no length at all ends the walk: where the next one is cannot be known.
      if (length < cmsghdr.size || view.getUint32(at + cmsghdr.cmsg_len + 4, true) !== 0) return;
      const kind = this.#kinds.get(
        key(view.getInt32(at + cmsghdr.cmsg_level, true), view.getInt32(at + cmsghdr.cmsg_type, true)),
      );
      const whole = at + length <= end;
      if (whole && kind !== undefined && length >= cmsghdr.size + kind.bytes) {
        kind.read(told, view, at + cmsghdr.size, book);
      }
      at += Math.ceil(length / 8) * 8;
    }
  }
}

/** Level and type as one number. Every one that is known fits; the others must not look like one of them. */
function key(level: number, type: number): number {
  return ((level | type) & ~0xff) === 0 ? level << 8 | type : -1;
}

type Told<T> = { -readonly [K in keyof T]: T[K] };

/** Puts `trafficClass` and what follows from it. */
function putTrafficClass(told: Told<Metadata>, trafficClass: number): void {
  told.trafficClass = trafficClass & 0xff;
  told.ecn = trafficClass & 3;
}

const METADATA = new Decoder<Told<Metadata>, AddressBook>([
  {
    level: C.IPPROTO_UDP,
    type: C.UDP_GRO,
    bytes: 4,
    read(told, view, at) {
      const segmentBytes = view.getInt32(at, true);
      if (segmentBytes > 0) told.segmentBytes = segmentBytes;
    },
  },
  {
    level: C.IPPROTO_IP,
    type: C.IP_PKTINFO,
    bytes: in_pktinfo.size,
    read(told, view, at, book) {
      told.localAddress = book.host(view, at + in_pktinfo.ipi_addr, C.AF_INET);
      told.interfaceIndex = view.getInt32(at + in_pktinfo.ipi_ifindex, true);
    },
  },
  {
    level: C.IPPROTO_IPV6,
    type: C.IPV6_PKTINFO,
    bytes: in6_pktinfo.size,
    read(told, view, at, book) {
      told.localAddress = book.host(view, at + in6_pktinfo.ipi6_addr, C.AF_INET6);
      told.interfaceIndex = view.getInt32(at + in6_pktinfo.ipi6_ifindex, true);
    },
  },
  { level: C.IPPROTO_IP, type: C.IP_TOS, bytes: 1, read: (told, view, at) => putTrafficClass(told, view.getUint8(at)) },
  {
    level: C.IPPROTO_IPV6,
    type: C.IPV6_TCLASS,
    bytes: 4,
    read: (told, view, at) => putTrafficClass(told, view.getInt32(at, true)),
  },
  { level: C.IPPROTO_IP, type: C.IP_TTL, bytes: 4, read: (told, view, at) => told.hopLimit = view.getInt32(at, true) },
  {
    level: C.IPPROTO_IPV6,
    type: C.IPV6_HOPLIMIT,
    bytes: 4,
    read: (told, view, at) => told.hopLimit = view.getInt32(at, true),
  },
  {
    level: C.SOL_SOCKET,
    type: C.SO_TIMESTAMPNS,
    bytes: __kernel_timespec.size,
    read(told, view, at) {
      const seconds = view.getBigInt64(at + __kernel_timespec.tv_sec, true);
      told.receivedNs = seconds * 1_000_000_000n + view.getBigInt64(at + __kernel_timespec.tv_nsec, true);
    },
  },
  {
    level: C.SOL_SOCKET,
    type: C.SO_RXQ_OVFL,
    bytes: 4,
    read: (told, view, at) => told.dropped = view.getUint32(at, true),
  },
]);

/** Adds what the control messages from `at` to `end` tell about a datagram. */
export function decodeMetadata(
  told: Told<Metadata>,
  view: DataView,
  at: number,
  end: number,
  book: AddressBook,
): void {
  METADATA.decode(told, view, at, end, book);
}

/** Both families have the same structure, followed by the address of whoever reported the error. */
const EXTENDED_ERROR = new Decoder<{ at: number }, void>(
  ([
    [C.IPPROTO_IP, C.IP_RECVERR, layout.sockaddr_in.size],
    [C.IPPROTO_IPV6, C.IPV6_RECVERR, layout.sockaddr_in6.size],
  ] as const).map(([level, type, offender]) => ({
    level,
    type,
    bytes: sock_extended_err.size + offender,
    read: (told, _view, at) => told.at = at,
  })),
);

/** Where the `struct sock_extended_err` among the control messages from `at` to `end` is, or -1. */
export function findExtendedError(view: DataView, at: number, end: number): number {
  const found = { at: -1 };
  EXTENDED_ERROR.decode(found, view, at, end);
  return found.at;
}
