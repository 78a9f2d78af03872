// waiting.c: spinning and parking. See waiting.h.

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "waiting.h"

#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#endif

enum { SPIN_NANOSECONDS = 500000 };

void swiftlet_waiting_begin(swiftlet_waiting *waiting, bool spins) {
    waiting->spins = spins;
#if !defined(__linux__)
    pthread_mutex_init(&waiting->mutex, NULL);
    pthread_cond_init(&waiting->changed, NULL);
#endif
}

void swiftlet_waiting_end(swiftlet_waiting *waiting) {
#if !defined(__linux__)
    pthread_mutex_destroy(&waiting->mutex);
    pthread_cond_destroy(&waiting->changed);
#else
    (void)waiting;
#endif
}

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool swiftlet_spin_while_equal(const swiftlet_waiting *waiting, _Atomic uint32_t *word, uint32_t value) {
    if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
    if (!waiting->spins) return false;
    int64_t deadline = now_nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < 64; i++) {
            pause_briefly();
            if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
        }
    } while (now_nanoseconds() < deadline);
    return false;
}

void swiftlet_park(swiftlet_waiting *waiting, _Atomic uint32_t *word, uint32_t value) {
#if defined(__linux__)
    (void)waiting;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
    pthread_mutex_lock(&waiting->mutex);
    while (atomic_load(word) == value) pthread_cond_wait(&waiting->changed, &waiting->mutex);
    pthread_mutex_unlock(&waiting->mutex);
#endif
}

void swiftlet_unpark(swiftlet_waiting *waiting, _Atomic uint32_t *word, int32_t count) {
#if defined(__linux__)
    (void)waiting;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
#else
    (void)word, (void)count;
    pthread_mutex_lock(&waiting->mutex);
    pthread_cond_broadcast(&waiting->changed);
    pthread_mutex_unlock(&waiting->mutex);
#endif
}

int32_t swiftlet_usable_processors(void) {
#if defined(__linux__)
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
    return (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
}
