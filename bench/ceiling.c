// What C reaches with io_uring and liburing on the benchmark's device: the ceiling that Ringlet is measured against.
//
//   ceiling udp|udpsaid|udpto|udpmmsg|tcp|tcplink copy|zc|fixed DEPTH SOCKETS ADDRESS PORT BYTES COUNT SEGMENT DESTINATIONS
//
// udp       connected sockets; a send is an entry
// udpsaid   the same; of a train each message says the size of its segments
// udpto     the same, unconnected: every entry carries the address
// udpmmsg   sendmmsg instead of a ring, unconnected, which only copies
// tcp       one message (SENDMSG, SENDMSG_ZC) gathers a socket's payloads of a batch; with `fixed` Linux 6.15 and later
// tcplink   a linked chain of entries, a payload each; slower than `tcp`, and here to be compared
//
// copy sends from ordinary memory, zc without a copy, fixed without a copy from one registered buffer.
//
// SEGMENT is 0; or over UDP a payload is a train of datagrams of so many bytes: UDP_SEGMENT is an option of the socket.
// With udpsaid it is a control message of each message (SENDMSG, SENDMSG_ZC; with `fixed` Linux 6.15 and later).
//
// DESTINATIONS is 1; or, unconnected, each payload goes to so many ports, from PORT on.
//
// It says "ready". Then each line of input, "before COUNT SECONDS" or "within COUNT SECONDS", asks to send for at least so
// long from the first COUNT of the payloads, which are written before the time is taken, or a batch at a time within it;
// the answer is "BYTES SECONDS CPU_SECONDS". Over TCP the receiver answers a byte on the first connection once it has all
// of a pass. The exit status is 3 where this machine lacks something.
//
// It is no slower than liburing's own examples/send-zerocopy doing the same work: COUNT 1 and CEILING_FILES=1, for that sends
// one buffer, which stays in the cache, over a registered file.
//
// For comparisons, from the environment: CEILING_FILES=1 registers the sockets (worth 1 to 3 %; Ringlet does so), and
// CEILING_COUNTERS=1 tells at the end how many sends there were, how many enters, and how many sends the kernel copied.
#define _GNU_SOURCE  // sendmmsg
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

// Linux 6.2, younger than some liburing headers: the notification says whether the kernel copied after all.
#ifndef IORING_SEND_ZC_REPORT_USAGE
#define IORING_SEND_ZC_REPORT_USAGE (1U << 3)
#endif

enum {
  PAGE = 4096,
  CACHE_LINE = 64,
  FAILED = 1,
  MISUSED = 2,
  NOT_HERE = 3,
  MAX_DEPTH = 4096,
  MAX_SOCKETS = 10000,
  MAX_DATAGRAM = 65507,
  MAX_IOVECS = 1024,         // of one message
  MAX_REGISTERED = 1 << 30,  // of one buffer; also more than any send here may have, for a result is an int
};

static enum { UDP, UDP_SAID, UDP_TO, UDP_MMSG, TCP, TCP_LINK } protocol;
static enum { COPY, ZERO_COPY, FIXED } way;
static int stream, registered_files;
static unsigned depth, sockets;
static size_t bytes, stride;
static size_t rotation;  // payloads that take turns in this round
static unsigned destinations;
static struct sockaddr_in *addresses;  // one for each of them

static struct io_uring ring;
static int *fds;
static char *arena;
static struct msghdr *messages;  // the kernel has read these and the next when an enter returns (FEAT_SUBMIT_STABLE)
static struct iovec *iovecs;
static struct mmsghdr *together;  // of sendmmsg

// A train's message with all that it points to, of which only the payload's place changes: a send that had to wait for
// room reads the control message once more.
static struct train {
  struct msghdr message;
  struct iovec payload;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
  } control;
} *trains;

static unsigned batch;        // payloads per enter
static unsigned per_message;  // payloads per entry, at most
static unsigned turn;         // the socket whose turn it is
static unsigned results;      // entries whose result is not in
static unsigned lent;         // payloads that are the kernel's
static unsigned long long sends, enters, copied;

static void end(int status, const char *what, int error) {
  fprintf(stderr, "ceiling: %s: %s\n", what, strerror(error));
  exit(status);
}

static void fail(const char *what, int error) { end(FAILED, what, error); }

// Not here: no such operation, not enough descriptors or memory that can be locked.
static void lack(const char *what, int error) { end(NOT_HERE, what, error); }

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static char *payload(size_t i) { return arena + i * stride; }

// The payload of a send. Where a round has fewer than DEPTH, a datagram's payload is lent several times at once.
static char *sent_payload(size_t send) {
  size_t i = send / destinations;
  return payload(i < rotation ? i : i % rotation);
}

static struct msghdr *next_message(struct iovec *payloads, unsigned n) {
  if (trains == NULL) {
    messages[results] = (struct msghdr){.msg_iov = payloads, .msg_iovlen = n};
    return &messages[results];
  }
  trains[results].payload = *payloads;
  return &trains[results].message;
}

// Prepares one entry: `n` payloads on one socket, to `address` if it is unconnected.
static void prepare_entry(unsigned socket, struct iovec *payloads, unsigned n, unsigned link,
                          struct sockaddr_in *address) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);  // always there: the ring has DEPTH entries
  int fd = registered_files ? (int)socket : fds[socket];
  int flags = stream ? MSG_WAITALL : 0;  // without it a short send counts as a success and the chain goes on
  if (protocol == TCP || trains != NULL) {
    struct msghdr *message = next_message(payloads, n);
    if (way == COPY) io_uring_prep_sendmsg(sqe, fd, message, flags);
    else io_uring_prep_sendmsg_zc(sqe, fd, message, flags);
  } else {
    if (way == COPY) io_uring_prep_send(sqe, fd, payloads->iov_base, bytes, flags);
    else io_uring_prep_send_zc(sqe, fd, payloads->iov_base, bytes, flags, 0);
    if (protocol == UDP_TO) io_uring_prep_send_set_addr(sqe, (struct sockaddr *)address, sizeof *address);
  }
  if (way != COPY) sqe->ioprio |= IORING_SEND_ZC_REPORT_USAGE;
  if (way == FIXED) sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;  // buf_index stays 0, for messages too
  sqe->flags |= link | (registered_files ? IOSQE_FIXED_FILE : 0);
  sqe->user_data = n;
  results++;
}

// The sends `from` to `from + n`, each on the next socket.
static void prepare_datagrams(size_t from, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    struct iovec one = {sent_payload(from + i), bytes};
    prepare_entry(turn, &one, 1, 0, &addresses[(from + i) % destinations]);
    turn = turn + 1 < sockets ? turn + 1 : 0;
  }
}

// The same over TCP, where unlinked sends of one connection could overtake each other: what each connection gets of
// these payloads is one chain.
static void prepare_chains(size_t from, unsigned n) {
  unsigned chains = smaller(sockets, n);
  struct iovec *next = iovecs;
  for (unsigned chain = 0; chain < chains; chain++) {
    for (unsigned i = chain; i < n;) {
      struct iovec *first = next;
      for (; i < n && next < first + per_message; i += chains) *next++ = (struct iovec){sent_payload(from + i), bytes};
      prepare_entry((turn + chain) % sockets, first, next - first, i < n ? IOSQE_IO_LINK : 0, NULL);
    }
  }
  turn = (turn + n) % sockets;
}

// Takes every completion there is. A payload comes back with the notification where F_MORE announced one, else with the
// result.
static void drain(void) {
  struct io_uring_cqe *cqe;
  unsigned head, seen = 0;
  io_uring_for_each_cqe(&ring, head, cqe) {
    seen++;
    if (cqe->flags & IORING_CQE_F_NOTIF) {
      if ((unsigned)cqe->res >> 31) copied += cqe->user_data;
      lent -= cqe->user_data;
      continue;
    }
    if (cqe->res < 0) fail("send", -cqe->res);
    if ((size_t)cqe->res != cqe->user_data * bytes) fail("a send was short", EIO);
    results--;
    if (!(cqe->flags & IORING_CQE_F_MORE)) lent -= cqe->user_data;
  }
  io_uring_cq_advance(&ring, seen);
}

// Makes the sends `from` to `from + n`, whose addresses are in place already.
static void send_together(size_t from, size_t n) {
  for (size_t i = 0; i < n; i++) iovecs[i].iov_base = sent_payload(from + i);
  for (size_t done = 0; done < n;) {
    int taken = sendmmsg(fds[turn], together + done, n - done, 0);
    if (taken < 0 && errno != EINTR) fail("sendmmsg", errno);
    done += taken < 0 ? 0 : taken;
    enters++;
  }
  sends += n;
}

// Makes the sends `from` to `from + n`; returns when all of them may be written again. Results are waited for in the
// enter that submits, and notifications are usually there by then. Never more is waited for than must come, even if
// every send fails.
static void send_payloads(size_t from, size_t n) {
  for (; protocol == UDP_MMSG && n > 0; from += smaller(n, depth), n -= smaller(n, depth)) {
    send_together(from, smaller(n, depth));
  }
  while (n > 0 || lent > 0) {
    unsigned next = smaller(n, batch);
    if (next > 0 && lent + next <= depth && (!stream || results == 0)) {
      if (stream) prepare_chains(from, next);
      else prepare_datagrams(from, next);
      lent += next;
      sends += next;
      from += next;
      n -= next;
    }
    int submitted = io_uring_submit_and_wait(&ring, results > 0 ? results : 1);
    if (submitted < 0 && submitted != -EINTR) fail("io_uring_enter", -submitted);
    enters++;
    drain();
  }
}

// Writes payloads with something that was not in them before.
static void write_payloads(size_t from, size_t n, unsigned long long sent) {
  for (size_t i = from; i < from + n; i++) memset(payload(i), (int)(i + sent), bytes);
}

static double wall_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void await_answer(int fd) {
  char answer;
  ssize_t got = recv(fd, &answer, 1, 0);
  if (got != 1) fail("the receiver's answer", got < 0 ? errno : ECONNRESET);
}

// Sends the first `n` payloads once and again, for at least `wanted` seconds.
static void run_round(int within, size_t n, double wanted) {
  size_t all = n * destinations;
  size_t in_pass = within || stream || all > depth ? all : depth;
  unsigned long long sent = 0;
  rotation = n;
  double seconds = 0, cpu = 0;
  while (seconds < wanted) {
    if (!within) write_payloads(0, n, sent);
    double cpu_start = cpu_seconds(), start = wall_seconds();
    for (size_t at = 0, step = within ? depth : in_pass; at < in_pass; at += step) {
      size_t now = smaller(step, in_pass - at);
      if (within) write_payloads(at / destinations, now / destinations, sent);
      send_payloads(at, now);
    }
    if (stream) await_answer(fds[0]);
    seconds += wall_seconds() - start;
    cpu += cpu_seconds() - cpu_start;
    sent += in_pass * bytes;
  }
  printf("%llu %.9f %.6f\n", sent, seconds, cpu);
  fflush(stdout);
}

static void prepare_trains(uint16_t segment) {
  trains = calloc(depth, sizeof *trains);
  if (!trains) fail("memory", ENOMEM);
  for (struct train *train = trains; train < trains + depth; train++) {
    train->control.header =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof segment), .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT};
    memcpy(CMSG_DATA(&train->control.header), &segment, sizeof segment);
    train->message = (struct msghdr){.msg_iov = &train->payload, .msg_iovlen = 1, .msg_control = &train->control};
    train->message.msg_controllen = sizeof train->control;
  }
}

// Everything of sendmmsg's messages but the payloads' places.
static void prepare_together(void) {
  together = calloc(depth, sizeof *together);
  if (!together) fail("memory", ENOMEM);
  for (unsigned i = 0; i < depth; i++) {
    iovecs[i].iov_len = bytes;
    struct sockaddr_in *address = &addresses[i % destinations];
    together[i].msg_hdr =
        (struct msghdr){.msg_name = address, .msg_namelen = sizeof *address, .msg_iov = &iovecs[i], .msg_iovlen = 1};
  }
}

static void open_sockets(int segment) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  for (unsigned i = 0; i < sockets; i++) {
    fds[i] = socket(AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (fds[i] < 0) lack("socket", errno);
    // Zero-copy segments are rarely full, and one that is not would wait for the acknowledgement of the last such.
    if (stream && setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0) fail("TCP_NODELAY", errno);
    if (segment != 0 && setsockopt(fds[i], IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) < 0) lack("UDP_SEGMENT", errno);
    if (protocol == UDP_TO || protocol == UDP_MMSG) continue;
    if (connect(fds[i], (struct sockaddr *)addresses, sizeof *addresses) < 0) fail("connect", errno);
  }
}

// DEFER_TASKRUN, since it was as fast as COOP_TASKRUN for copies and 2 % faster for zero-copy sends, whose
// notifications are task work. (It posts nothing without an enter, so a program with an event loop may not want it.)
// A registered ring descriptor made no difference. A kernel thread that polls would take a second processor.
static void open_ring(size_t arena_bytes) {
  int error = io_uring_queue_init(depth, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (error < 0) lack("io_uring_setup", -error);
  struct iovec all = {arena, arena_bytes};
  if (way == FIXED && (error = io_uring_register_buffers(&ring, &all, 1)) < 0) lack("registering memory", -error);
  if (registered_files && (error = io_uring_register_files(&ring, fds, sockets)) < 0) fail("registering files", -error);
}

// The index of `word` among `words`, a table that ends with NULL.
static int choice(const char *word, const char *const words[]) {
  for (int i = 0; words[i] != NULL; i++)
    if (strcmp(word, words[i]) == 0) return i;
  fprintf(stderr, "ceiling: no such mode: %s\n", word);
  exit(MISUSED);
}

static size_t number(const char *word, const char *what, size_t min, size_t max) {
  char *end;
  unsigned long long value = strtoull(word, &end, 10);
  if (*end == '\0' && value >= min && value <= max) return value;
  fprintf(stderr, "ceiling: %s must be %zu to %zu, not %s\n", what, min, max, word);
  exit(MISUSED);
}

int main(int argc, char **argv) {
  if (argc != 11) {
    fputs("usage: ceiling udp|udpsaid|udpto|udpmmsg|tcp|tcplink copy|zc|fixed DEPTH SOCKETS ADDRESS PORT BYTES COUNT SEGMENT "
          "DESTINATIONS\n", stderr);
    return MISUSED;
  }
  protocol = choice(argv[1], (const char *const[]){"udp", "udpsaid", "udpto", "udpmmsg", "tcp", "tcplink", NULL});
  way = choice(argv[2], (const char *const[]){"copy", "zc", "fixed", NULL});
  stream = protocol == TCP || protocol == TCP_LINK;
  depth = number(argv[3], "DEPTH", 1, MAX_DEPTH);
  sockets = number(argv[4], "SOCKETS", 1, MAX_SOCKETS);
  unsigned port = number(argv[6], "PORT", 1, 65535);
  struct in_addr host;
  if (inet_pton(AF_INET, argv[5], &host) != 1) fail(argv[5], EINVAL);
  bytes = number(argv[7], "BYTES", 1, stream ? MAX_REGISTERED : MAX_DATAGRAM);
  stride = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
  size_t count = number(argv[8], "COUNT", 1, (way == FIXED ? MAX_REGISTERED : SIZE_MAX / 2) / stride);
  uint16_t segment = number(argv[9], "SEGMENT", 0, stream || protocol == UDP_MMSG ? 0 : MAX_DATAGRAM);
  // A batch goes to all of them once, or several times: so the messages of sendmmsg keep their addresses.
  int many = protocol == UDP_TO || protocol == UDP_MMSG;
  destinations = number(argv[10], "DESTINATIONS", 1, many && segment == 0 ? smaller(depth, 65536 - port) : 1);
  if (depth % destinations != 0) fail("DEPTH is no multiple of DESTINATIONS", EINVAL);
  addresses = calloc(destinations, sizeof *addresses);
  registered_files = getenv("CEILING_FILES") != NULL;
  per_message = protocol == TCP ? smaller(MAX_IOVECS, MAX_REGISTERED / bytes) : 1;
  // The notifications of a stream come with the peer's acknowledgement, which may be delayed by 40 ms until more comes:
  // so two batches take turns there.
  batch = stream && way != COPY ? (depth + 1) / 2 : depth;

  size_t arena_bytes = (stride * count + PAGE - 1) / PAGE * PAGE;
  arena = aligned_alloc(PAGE, arena_bytes);
  fds = calloc(sockets, sizeof *fds);
  messages = calloc(depth, sizeof *messages);
  iovecs = calloc(depth, sizeof *iovecs);
  if (!arena || !fds || !messages || !iovecs || !addresses) fail("memory", ENOMEM);
  for (unsigned i = 0; i < destinations; i++) {
    addresses[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port + i), .sin_addr = host};
  }
  // As Ringlet: a send from a registered huge page is charged to the socket with all of the page that lies before it, so
  // that a local receiver drops what it has room for. On the device that drops everything it makes no difference.
  madvise(arena, arena_bytes, MADV_NOHUGEPAGE);
  if (protocol == UDP_SAID && segment != 0 && segment < bytes) prepare_trains(segment);
  if (protocol == UDP_MMSG) prepare_together();
  open_sockets(protocol == UDP_SAID ? 0 : segment);
  open_ring(arena_bytes);

  puts("ready");
  fflush(stdout);
  char writing[16];
  size_t n;
  double wanted;
  static const char *const writings[] = {"before", "within", NULL};
  while (scanf("%15s %zu %lf", writing, &n, &wanted) == 3) {
    if (n < 1 || n > count) fail("more payloads asked for than there are", EINVAL);
    run_round(choice(writing, writings), n, wanted);
  }
  if (!feof(stdin)) fail("a line of input", EINVAL);
  if (getenv("CEILING_COUNTERS")) fprintf(stderr, "sends %llu enters %llu copied %llu\n", sends, enters, copied);
  return 0;
}
