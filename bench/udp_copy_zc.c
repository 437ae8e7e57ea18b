// What C reaches on the benchmark's device: sendmmsg with and without MSG_ZEROCOPY, error queue included, libc only.
//
//   udp_copy_zc copy|zerocopy ADDRESS PORT BYTES BUFFERS
//
// Each line of input, "before COUNT BYTES" or "within COUNT BYTES", asks to send at least so many bytes from the first buffers, which
// are written before the time is taken or within it; the answer is "BYTES SECONDS CPU_SECONDS".
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 32, HUGE_PAGE = 2 << 20 };

static int fd, zerocopy;
static char *memory;
static size_t bytes;
static unsigned outstanding;
static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];

static void clocks(double at[2]) {
  struct timespec t, cpu;
  clock_gettime(CLOCK_MONOTONIC, &t);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  at[0] = t.tv_sec + t.tv_nsec / 1e9;
  at[1] = cpu.tv_sec + cpu.tv_nsec / 1e9;
}

// Reads the error queue empty.
static void collect(void) {
  for (;;) {
    char control[128];
    struct msghdr message = {.msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
    struct sock_extended_err *error = (void *)CMSG_DATA(CMSG_FIRSTHDR(&message));
    if (error->ee_origin == SO_EE_ORIGIN_ZEROCOPY) outstanding -= error->ee_data - error->ee_info + 1;
  }
}

// Sends the batch that begins at buffer `from`; returns when the kernel has let go of it.
static void send_batch(size_t from) {
  for (unsigned i = 0; i < BATCH; i++) parts[i] = (struct iovec){memory + (from + i) * bytes, bytes};
  for (unsigned done = 0; done < BATCH;) {
    int taken = sendmmsg(fd, messages + done, BATCH - done, zerocopy ? MSG_ZEROCOPY : 0);
    if (taken < 0 && errno != ENOBUFS) exit(1);
    if (taken > 0) done += taken;
    if (taken > 0 && zerocopy) outstanding += taken;
    if (zerocopy) collect();
  }
  while (outstanding > 0) collect();
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
  zerocopy = strcmp(argv[1], "zerocopy") == 0;
  bytes = atol(argv[4]);
  size_t buffers = atol(argv[5]), all = (bytes * buffers + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) return 2;
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &(int){1}, sizeof(int)) < 0) return 1;
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return 1;
  memory = aligned_alloc(HUGE_PAGE, all);
  madvise(memory, all, MADV_HUGEPAGE);
  for (unsigned i = 0; i < BATCH; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};

  char writing[16];
  size_t count;
  unsigned long long wanted;
  while (scanf("%15s %zu %llu", writing, &count, &wanted) == 3 && count <= buffers && count % BATCH == 0) {
    int within = strcmp(writing, "within") == 0;
    unsigned long long sent = 0;
    double start[2], end[2], seconds = 0, cpu = 0;
    for (int stamp = 0; sent < wanted; stamp++) {
      if (!within) memset(memory, stamp, bytes * count);
      clocks(start);
      for (size_t from = 0; from < count; from += BATCH) {
        if (within) memset(memory + from * bytes, stamp, bytes * BATCH);
        send_batch(from);
      }
      clocks(end);
      seconds += end[0] - start[0];
      cpu += end[1] - start[1];
      sent += bytes * count;
    }
    printf("%llu %.6f %.6f\n", sent, seconds, cpu);
    fflush(stdout);
  }
  return 0;
}
