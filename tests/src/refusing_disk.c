/* Preloaded into the daemon: a disk that refuses, as the kernel shows one to a program.
 *
 * Of each ledger file below $DISK_OF the bytes that a sync has put on the disk are copied to
 * $DISK_HOLDS. While $DISK_REFUSES exists and begins with `s` each sync fails, and what it was to
 * put there counts as clean from then on: no later sync takes it along unless it is written once
 * more. With `w` writes to these files fail, and reads of journals. A byte is added to that file
 * for each call that has failed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What was written to a file since its last sync. */
struct dirty {
    ino_t file;
    off_t from, to;
};

static struct dirty dirty[256];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Whether it is a file below the folder: its name goes to `name`. */
static int is_below(int fd, struct stat *found, char name[256]) {
    const char *folder = getenv("DISK_OF");
    char link[64], path[4096];
    if (!folder || fstat(fd, found) != 0 || !S_ISREG(found->st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    const char *last = strrchr(path, '/');
    if (!last || strncmp(path, folder, strlen(folder)) != 0) return 0;
    snprintf(name, 256, "%s", last + 1);
    return 1;
}

static int is_ledger(const char *name) {
    size_t end = strlen(name);
    return strncmp(name, "ledger-", 7) == 0 && strcmp(name + end - 6, ".jsonl") == 0;
}

/* Whether calls of that kind fail now; one that does is counted. */
static int refuses(char kind) {
    char first = 0;
    int file = open(getenv("DISK_REFUSES"), O_RDWR | O_APPEND);
    if (file < 0) return 0;
    int is_that = pread(file, &first, 1, 0) == 1 && first == kind;
    if (is_that) syscall(SYS_write, file, "x", 1);
    close(file);
    return is_that;
}

/* The entry of a ledger file, NULL for everything else. Its name goes to `name`. */
static struct dirty *entry(int fd, struct stat *found, char name[256]) {
    if (!is_below(fd, found, name) || !is_ledger(name)) return NULL;
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
}

ssize_t read(int fd, void *bytes, size_t length) {
    char name[256];
    struct stat found;
    if (is_below(fd, &found, name) && strncmp(name, "journal-", 8) == 0 && refuses('w')) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_read, fd, bytes, length);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    char name[256];
    struct stat found;
    if (is_below(fd, &found, name) && is_ledger(name) && refuses('w')) {
        errno = EIO;
        return -1;
    }
    ssize_t written = syscall(SYS_write, fd, bytes, length);
    int error = errno;
    note(fd, -1, written);
    errno = error;
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, length, at);
    int error = errno;
    note(fd, at, written);
    errno = error;
    return written;
}

static void put_on_disk(int fd, const char *name, struct dirty *one) {
    char path[4096], bytes[65536];
    snprintf(path, sizeof path, "%s/%s", getenv("DISK_HOLDS"), name);
    int disk = open(path, O_WRONLY | O_CREAT, 0600);
    while (one->from < one->to) {
        size_t most = one->to - one->from < (off_t)sizeof bytes ? one->to - one->from : sizeof bytes;
        ssize_t length = pread(fd, bytes, most, one->from);
        if (disk < 0 || length <= 0) abort();
        if (syscall(SYS_pwrite64, disk, bytes, length, one->from) != length) abort();
        one->from += length;
    }
    close(disk);
}

static int sync_file(long call, int fd) {
    char name[256];
    struct stat found;
    int result = 0;
    pthread_mutex_lock(&lock);
    struct dirty *one = entry(fd, &found, name);
    if (one && refuses('s')) {
        one->from = one->to = 0;
        result = -1;
        errno = EIO;
    } else {
        result = syscall(call, fd);
        if (one && result == 0) put_on_disk(fd, name, one);
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
