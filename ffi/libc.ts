/**
 * libc's functions as this project calls them: one entry each, with the C prototype beside it.
 *
 * Pointers are `u64` where a hot path passes an address it keeps (a `bigint` made once), and `buffer` elsewhere. Lengths that
 * never pass 2 GiB are 32-bit, because a number handed to a 64-bit parameter costs twenty times as much.
 *
 * @module
 */
import type { Library, Runtime, SymbolTable } from "./runtime.ts";

/** The symbols of libc. */
export const LIBC = {
  // int socket(int domain, int type, int protocol)
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int bind(int fd, const struct sockaddr *addr, socklen_t len)
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int listen(int fd, int backlog)
  listen: { parameters: ["i32", "i32"], result: "i32" },
  // int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  // int connect(int fd, const struct sockaddr *addr, socklen_t len)
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int getsockname(int fd, struct sockaddr *addr, socklen_t *len)
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int getpeername(int fd, struct sockaddr *addr, socklen_t *len)
  getpeername: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  // int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  // int shutdown(int fd, int how)
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  // int close(int fd)
  close: { parameters: ["i32"], result: "i32" },
  // int sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags)
  sendmmsg: { parameters: ["i32", "u64", "u32", "i32"], result: "i32" },
  // ssize_t recvmsg(int fd, struct msghdr *message, int flags)   (at most 0x7ffff000 bytes: fits 32 bits)
  recvmsg: { parameters: ["i32", "u64", "i32"], result: "i32" },
  // int recvmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout)
  recvmmsg: { parameters: ["i32", "u64", "u32", "i32", "u64"], result: "i32" },
  // int ioctl(int fd, unsigned long request, int *value)   (variadic; these are the forms used)
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  // int fcntl(int fd, int command, int value)   (variadic; this is the form used)
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int getrlimit(int resource, struct rlimit *limits)
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  // int epoll_create1(int flags)
  epoll_create1: { parameters: ["i32"], result: "i32" },
  // int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int epoll_wait(int epfd, struct epoll_event *events, int n, int timeout)
  epoll_wait: { parameters: ["i32", "u64", "i32", "i32"], result: "i32" },
  // int poll(struct pollfd *fds, nfds_t n, int timeout)
  poll: { parameters: ["u64", "u64", "i32"], result: "i32", nonblocking: true },
  pollNow: { name: "poll", parameters: ["buffer", "u64", "i32"], result: "i32" },
  // int eventfd(unsigned value, int flags)
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  // int pipe2(int fds[2], int flags)
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  // int uname(struct utsname *name)
  uname: { parameters: ["buffer"], result: "i32" },
  // ssize_t write(int fd, const void *bytes, size_t n)
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  // ssize_t read(int fd, void *bytes, size_t n)
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  // int clock_gettime(clockid_t clock, struct timespec *now)
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  // int madvise(void *address, size_t n, int advice)
  madvise: { parameters: ["u64", "usize", "i32"], result: "i32" },
  // void *malloc(size_t n)
  malloc: { parameters: ["usize"], result: "u64" },
  // void free(void *address)
  free: { parameters: ["u64"], result: "void" },
  // void *memcpy(void *to, const void *from, size_t n): read and write memory outside the program's own
  peek: { name: "memcpy", parameters: ["buffer", "u64", "usize"], result: "u64" },
  poke: { name: "memcpy", parameters: ["u64", "buffer", "usize"], result: "u64" },
  // long syscall(long number, ...)   (variadic; these are the forms used, and their results fit 32 bits)
  io_uring_setup: { name: "syscall", parameters: ["u64", "u32", "u64"], result: "i32" },
  io_uring_enter: { name: "syscall", parameters: ["u64", "i32", "u32", "u32", "u32", "u64", "usize"], result: "i32" },
  io_uring_register: { name: "syscall", parameters: ["u64", "i32", "u32", "u64", "u32"], result: "i32" },
  // int inet_pton(int family, const char *text, void *address)
  inet_pton: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // const char *inet_ntop(int family, const void *address, char *text, socklen_t n)
  inet_ntop: { parameters: ["i32", "buffer", "buffer", "u32"], result: "u64" },
  // unsigned if_nametoindex(const char *name)
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
  // char *if_indextoname(unsigned index, char *name)
  if_indextoname: { parameters: ["u32", "buffer"], result: "u64" },
  // int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
  getaddrinfo: { parameters: ["u64", "u64", "u64", "u64"], result: "i32", nonblocking: true },
  // void freeaddrinfo(struct addrinfo *list)
  freeaddrinfo: { parameters: ["u64"], result: "void" },
} as const satisfies SymbolTable;

/** An open libc. */
export type Libc = Library<typeof LIBC>;

/**
 * Where distributions keep a library such as `libc.so.6`. Absolute, because Deno resolves a bare name against the working directory
 * and its `--allow-ffi=<path>` compares paths.
 */
export function libraryPaths(arch: string, file: string): readonly string[] {
  const triplet = arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  return [`/lib/${triplet}`, `/usr/lib/${triplet}`, "/lib64", "/usr/lib64", "/usr/lib"].map((folder) =>
    `${folder}/${file}`
  );
}

/** Where distributions keep libc. */
export function libcPaths(arch: string): readonly string[] {
  return libraryPaths(arch, "libc.so.6");
}

/**
 * Opens libc through `runtime`.
 *
 * @throws {Error} when it is nowhere to be found or the program may not open it.
 */
export function openLibc(runtime: Runtime): Libc {
  return runtime.openLibrary(libcPaths(runtime.arch), LIBC);
}
