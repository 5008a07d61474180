/* A die for libraries that are preloaded: each thread throws its own. */
#include <time.h>

static unsigned dice(void) {
    static __thread unsigned long state;
    struct timespec now;
    if (!state) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        state = now.tv_nsec ^ (unsigned long)&state;
    }
    state = state * 6364136223846793005ul + 1442695040888963407ul;
    return state >> 33;
}
