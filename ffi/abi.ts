/**
 * Linux constants, struct sizes and field offsets, each written once. `tests/ffi/abi.test.ts` compiles a C program and compares
 * every entry with the system's own headers. The numbers hold on x86-64 and aarch64 (LP64, little endian); the few that differ
 * stand in {@linkcode epollEvent}.
 *
 * @module
 */

/** Constants of libc and the kernel, under their C names. */
export const C = {
  AF_UNIX: 1,
  AF_INET: 2,
  AF_INET6: 10,
  SOCK_STREAM: 1,
  SOCK_DGRAM: 2,
  SOCK_NONBLOCK: 0o4000,
  SOCK_CLOEXEC: 0o2000000,
  SOL_SOCKET: 1,
  SO_REUSEADDR: 2,
  SO_ERROR: 4,
  SO_BROADCAST: 6,
  SO_SNDBUF: 7,
  SO_RCVBUF: 8,
  SO_KEEPALIVE: 9,
  SO_REUSEPORT: 15,
  SO_ZEROCOPY: 60,
  IPPROTO_IP: 0,
  IPPROTO_TCP: 6,
  IPPROTO_UDP: 17,
  IPPROTO_IPV6: 41,
  TCP_NODELAY: 1,
  TCP_KEEPIDLE: 4,
  TCP_KEEPINTVL: 5,
  TCP_KEEPCNT: 6,
  IP_MULTICAST_TTL: 33,
  IP_MULTICAST_LOOP: 34,
  IP_ADD_MEMBERSHIP: 35,
  IP_DROP_MEMBERSHIP: 36,
  IP_RECVERR: 11,
  IPV6_MULTICAST_HOPS: 18,
  IPV6_MULTICAST_LOOP: 19,
  IPV6_ADD_MEMBERSHIP: 20,
  IPV6_DROP_MEMBERSHIP: 21,
  IPV6_RECVERR: 25,
  IPV6_V6ONLY: 26,
  MSG_TRUNC: 0x20,
  MSG_DONTWAIT: 0x40,
  MSG_ERRQUEUE: 0x2000,
  MSG_NOSIGNAL: 0x4000,
  MSG_ZEROCOPY: 0x4000000,
  SHUT_WR: 1,
  SO_EE_ORIGIN_ZEROCOPY: 5,
  SO_EE_CODE_ZEROCOPY_COPIED: 1,
  EPOLL_CLOEXEC: 0o2000000,
  EPOLL_CTL_ADD: 1,
  EPOLL_CTL_DEL: 2,
  EPOLLIN: 0x1,
  EPOLLOUT: 0x4,
  EPOLLERR: 0x8,
  EPOLLRDHUP: 0x2000,
  EPOLLET: 0x80000000,
  EFD_CLOEXEC: 0o2000000,
  EFD_NONBLOCK: 0o4000,
  O_CLOEXEC: 0o2000000,
  O_NONBLOCK: 0o4000,
  POLLIN: 0x1,
  SIOCOUTQ: 0x5411,
  SOMAXCONN: 4096,
  IFNAMSIZ: 16,
  MADV_HUGEPAGE: 14,
  EAI_NONAME: -2,
  EAI_NODATA: -5,
  EAI_AGAIN: -3,
} as const;

/** Sizes of structs and offsets of their fields, in bytes, under their C names; `size` is `sizeof`. */
export const layout = {
  msghdr: {
    size: 56,
    msg_name: 0,
    msg_namelen: 8,
    msg_iov: 16,
    msg_iovlen: 24,
    msg_control: 32,
    msg_controllen: 40,
    msg_flags: 48,
  },
  mmsghdr: { size: 64, msg_hdr: 0, msg_len: 56 },
  iovec: { size: 16, iov_base: 0, iov_len: 8 },
  cmsghdr: { size: 16, cmsg_len: 0, cmsg_level: 8, cmsg_type: 12 },
  sock_extended_err: {
    size: 16,
    ee_errno: 0,
    ee_origin: 4,
    ee_type: 5,
    ee_code: 6,
    ee_info: 8,
    ee_data: 12,
  },
  sockaddr_in: { size: 16, sin_family: 0, sin_port: 2, sin_addr: 4 },
  sockaddr_in6: {
    size: 28,
    sin6_family: 0,
    sin6_port: 2,
    sin6_flowinfo: 4,
    sin6_addr: 8,
    sin6_scope_id: 24,
  },
  sockaddr_un: { size: 110, sun_family: 0, sun_path: 2 },
  addrinfo: {
    size: 48,
    ai_flags: 0,
    ai_family: 4,
    ai_socktype: 8,
    ai_protocol: 12,
    ai_addrlen: 16,
    ai_addr: 24,
    ai_canonname: 32,
    ai_next: 40,
  },
  pollfd: { size: 8, fd: 0, events: 4, revents: 6 },
  ip_mreqn: { size: 12, imr_multiaddr: 0, imr_address: 4, imr_ifindex: 8 },
  ipv6_mreq: { size: 20, ipv6mr_multiaddr: 0, ipv6mr_interface: 16 },
} as const;

/** `struct epoll_event` is packed on x86-64 only. */
export const epollEvent = {
  x64: { size: 12, events: 0, data: 4 },
  arm64: { size: 16, events: 0, data: 8 },
} as const;

/** A processor whose layouts are known here. */
export type Arch = keyof typeof epollEvent;
