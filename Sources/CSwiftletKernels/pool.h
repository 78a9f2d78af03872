// pool.h: the thread pool under swiftlet_parallel_for. Owner: a swiftlet_cpu; one caller at a time.
// Invariant: every item runs exactly once, and all its writes are visible to the caller when run returns.

#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct swiftlet_pool swiftlet_pool;

/// Starts `threads - 1` workers; NULL when one can't be started.
swiftlet_pool *swiftlet_pool_create(int32_t threads, bool pin);
void swiftlet_pool_destroy(swiftlet_pool *pool);
void swiftlet_pool_run(swiftlet_pool *pool, int32_t items, void (*task)(void *, int32_t, int32_t), void *context);
