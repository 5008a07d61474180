/* Preloaded into the daemon: a disk that fails, as the kernel shows one to a program.
 *
 * Of each ledger file below $DISK_OF the bytes that a sync has put on the disk are copied to
 * $DISK_HOLDS, if that is set. What fails is said by the first byte of the file $DISK_FAILS, while
 * there is one; a byte is added to it for each call that has failed.
 *
 * s: syncs of ledger files. What one was to put on the disk counts as clean from then on: no later
 *    sync takes it along unless it is written once more.
 * w: writes to ledger files, and reads of journals.
 * r: any call on any file there, some of a hundred: as many as the second byte says.
 * t: the same, and as many new threads. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "dice.h"

/* What was written to a file since its last sync. */
struct dirty {
    ino_t file;
    off_t from, to;
};

static struct dirty dirty[256];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int is_below(const char *path) {
    const char *folder = getenv("DISK_OF");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

/* Whether it is a file or folder there: its name goes to `name`. */
static int is_there(int fd, struct stat *found, char name[256]) {
    char link[64], path[4096];
    if (fstat(fd, found) != 0 || !(S_ISREG(found->st_mode) || S_ISDIR(found->st_mode))) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    const char *last = strrchr(path, '/');
    snprintf(name, 256, "%.255s", last ? last + 1 : path);
    return is_below(path);
}

static int is_ledger(const char *name) {
    size_t end = strlen(name);
    return strncmp(name, "ledger-", 7) == 0 && strcmp(name + end - 6, ".jsonl") == 0;
}

/* If a call of that kind, or any, fails now: because of which letter. */
static char fails(char kind) {
    char says[2] = {0, 0};
    const char *path = getenv("DISK_FAILS");
    int file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_APPEND) : -1;
    if (file < 0) return 0;
    int does = syscall(SYS_pread64, file, says, 2, 0) == 2;
    int is_random = says[0] == 't' || (says[0] == 'r' && kind != 't');
    does = does && (is_random ? dice() % 100 < (unsigned char)says[1] : says[0] == kind);
    if (does) syscall(SYS_write, file, "x", 1);
    syscall(SYS_close, file);
    errno = kind == 'w' && dice() % 2 ? ENOSPC : EIO;
    return does ? says[0] : 0;
}

static char fails_at(int fd, char kind) {
    char name[256];
    struct stat found;
    if (!is_there(fd, &found, name)) return 0;
    return fails(is_ledger(name) ? kind : 0);
}

/* The entry of a ledger file, NULL for everything else. Its name goes to `name`. */
static struct dirty *entry(int fd, struct stat *found, char name[256]) {
    if (!getenv("DISK_HOLDS") || !is_there(fd, found, name) || !is_ledger(name)) return NULL;
    for (size_t i = 0; i < sizeof dirty / sizeof *dirty; i++) {
        if (dirty[i].file == found->st_ino || dirty[i].file == 0) {
            dirty[i].file = found->st_ino;
            return &dirty[i];
        }
    }
    abort();
}

static void note(int fd, off_t at, ssize_t written) {
    char name[256];
    struct stat found;
    int error = errno;
    if (written <= 0) return;
    pthread_mutex_lock(&lock);
    struct dirty *one = entry(fd, &found, name);
    if (one) {
        off_t from = at < 0 ? found.st_size - written : at, to = from + written;
        int is_clean = one->from == one->to;
        if (is_clean || from < one->from) one->from = from;
        if (is_clean || to > one->to) one->to = to;
    }
    pthread_mutex_unlock(&lock);
    errno = error;
}

static void put_on_disk(int fd, const char *name, struct dirty *one) {
    char path[4096], bytes[65536];
    snprintf(path, sizeof path, "%s/%s", getenv("DISK_HOLDS"), name);
    int disk = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT, 0600);
    while (one->from < one->to) {
        size_t most = one->to - one->from;
        if (most > sizeof bytes) most = sizeof bytes;
        ssize_t length = syscall(SYS_pread64, fd, bytes, most, one->from);
        if (disk < 0 || length <= 0) abort();
        if (syscall(SYS_pwrite64, disk, bytes, length, one->from) != length) abort();
        one->from += length;
    }
    syscall(SYS_close, disk);
}

static int sync_file(long call, int fd) {
    char name[256];
    struct stat found;
    int result = -1;
    pthread_mutex_lock(&lock);
    struct dirty *one = entry(fd, &found, name);
    if (!fails_at(fd, 's')) {
        result = syscall(call, fd);
        if (one && result == 0) put_on_disk(fd, name, one);
    } else if (one) {
        one->from = one->to = 0;
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int fdatasync(int fd) {
    return sync_file(SYS_fdatasync, fd);
}

int fsync(int fd) {
    return sync_file(SYS_fsync, fd);
}

ssize_t read(int fd, void *bytes, size_t length) {
    char name[256];
    struct stat found;
    int is_journal = is_there(fd, &found, name) && strncmp(name, "journal-", 8) == 0;
    if (fails_at(fd, 0) || (is_journal && fails('w'))) return -1;
    return syscall(SYS_read, fd, bytes, length);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    char why = fails_at(fd, 'w');
    if (why && (why == 'w' || length < 2 || dice() % 2)) return -1;
    if (why) length = 1 + dice() % (length - 1);
    ssize_t written = syscall(SYS_write, fd, bytes, length);
    note(fd, -1, written);
    return written;
}

ssize_t pread64(int fd, void *bytes, size_t length, off_t at) {
    return fails_at(fd, 0) ? -1 : syscall(SYS_pread64, fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
    if (fails_at(fd, 'w')) return -1;
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, length, at);
    note(fd, at, written);
    return written;
}

int ftruncate64(int fd, off_t length) {
    return fails_at(fd, 0) ? -1 : syscall(SYS_ftruncate, fd, length);
}

int rename(const char *from, const char *to) {
    return is_below(from) && fails(0) ? -1 : syscall(SYS_rename, from, to);
}

int unlink(const char *path) {
    return is_below(path) && fails(0) ? -1 : syscall(SYS_unlink, path);
}

static int open_file(const char *path, int flags, int mode) {
    return is_below(path) && fails(0) ? -1 : syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return open_file(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return open_file(path, flags, mode);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *with, void *(*run)(void *), void *of) {
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    return fails('t') ? EAGAIN : create(thread, with, run, of);
}
