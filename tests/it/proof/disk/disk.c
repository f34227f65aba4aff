/*
 * Stands between the program and its disk (LD_PRELOAD). Knows nothing of SQLite.
 *
 * Of the files below PROOF_WATCHED it writes down, in the order in which they happen, what is
 * written and cut off, which syncs begin and how they end; and of every connection the status of
 * each HTTP answer, before the answer leaves. One record is one append to PROOF_TRACE: no lock is
 * held meanwhile, so the program's threads race here as they do without this. Without a PROOF_TRACE
 * nothing is written down.
 *
 * The first two bytes of PROOF_FAULT, which may change at any time, say what fails: (s)yncs, (w)rites,
 * what needs room on a disk that is (n)early full, what a (r)ead-only disk refuses; and where: in the
 * (l)og, in the (b)ase, or anywhere (*). Or what is slow: (d)elayed syncs. The index of the log, which
 * SQLite keeps in memory but in a file, is neither log nor base.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* As trace.rs reads it. */
struct head {
    uint32_t kind, process, thread, name_length;
    uint64_t offset, data_length;
};

static const char *watched;
static size_t watched_length;
static volatile const char *fault = "--";
static int trace = -1;

/* How long a sync is delayed. */
static const struct timespec delay = {2, 0};

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("PROOF_FAULT");
    watched = getenv("PROOF_WATCHED");
    watched_length = strlen(watched);
    const char *to = getenv("PROOF_TRACE");
    if (to != NULL) trace = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_APPEND | O_CLOEXEC);
    int file = syscall(SYS_openat, AT_FDCWD, at, O_RDONLY | O_CLOEXEC);
    fault = mmap(NULL, 2, PROT_READ, MAP_SHARED, file, 0);
    if ((to != NULL && trace < 0) || file < 0 || fault == MAP_FAILED) abort();
}

static void tell(char kind, const char *name, uint64_t offset, const void *data, size_t length) {
    if (trace < 0) return;
    int error = errno;
    struct head head = {kind, getpid(), syscall(SYS_gettid), strlen(name), offset, length};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)name, head.name_length}, {(void *)data, length}};
    size_t whole = sizeof head + head.name_length + length;
    if (syscall(SYS_writev, trace, parts, 3) != (long)whole) abort();
    errno = error;
}

/* The path relative to the watched folder, which itself is ""; NULL for all that is elsewhere. */
static const char *below(const char *path) {
    if (strncmp(path, watched, watched_length) != 0) return NULL;
    path += watched_length;
    return *path == '/' ? path + 1 : *path == 0 ? path : NULL;
}

static const char *name_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    return below(path);
}

/* Whether an operation of this kind on this file fails now. */
static int fails(const char *kinds, const char *name) {
    if (fault[0] == 0 || strchr(kinds, fault[0]) == NULL) return 0;
    if (fault[1] == '*') return 1;
    const char *end = fault[1] == 'l' ? "-wal" : ".db";
    size_t length = strlen(name), of_end = strlen(end);
    return length > of_end && strcmp(name + length - of_end, end) == 0;
}

static int refused(const char *name) {
    int error = fault[0] == 'n' ? ENOSPC : fault[0] == 'r' ? EROFS : EIO;
    tell('x', name, 0, "", 0);
    errno = error;
    return -1;
}

static ssize_t put(int fd, const char *name, const void *data, size_t length, off_t at) {
    if (fails("wnr", name)) {
        /* A disk that fills up takes what there is room for. */
        size_t room = fault[0] == 'n' ? length / 2 : 0;
        if (room == 0 || length < 512) return refused(name);
        length = room;
    }
    ssize_t done = syscall(SYS_pwrite64, fd, data, length, at);
    if (done > 0) tell('w', name, at, data, done);
    return done;
}

static void answer(int fd, const void *data, size_t length) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    const char *text = data;
    if (length < 12 || memcmp(text, "HTTP/1.1 ", 9) != 0) return;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 || peer.ss_family != AF_INET) return;
    tell('a', "", ntohs(((struct sockaddr_in *)&peer)->sin_port), text + 9, 3);
}

ssize_t write(int fd, const void *data, size_t length) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (name != NULL) {
        off_t at = lseek(fd, 0, SEEK_CUR);
        ssize_t done = put(fd, name, data, length, at);
        if (done > 0) lseek(fd, at + done, SEEK_SET);
        return done;
    }
    answer(fd, data, length);
    return syscall(SYS_write, fd, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    return name != NULL ? put(fd, name, data, length, at) : syscall(SYS_pwrite64, fd, data, length, at);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (count > 0) answer(fd, parts[0].iov_base, parts[0].iov_len);
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
    answer(fd, data, length);
    return syscall(SYS_sendto, fd, data, length, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (message->msg_iovlen > 0) answer(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return syscall(SYS_sendmsg, fd, message, flags);
}

static int synced(long number, int fd) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (name == NULL) return syscall(number, fd);
    tell('s', name, 0, "", 0);
    if (fails("s", name)) return refused(name);
    if (fails("d", name)) nanosleep(&delay, NULL);
    int done = syscall(number, fd);
    tell(done == 0 ? 'S' : 'x', name, 0, "", 0);
    return done;
}

int fsync(int fd) { return synced(SYS_fsync, fd); }

int fdatasync(int fd) { return synced(SYS_fdatasync, fd); }

int ftruncate64(int fd, off64_t length) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (name != NULL && fails("wnr", name)) return refused(name);
    int done = syscall(SYS_ftruncate, fd, length);
    if (name != NULL && done == 0) tell('t', name, length, "", 0);
    return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int unlink(const char *path) {
    const char *name = below(path);
    if (name != NULL && fails("r", name)) return refused(name);
    int done = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (name != NULL && done == 0) tell('u', name, 0, "", 0);
    return done;
}

static int opened(const char *path, int flags, mode_t mode) {
    int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    const char *name = fd >= 0 && (flags & O_CREAT) ? below(path) : NULL;
    if (name != NULL) tell('c', name, 0, "", 0);
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, flags, mode);
}
