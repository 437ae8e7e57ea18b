/**
 * Trains of datagrams: one send that the kernel, or its device, cuts into segments of one size (UDP_SEGMENT, Linux 4.18).
 *
 * How many segments one may have is tried once in a process, and a device may still refuse: then the core sends the
 * same train segment by segment, and the socket's limit is 1 from then on.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { encodeNumeric } from "../ffi/address.ts";
import type { System } from "../ffi/system.ts";
import { setOption } from "./options.ts";

/** What kernels take: 128 since Linux 6.9 and its stable relatives, 64 before. */
const LIMITS = [128, 64] as const;
/** Segments of a train that no kernel sees as one. */
export const MOST_SEGMENTS = LIMITS[0];

let found: number | undefined;

/** How many segments a train may have here, tried once with one-byte segments on loopback; 1 where the kernel takes no trains. */
export function tryTrains(system: System): number {
  return found ??= mostSegments(system);
}

function mostSegments(system: System): number {
  const { call } = system.libc;
  const fd = call.socket(C.AF_INET, C.SOCK_DGRAM | C.SOCK_CLOEXEC, 0);
  if (fd < 0) return 1;
  try {
    const here = encodeNumeric(system, "127.0.0.1", 0)!.bytes;
    if (call.bind(fd, here, here.length) < 0 || setOption(system, fd, C.IPPROTO_UDP, C.UDP_SEGMENT, 1) !== 0) return 1;
    const length = new Uint8Array(Uint32Array.of(here.length).buffer);
    // It sends to itself, and nobody reads.
    if (call.getsockname(fd, here, length) < 0 || call.connect(fd, here, here.length) < 0) return 1;
    const taken = (segments: number) => call.write(fd, new Uint8Array(segments), BigInt(segments)) === segments;
    return LIMITS.find(taken) ?? 1;
  } finally {
    call.close(fd);
  }
}

/** The kernel's release, as `uname -r` says it. The runtime would want a permission for that. */
export function kernelRelease(system: System): string {
  const { utsname } = layout;
  const name = new Uint8Array(utsname.size);
  system.libc.call.uname(name);
  const release = name.subarray(utsname.release, utsname.version);
  return new TextDecoder().decode(release.subarray(0, release.indexOf(0)));
}

/**
 * Whether a kernel sometimes fails zero-copy trains with EFAULT: when one had to wait for room, the second attempt takes the
 * kernel's own copy of the control messages for the program's (liburing #1067; mended in Linux 6.9).
 *
 * @param release As {@linkcode kernelRelease} says it. Rings as they are made here came with 6.5.
 */
export function failsTrains(release: string): boolean {
  const [major, minor] = release.split(".").map(Number);
  return major === 6 && minor < 9;
}
