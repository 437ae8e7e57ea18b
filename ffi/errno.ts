/**
 * Linux errno numbers, their names, and what a person can do about each.
 *
 * @module
 */

/** Errno values by name (asm-generic: x86-64 and aarch64 alike). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOSPC: 28,
  EPIPE: 32,
  ENOSYS: 38,
  EBADR: 53,
  ETIME: 62,
  ENONET: 64,
  EPROTO: 71,
  EOVERFLOW: 75,
  ENOTSOCK: 88,
  EDESTADDRREQ: 89,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
  ECANCELED: 125,
} as const;

/** The name of an errno this project knows. */
export type ErrnoName = keyof typeof ERRNO;

const NAMES: ReadonlyMap<number, ErrnoName> = new Map(
  Object.entries(ERRNO).map(([name, value]) => [value, name as ErrnoName]),
);

const ADVICE: Partial<Record<ErrnoName, string>> = {
  EPERM: "the system or a firewall forbids it",
  ENOENT: "check the path",
  ENOMEM: "the system is out of memory, or `ulimit -l` (RLIMIT_MEMLOCK) allows no more for the kernel's use",
  EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; broadcasting needs `broadcast: true`",
  EMFILE: "raise `ulimit -n` or close sockets",
  ENFILE: "the system is out of file descriptors",
  EPIPE: "the connection was closed for writing; open a new one",
  EDESTADDRREQ: "pass `to`, or give the socket a `remote` address",
  EMSGSIZE: "a datagram carries at most 65,507 bytes over IPv4 and 65,527 over IPv6",
  EAFNOSUPPORT: "the address family does not fit the socket; bind to an address of the same family",
  EADDRINUSE: "another socket has this address; choose another port, or 0 for any free one",
  EADDRNOTAVAIL: "no interface of this machine has this address",
  ENETUNREACH: "there is no route to this address",
  ECONNRESET: "the peer closed the connection without reading everything",
  ENOBUFS: "net.core.optmem_max or RLIMIT_MEMLOCK is used up by what is in flight",
  ETIMEDOUT: "the peer did not answer in time",
  ECONNREFUSED: "nobody listens at this address",
  EHOSTUNREACH: "the host cannot be reached",
};

/** The name of `errno`, or `"E123"` for one that is not listed. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `E${errno}`;
}

/** What a person can do about `errno`, or `""`. */
export function errnoAdvice(errno: number): string {
  return ADVICE[NAMES.get(errno) as ErrnoName] ?? "";
}
