// waiting.h: how threads wait for a word in memory to change: they spin for a while, then park in the kernel.
// Owner: whoever has a swiftlet_waiting (a pool, a group of ranks).
// Invariant: whoever changes a word that somebody may be parked on calls swiftlet_unpark after it.

#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool spins;  // with more threads than cores, spinning takes the time of the one that is waited for
#if !defined(__linux__)
    pthread_mutex_t mutex;
    pthread_cond_t changed;
#endif
} swiftlet_waiting;

void swiftlet_waiting_begin(swiftlet_waiting *waiting, bool spins);
void swiftlet_waiting_end(swiftlet_waiting *waiting);

/// Spins until the word differs from `value`; false when it took too long.
bool swiftlet_spin_while_equal(const swiftlet_waiting *waiting, _Atomic uint32_t *word, uint32_t value);
/// Sleeps while the word equals `value`; may return early.
void swiftlet_park(swiftlet_waiting *waiting, _Atomic uint32_t *word, uint32_t value);
void swiftlet_unpark(swiftlet_waiting *waiting, _Atomic uint32_t *word, int32_t count);

/// Processors that this thread may run on.
int32_t swiftlet_usable_processors(void);
