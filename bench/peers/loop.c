/* A control loop in C on absolute deadlines: clock_nanosleep until each, nothing to do.
   loop PERIOD_US SECONDS; prints "p50 p99 p99.9 max missed", lateness in microseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static long long now_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static int by_size(const void *a, const void *b) {
  long long left = *(const long long *)a, right = *(const long long *)b;
  return (left > right) - (left < right);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  long long period_ns = atoll(argv[1]) * 1000, seconds = atoll(argv[2]);
  if (period_ns <= 0 || seconds <= 0) return 2;
  long long wanted = seconds * 1000000000LL / period_ns, missed = 0, ticks = 0;
  long long *late_ns = malloc(sizeof(long long) * (size_t)(wanted + 1));
  if (late_ns == NULL) return 1;
  /* What the motion thread asks for as well; without the permission neither gets it. */
  (void)setpriority(PRIO_PROCESS, 0, -10);
  long long start_ns = now_ns();
  for (long long due = 1; due <= wanted; due++) {
    long long due_ns = start_ns + due * period_ns;
    struct timespec until = {due_ns / 1000000000LL, due_ns % 1000000000LL};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    long long at_ns = now_ns();
    late_ns[ticks++] = at_ns - due_ns;
    long long passed = (at_ns - start_ns) / period_ns;
    if (passed > due) {
      missed += passed - due;
      due = passed;
    }
  }
  qsort(late_ns, (size_t)ticks, sizeof(long long), by_size);
  printf("%.1f %.1f %.1f %.1f %lld\n", late_ns[ticks / 2] / 1e3, late_ns[ticks * 99 / 100] / 1e3, late_ns[ticks * 999 / 1000] / 1e3,
         late_ns[ticks - 1] / 1e3, missed);
  return 0;
}
