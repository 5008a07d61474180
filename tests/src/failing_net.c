/* Preloaded into the daemon: a network that fails, as the kernel and the resolver show one to a
 * program. Calls that a program makes without the C library (rustix) aren't seen here.
 *
 * $NET_FAILS: while there is such a file, of each hundred calls as many fail as its first byte
 * says, those whose letters follow, up to a line's end. A byte is added to it for each that failed.
 *
 * c: connect        a: accept        k: socket       e: epoll_ctl, for a new descriptor
 * i: receiving      o: sending       d: shutdown     s: reading and setting options
 * n: asking for the addresses of a connection's ends
 * p: no failure; a few bytes at a time, or none yet. The descriptor is armed anew, so that the
 *    program hears of the rest as it would from the kernel.
 *
 * $NET_NAMES: while there is such a file, it says what each name leads to: addresses, one a line;
 * or "hangs", until it says something else, with a byte added for each call that does; or the error of getaddrinfo by its number. An empty
 * file is an answer without addresses. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "dice.h"

#define ANY(...) any((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* Who waits for a descriptor, and for what. */
static struct waiting {
    int at;
    struct epoll_event event;
} waiting[65536];

static int any(const int *errors, size_t count) {
    return errors[dice() % count];
}

/* Whether a call of that kind fails now. */
static int fails(char kind) {
    char says[32] = {0};
    const char *path = getenv("NET_FAILS");
    int error = errno;
    int file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_APPEND) : -1;
    int does = 0;
    if (file >= 0) {
        syscall(SYS_pread64, file, says, sizeof says - 1, 0);
        does = says[0] && memchr(says + 1, kind, strcspn(says + 1, "\n"));
        does = does && dice() % 100 < (unsigned char)says[0];
        if (does) syscall(SYS_write, file, "x", 1);
        syscall(SYS_close, file);
    }
    errno = error;
    return does;
}

/* Those of TCP alone: the runtime's own wakings come over others. */
static int is_tcp(int fd) {
    int domain = 0, error = errno;
    socklen_t length = sizeof domain;
    int asked = syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
    errno = error;
    return asked == 0 && (domain == AF_INET || domain == AF_INET6);
}

static int fails_at(int fd, char kind, int failure) {
    if (!is_tcp(fd) || !fails(kind)) return 0;
    errno = failure;
    return 1;
}

/* What of a descriptor was left is told as if it had just come. */
static void arm(int fd) {
    int error = errno;
    struct waiting *who = &waiting[fd & 65535];
    if (who->at > 0) syscall(SYS_epoll_ctl, who->at, EPOLL_CTL_MOD, fd, &who->event);
    errno = error;
}

/* How many of so many bytes are moved now; those of a descriptor that blocks are never none. */
static ssize_t piece(int fd, size_t length) {
    if (length < 2 || !is_tcp(fd) || !fails('p')) return length;
    int waits = !(syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK);
    return waits || dice() % 2 ? 1 + dice() % (length < 9 ? length - 1 : 8) : 0;
}

static ssize_t not_yet(int fd) {
    arm(fd);
    errno = EAGAIN;
    return -1;
}

static ssize_t receive(int fd, void *bytes, size_t length, int flags) {
    if (fails_at(fd, 'i', ANY(ECONNRESET, ETIMEDOUT, ENOBUFS, ENOMEM))) return -1;
    ssize_t now = flags & MSG_PEEK ? (ssize_t)length : piece(fd, length);
    if (now == 0 && length) return not_yet(fd);
    ssize_t got = syscall(SYS_recvfrom, fd, bytes, now, flags, NULL, NULL);
    if ((size_t)now < length) arm(fd);
    return got;
}

static ssize_t give(int fd, const void *bytes, size_t length, int flags) {
    if (fails_at(fd, 'o', ANY(ECONNRESET, EPIPE, ENOBUFS, ENOMEM))) return -1;
    ssize_t now = piece(fd, length);
    if (now == 0 && length) return not_yet(fd);
    ssize_t gave = syscall(SYS_sendto, fd, bytes, now, flags, NULL, 0);
    if ((size_t)now < length) arm(fd);
    return gave;
}

ssize_t recv(int fd, void *bytes, size_t length, int flags) {
    return receive(fd, bytes, length, flags);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    return give(fd, bytes, length, flags);
}

ssize_t read(int fd, void *bytes, size_t length) {
    return is_tcp(fd) ? receive(fd, bytes, length, 0) : syscall(SYS_read, fd, bytes, length);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    return is_tcp(fd) ? give(fd, bytes, length, 0) : syscall(SYS_write, fd, bytes, length);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    int first = 0;
    if (!is_tcp(fd)) return syscall(SYS_writev, fd, pieces, count);
    while (first < count && pieces[first].iov_len == 0) first++;
    if (fails_at(fd, 'o', ANY(ECONNRESET, EPIPE, ENOBUFS, ENOMEM))) return -1;
    if (first == count || !fails('p')) return syscall(SYS_writev, fd, pieces, count);
    ssize_t gave = syscall(SYS_writev, fd, pieces + first, 1);
    arm(fd);
    return gave;
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
    int failure = ANY(ECONNREFUSED, ETIMEDOUT, EADDRNOTAVAIL, ENETUNREACH);
    return fails_at(fd, 'c', failure) ? -1 : syscall(SYS_connect, fd, to, length);
}

int accept4(int fd, struct sockaddr *peer, socklen_t *length, int flags) {
    int failure = ANY(ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM);
    return fails_at(fd, 'a', failure) ? -1 : syscall(SYS_accept4, fd, peer, length, flags);
}

int socket(int domain, int type, int protocol) {
    int is_of_ip = domain == AF_INET || domain == AF_INET6;
    if (is_of_ip && fails('k')) {
        errno = ANY(EMFILE, ENFILE, ENOBUFS);
        return -1;
    }
    return syscall(SYS_socket, domain, type, protocol);
}

int shutdown(int fd, int how) {
    return fails_at(fd, 'd', ENOTCONN) ? -1 : syscall(SYS_shutdown, fd, how);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length) {
    if (fails_at(fd, 's', ANY(ENOTCONN, ENOBUFS, EINVAL))) return -1;
    return syscall(SYS_setsockopt, fd, level, name, value, length);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length) {
    if (fails_at(fd, 's', ANY(ENOTCONN, ENOBUFS, EINVAL))) return -1;
    return syscall(SYS_getsockopt, fd, level, name, value, length);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *length) {
    if (fails_at(fd, 'n', ANY(ENOTCONN, ENOBUFS, EINVAL))) return -1;
    return syscall(SYS_getpeername, fd, address, length);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *length) {
    if (fails_at(fd, 'n', ANY(ENOBUFS, EINVAL))) return -1;
    return syscall(SYS_getsockname, fd, address, length);
}

int epoll_ctl(int at, int what, int fd, struct epoll_event *event) {
    if (what == EPOLL_CTL_ADD && fails_at(fd, 'e', ANY(ENOMEM, ENOSPC))) return -1;
    struct waiting *who = &waiting[fd & 65535];
    who->at = what == EPOLL_CTL_DEL ? 0 : at;
    if (event) who->event = *event;
    return syscall(SYS_epoll_ctl, at, what, fd, event);
}

/* What names lead to now, with an end; 0 where nothing is said of them. A call that is new is noted
 * if it hangs. */
static int told(char says[1024], int is_new) {
    const char *path = getenv("NET_NAMES");
    int file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_APPEND) : -1;
    if (file < 0) return 0;
    ssize_t length = syscall(SYS_pread64, file, says, 1023, 0);
    says[length < 0 ? 0 : length] = 0;
    if (is_new && says[0] == 'h') syscall(SYS_write, file, "x", 1);
    syscall(SYS_close, file);
    return 1;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    int (*ask)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    struct timespec moment = {0, 5000000};
    char says[1024], *rest;
    *(void **)&ask = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!told(says, 1)) return ask(name, service, hints, found);
    while (says[0] == 'h') {
        nanosleep(&moment, NULL);
        if (!told(says, 0)) return ask(name, service, hints, found);
    }
    int error = strtol(says, &rest, 10);
    if (error < 0 && !strchr(says, '.')) return error;
    *found = NULL;
    for (char *one = strtok_r(says, "\n", &rest); one; one = strtok_r(NULL, "\n", &rest)) {
        int asked = ask(one, service, hints, found);
        if (asked != 0) return asked;
        while (*found) found = &(*found)->ai_next;
    }
    return 0;
}
