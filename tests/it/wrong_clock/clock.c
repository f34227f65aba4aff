/*
 * Stands between the program and the system's clock (LD_PRELOAD): the time of the day is what
 * CLOCK_AHEAD says in seconds later than it is. Time that nobody sets is as it is.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = (int)syscall(SYS_clock_gettime, clock, time);
    const char *ahead = getenv("CLOCK_AHEAD");
    if (!failed && clock == CLOCK_REALTIME && ahead)
        time->tv_sec += atol(ahead);
    return failed;
}
