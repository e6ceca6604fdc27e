/* line-server.mjs in C: counts line ends and answers every LINES of them with the same bytes.
   line-server LINES REPLY   (REPLY as hex); prints the port it listens on. Linux: epoll, one thread. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 1024, CHUNK = 65536, MAX_REPLY = 1024 };

static unsigned pending[MAX_FD];
static char chunk[CHUNK];
static char out[CHUNK * MAX_REPLY / 8];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int write_all(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(fd, bytes, count);
    if (written < 0) return -1;
    bytes += written;
    count -= (size_t)written;
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  unsigned lines = (unsigned)atoi(argv[1]);
  size_t reply_size = strlen(argv[2]) / 2;
  char reply[MAX_REPLY];
  if (lines == 0 || reply_size == 0 || reply_size > MAX_REPLY / 8) return 2;
  for (size_t i = 0; i < reply_size; i++) {
    unsigned byte;
    if (sscanf(argv[2] + 2 * i, "%2x", &byte) != 1) return 2;
    reply[i] = (char)byte;
  }

  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 511) < 0) fail("listen");
  if (getsockname(listener, (struct sockaddr *)&address, &size) < 0) fail("getsockname");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);

  int poll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event) < 0) fail("epoll");
  for (;;) {
    struct epoll_event ready[64];
    int count = epoll_wait(poll, ready, 64, -1);
    for (int i = 0; i < count; i++) {
      int fd = ready[i].data.fd;
      if (fd == listener) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) continue;
        if (connection >= MAX_FD) {
          close(connection);
          continue;
        }
        int on = 1;
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pending[connection] = 0;
        event.data.fd = connection;
        if (epoll_ctl(poll, EPOLL_CTL_ADD, connection, &event) < 0) fail("epoll_ctl");
        continue;
      }
      ssize_t got = read(fd, chunk, sizeof chunk);
      if (got <= 0) {
        close(fd);
        continue;
      }
      size_t filled = 0;
      for (ssize_t at = 0; at < got; at++) {
        if (chunk[at] != '\n' || ++pending[fd] < lines) continue;
        pending[fd] = 0;
        memcpy(out + filled, reply, reply_size);
        filled += reply_size;
      }
      if (filled > 0 && write_all(fd, out, filled) < 0) close(fd);
    }
  }
}
