// pool.h: the thread pool under swiftlet_parallel_for. Owner: a swiftlet_cpu; one caller at a time.
// Invariant: every item runs exactly once, and all its writes are visible to the caller when run returns.

#pragma once

#include "include/CSwiftletKernels.h"

typedef struct swiftlet_pool swiftlet_pool;

/// A job's items: `rounds` times 0..<period. In each of them the threads of node n begin with starts[n]..<starts[n + 1],
/// so that what they touched first is what they come back to; whoever is done early takes from the others.
typedef struct {
    int32_t starts[SWIFTLET_MAX_NODES + 1];
    int32_t period, rounds;
} swiftlet_shares;

/// Starts `threads - 1` workers; NULL when one can't be started. `places` [threads] or NULL, the caller's first.
swiftlet_pool *swiftlet_pool_create(int32_t threads, const swiftlet_place *places);
void swiftlet_pool_destroy(swiftlet_pool *pool);
/// Makes threads that wait park at once. Before the first job.
void swiftlet_pool_park(swiftlet_pool *pool);

int32_t swiftlet_pool_nodes(const swiftlet_pool *pool);
/// Shares items out in proportion to the nodes' threads: the same `items` are the same share each time.
swiftlet_shares swiftlet_pool_split(const swiftlet_pool *pool, int32_t items, int32_t rounds);
void swiftlet_pool_run(swiftlet_pool *pool, const swiftlet_shares *shares, void (*task)(void *, int32_t, int32_t),
                       void *context);
