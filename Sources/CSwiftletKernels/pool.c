// pool.c: a pool of threads that spin, then park. Owner: swiftlet_cpu.
//
// A job is published by storing how many items each node's share has left; threads claim items by decrementing such a
// count, their own node's first, and only then read the job. A worker that comes late therefore finds nothing, or an
// item of the job that runs by then, and the caller waits for items, never for workers.
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

#if defined(__linux__)
#include <sched.h>
#endif

#include "waiting.h"

enum { CACHE_LINE = 128 };

typedef void (*pool_task)(void *, int32_t, int32_t);

typedef struct {
    swiftlet_pool *pool;
    pthread_t handle;
    int32_t index, node;
} pool_worker;

typedef struct {
    _Alignas(CACHE_LINE) _Atomic int32_t unclaimed;  // items of this node not handed out, or <= 0
} pool_share;

struct swiftlet_pool {
    pool_share shares[SWIFTLET_MAX_NODES];
    // The job: read by whoever holds an item of it.
    _Alignas(CACHE_LINE) pool_task task;
    void *context;
    swiftlet_shares job;
    _Atomic uint32_t generation;  // counts jobs; the word workers park on
    _Alignas(CACHE_LINE) _Atomic uint32_t remaining;  // items not finished; the word the caller parks on
    _Atomic bool caller_parked;
    _Alignas(CACHE_LINE) _Atomic int32_t parked;  // workers parked or about to
    _Atomic bool stopping;
    swiftlet_waiting waiting;
    int32_t threads;
    int32_t started;
    int32_t nodes, caller_node;
    int32_t threads_before[SWIFTLET_MAX_NODES + 1];  // threads of the nodes below
    pool_worker workers[];  // [threads - 1]
};

// --- Working ------------------------------------------------------------------------------------------------

/// The item that is claimed when `left` of a node's share are left.
static int32_t item_of(const swiftlet_shares *job, int32_t node, int32_t left) {
    int32_t width = job->starts[node + 1] - job->starts[node], number = width * job->rounds - left;
    return number / width * job->period + job->starts[node] + number % width;
}

/// Claims and runs items until none is left: those of the thread's own node, then what the others have not begun.
static void work(swiftlet_pool *pool, int32_t thread, int32_t node) {
    uint32_t done = 0;
    for (int32_t i = 0; i < pool->nodes; i++, node = node + 1 < pool->nodes ? node + 1 : 0) {
        _Atomic int32_t *unclaimed = &pool->shares[node].unclaimed;
        while (atomic_load_explicit(unclaimed, memory_order_relaxed) > 0) {
            int32_t left = atomic_fetch_sub_explicit(unclaimed, 1, memory_order_acq_rel);
            if (left <= 0) break;
            pool->task(pool->context, item_of(&pool->job, node, left), thread);
            done++;
        }
    }
    if (done > 0 && atomic_fetch_sub(&pool->remaining, done) == done && atomic_load(&pool->caller_parked))
        swiftlet_unpark(&pool->waiting, &pool->remaining, 1);
}

static void *worker_main(void *argument) {
    pool_worker *worker = argument;
    swiftlet_pool *pool = worker->pool;
    uint32_t seen = 0;
    for (;;) {
        while (!swiftlet_spin_while_equal(&pool->waiting, &pool->generation, seen)) {
            atomic_fetch_add(&pool->parked, 1);
            swiftlet_park(&pool->waiting, &pool->generation, seen);
            atomic_fetch_sub(&pool->parked, 1);
        }
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (atomic_load_explicit(&pool->stopping, memory_order_acquire)) return NULL;
        work(pool, worker->index, worker->node);
    }
}

/// Makes the workers look: a new generation, and up to `helpers` of the parked ones woken.
static void announce(swiftlet_pool *pool, int32_t helpers) {
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->parked) > 0) swiftlet_unpark(&pool->waiting, &pool->generation, helpers);
}

swiftlet_shares swiftlet_pool_split(const swiftlet_pool *pool, int32_t items, int32_t rounds) {
    swiftlet_shares shares = {.period = items, .rounds = rounds};
    for (int32_t node = 0; node <= pool->nodes; node++)
        shares.starts[node] = (int32_t)((int64_t)items * pool->threads_before[node] / pool->threads);
    return shares;
}

int32_t swiftlet_pool_nodes(const swiftlet_pool *pool) { return pool->nodes; }

void swiftlet_pool_run(swiftlet_pool *pool, const swiftlet_shares *shares, pool_task task, void *context) {
    int32_t items = shares->period * shares->rounds;
    if (items <= 1 || pool->threads == 1) {
        for (int32_t item = 0; item < items; item++) task(context, item, 0);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->job = *shares;
    atomic_store_explicit(&pool->remaining, (uint32_t)items, memory_order_relaxed);
    for (int32_t node = 0; node < pool->nodes; node++)
        atomic_store_explicit(&pool->shares[node].unclaimed,
                              (shares->starts[node + 1] - shares->starts[node]) * shares->rounds, memory_order_release);
    announce(pool, items - 1);
    work(pool, 0, pool->caller_node);
    uint32_t left;
    while ((left = atomic_load_explicit(&pool->remaining, memory_order_acquire)) != 0) {
        if (swiftlet_spin_while_equal(&pool->waiting, &pool->remaining, left)) continue;
        atomic_store(&pool->caller_parked, true);
        swiftlet_park(&pool->waiting, &pool->remaining, left);
        atomic_store(&pool->caller_parked, false);
    }
}

// --- Creation -----------------------------------------------------------------------------------------------

static void bind_to(pthread_t handle, int32_t core) {
#if defined(__linux__)
    if (core < 0 || core >= CPU_SETSIZE) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)core, &one);
    pthread_setaffinity_np(handle, sizeof(one), &one);  // a hint: failing to bind is no failure
#else
    (void)handle, (void)core;
#endif
}

void swiftlet_bind_this_thread(int32_t core) { bind_to(pthread_self(), core); }

/// Counts the nodes, which are numbered from 0 on in the order of the threads.
static bool place(swiftlet_pool *pool, const swiftlet_place *places) {
    pool->nodes = 1;
    for (int32_t i = 0; i < pool->threads; i++) {
        int32_t node = places != NULL ? places[i].node : 0;
        if (node < 0 || node >= SWIFTLET_MAX_NODES) return false;
        if (node >= pool->nodes) pool->nodes = node + 1;
        pool->threads_before[node + 1]++;
        if (i == 0) pool->caller_node = node;
        else pool->workers[i - 1] = (pool_worker){.pool = pool, .index = i, .node = node};
    }
    for (int32_t node = 0; node < pool->nodes; node++)
        pool->threads_before[node + 1] += pool->threads_before[node];
    return true;
}

static void start_workers(swiftlet_pool *pool) {
    sigset_t all, before;  // the process's signals are for its other threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int32_t i = 0; i < pool->threads - 1; i++) {
        if (pthread_create(&pool->workers[i].handle, NULL, worker_main, &pool->workers[i]) != 0) break;
        pool->started = i + 1;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

swiftlet_pool *swiftlet_pool_create(int32_t threads, const swiftlet_place *places) {
    if (threads < 1 || threads > 4096) return NULL;
    size_t bytes = sizeof(swiftlet_pool) + (size_t)threads * sizeof(pool_worker);
    swiftlet_pool *pool = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (pool == NULL) return NULL;
    *pool = (swiftlet_pool){.threads = threads};
    if (!place(pool, places)) {
        free(pool);
        return NULL;
    }
    swiftlet_waiting_begin(&pool->waiting, threads <= swiftlet_usable_processors());
    start_workers(pool);
    if (pool->started < threads - 1) {
        swiftlet_pool_destroy(pool);
        return NULL;
    }
    // Only workers are bound: threads that the caller starts later would inherit its mask.
    for (int32_t i = 0; places != NULL && i < pool->started; i++) bind_to(pool->workers[i].handle, places[i + 1].core);
    return pool;
}

void swiftlet_pool_park(swiftlet_pool *pool) { pool->waiting.spins = false; }

void swiftlet_pool_destroy(swiftlet_pool *pool) {
    if (pool == NULL) return;
    atomic_store(&pool->stopping, true);
    announce(pool, INT_MAX);
    for (int32_t i = 0; i < pool->started; i++) pthread_join(pool->workers[i].handle, NULL);
    swiftlet_waiting_end(&pool->waiting);
    free(pool);
}
