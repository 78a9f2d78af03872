// pool.c: a pool of threads that spin, then park. Owner: swiftlet_cpu.
//
// Publishing a job is one store of `unclaimed`; threads claim items by decrementing it and only then read the job.
// A worker that comes late therefore finds nothing, or an item of the job that runs by then, and the caller waits
// for items, never for workers.
// Invariant: job fields are written only while no item of the previous job is outstanding.

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "pool.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#endif

enum { SPIN_NANOSECONDS = 500000, CACHE_LINE = 128 };

typedef void (*pool_task)(void *, int32_t, int32_t);

typedef struct {
    swiftlet_pool *pool;
    pthread_t handle;
    int32_t index;
} pool_worker;

struct swiftlet_pool {
    _Alignas(CACHE_LINE) _Atomic int32_t unclaimed;  // items not handed out, or <= 0
    // The job: read by whoever holds an item of it.
    _Alignas(CACHE_LINE) pool_task task;
    void *context;
    int32_t items;
    _Atomic uint32_t generation;  // counts jobs; the word workers park on
    _Alignas(CACHE_LINE) _Atomic uint32_t remaining;  // items not finished; the word the caller parks on
    _Atomic bool caller_parked;
    _Alignas(CACHE_LINE) _Atomic int32_t parked;  // workers parked or about to
    _Atomic bool stopping;
    bool spins;
    int32_t threads;
    int32_t started;
#if !defined(__linux__)
    pthread_mutex_t mutex;
    pthread_cond_t changed;
#endif
    pool_worker workers[];  // [threads - 1]
};

// --- Waiting ------------------------------------------------------------------------------------------------

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

/// Spins until the word differs from `value`; false when it took too long.
static bool spin_while_equal(const swiftlet_pool *pool, _Atomic uint32_t *word, uint32_t value) {
    if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
    if (!pool->spins) return false;
    int64_t deadline = now_nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < 64; i++) {
            pause_briefly();
            if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
        }
    } while (now_nanoseconds() < deadline);
    return false;
}

/// Sleeps while the word equals `value`; may return early.
static void park(swiftlet_pool *pool, _Atomic uint32_t *word, uint32_t value) {
#if defined(__linux__)
    (void)pool;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load(word) == value) pthread_cond_wait(&pool->changed, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
#endif
}

static void unpark(swiftlet_pool *pool, _Atomic uint32_t *word, int32_t count) {
#if defined(__linux__)
    (void)pool;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
#else
    (void)word, (void)count;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
#endif
}

// --- Working ------------------------------------------------------------------------------------------------

/// Claims and runs items until none is left.
static void work(swiftlet_pool *pool, int32_t thread) {
    while (atomic_load_explicit(&pool->unclaimed, memory_order_relaxed) > 0) {
        int32_t left = atomic_fetch_sub_explicit(&pool->unclaimed, 1, memory_order_acq_rel);
        if (left <= 0) return;
        pool->task(pool->context, pool->items - left, thread);
        if (atomic_fetch_sub(&pool->remaining, 1) == 1 && atomic_load(&pool->caller_parked))
            unpark(pool, &pool->remaining, 1);
    }
}

static void *worker_main(void *argument) {
    pool_worker *worker = argument;
    swiftlet_pool *pool = worker->pool;
    uint32_t seen = 0;
    for (;;) {
        while (!spin_while_equal(pool, &pool->generation, seen)) {
            atomic_fetch_add(&pool->parked, 1);
            park(pool, &pool->generation, seen);
            atomic_fetch_sub(&pool->parked, 1);
        }
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (atomic_load_explicit(&pool->stopping, memory_order_acquire)) return NULL;
        work(pool, worker->index);
    }
}

/// Makes the workers look: a new generation, and up to `helpers` of the parked ones woken.
static void announce(swiftlet_pool *pool, int32_t helpers) {
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->parked) > 0) unpark(pool, &pool->generation, helpers);
}

void swiftlet_pool_run(swiftlet_pool *pool, int32_t items, pool_task task, void *context) {
    if (items <= 1 || pool->threads == 1) {
        for (int32_t item = 0; item < items; item++) task(context, item, 0);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->items = items;
    atomic_store_explicit(&pool->remaining, (uint32_t)items, memory_order_relaxed);
    atomic_store_explicit(&pool->unclaimed, items, memory_order_release);
    announce(pool, items - 1);
    work(pool, 0);
    uint32_t left;
    while ((left = atomic_load_explicit(&pool->remaining, memory_order_acquire)) != 0) {
        if (spin_while_equal(pool, &pool->remaining, left)) continue;
        atomic_store(&pool->caller_parked, true);
        park(pool, &pool->remaining, left);
        atomic_store(&pool->caller_parked, false);
    }
}

// --- Creation -----------------------------------------------------------------------------------------------

#if defined(__linux__)
static int32_t allowed_cores(cpu_set_t *set) {
    CPU_ZERO(set);
    if (sched_getaffinity(0, sizeof(*set), set) == 0) return CPU_COUNT(set);
    return (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
}

static void pin_to(pthread_t handle, const cpu_set_t *allowed, int32_t cores, int32_t index) {
    int32_t wanted = index % cores;
    for (int32_t core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET((size_t)core, allowed) || wanted-- > 0) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET((size_t)core, &one);
        pthread_setaffinity_np(handle, sizeof(one), &one);  // a hint: failing to pin is no failure
        return;
    }
}
#endif

static void start_workers(swiftlet_pool *pool) {
    sigset_t all, before;  // the process's signals are for its other threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int32_t i = 0; i < pool->threads - 1; i++) {
        pool->workers[i] = (pool_worker){.pool = pool, .index = i + 1};
        if (pthread_create(&pool->workers[i].handle, NULL, worker_main, &pool->workers[i]) != 0) break;
        pool->started = i + 1;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

swiftlet_pool *swiftlet_pool_create(int32_t threads, bool pin) {
    if (threads < 1 || threads > 4096) return NULL;
    size_t bytes = sizeof(swiftlet_pool) + (size_t)threads * sizeof(pool_worker);
    swiftlet_pool *pool = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (pool == NULL) return NULL;
    *pool = (swiftlet_pool){.threads = threads};
#if defined(__linux__)
    cpu_set_t allowed;
    int32_t cores = allowed_cores(&allowed);
#else
    int32_t cores = (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->changed, NULL);
#endif
    pool->spins = threads <= cores;
    start_workers(pool);
    if (pool->started < threads - 1) {
        swiftlet_pool_destroy(pool);
        return NULL;
    }
#if defined(__linux__)
    // Only workers are pinned: threads that the caller starts later would inherit its mask.
    for (int32_t i = 0; pin && cores > 0 && i < pool->started; i++)
        pin_to(pool->workers[i].handle, &allowed, cores, i + 1);
#endif
    (void)pin;
    return pool;
}

void swiftlet_pool_destroy(swiftlet_pool *pool) {
    if (pool == NULL) return;
    atomic_store(&pool->stopping, true);
    announce(pool, INT_MAX);
    for (int32_t i = 0; i < pool->started; i++) pthread_join(pool->workers[i].handle, NULL);
#if !defined(__linux__)
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->changed);
#endif
    free(pool);
}
