/* Preloaded into the daemon: ends whoever makes the next thread by a panic, which is what Rust makes of
 * a thread that has no room for its attributes. Once, while there is the file $THREADS_FAIL. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

int pthread_attr_init(pthread_attr_t *attributes) {
    static int (*next)(pthread_attr_t *);
    if (!next) next = dlsym(RTLD_NEXT, "pthread_attr_init");
    const char *order = getenv("THREADS_FAIL");
    return order && unlink(order) == 0 ? ENOMEM : next(attributes);
}
