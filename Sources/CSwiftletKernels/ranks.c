// ranks.c: where the ranks of one process meet: a barrier that can be broken. Owner: the CPU backend.
//
// A rank that can't go on breaks the group; whoever waits, or comes to wait, is told so. Ranks read each other's
// memory, so nobody frees any before all have left.
// Invariant: a rank waits only for ranks that compute or wait, never for one that has left.

#include "waiting.h"

#include <limits.h>
#include <stdlib.h>

#include "include/CSwiftletKernels.h"

enum { CACHE_LINE = 128 };

struct swiftlet_ranks {
    swiftlet_waiting waiting;
    int32_t count;
    void **slots;  // [count]
    _Alignas(CACHE_LINE) _Atomic uint32_t arrived;
    _Alignas(CACHE_LINE) _Atomic uint32_t meetings;  // the word that ranks wait for
    _Atomic bool broken;
    _Atomic uint32_t staying;  // ranks that have not left
    _Alignas(CACHE_LINE) _Atomic int32_t parked;
};

swiftlet_ranks *swiftlet_ranks_create(int32_t count, int32_t threads) {
    if (count < 1) return NULL;
    size_t bytes = (sizeof(swiftlet_ranks) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    swiftlet_ranks *ranks = aligned_alloc(CACHE_LINE, bytes);
    if (ranks == NULL) return NULL;
    *ranks = (swiftlet_ranks){.count = count, .slots = calloc((size_t)count, sizeof(void *))};
    if (ranks->slots == NULL) {
        free(ranks);
        return NULL;
    }
    atomic_store(&ranks->staying, (uint32_t)count);
    swiftlet_waiting_begin(&ranks->waiting, threads <= swiftlet_usable_processors());
    return ranks;
}

void swiftlet_ranks_destroy(swiftlet_ranks *ranks) {
    if (ranks == NULL) return;
    swiftlet_waiting_end(&ranks->waiting);
    free(ranks->slots);
    free(ranks);
}

void **swiftlet_ranks_slots(swiftlet_ranks *ranks) { return ranks->slots; }
bool swiftlet_ranks_spin(const swiftlet_ranks *ranks) { return ranks->waiting.spins; }

static void wait_while_equal(swiftlet_ranks *ranks, _Atomic uint32_t *word, uint32_t value) {
    while (!swiftlet_spin_while_equal(&ranks->waiting, word, value)) {
        atomic_fetch_add(&ranks->parked, 1);
        swiftlet_park(&ranks->waiting, word, value);
        atomic_fetch_sub(&ranks->parked, 1);
    }
}

static void wake(swiftlet_ranks *ranks, _Atomic uint32_t *word) {
    if (atomic_load(&ranks->parked) > 0) swiftlet_unpark(&ranks->waiting, word, INT_MAX);
}

bool swiftlet_ranks_meet(swiftlet_ranks *ranks) {
    uint32_t meeting = atomic_load(&ranks->meetings);
    if (atomic_load(&ranks->broken)) return false;
    if (atomic_fetch_add(&ranks->arrived, 1) + 1 == (uint32_t)ranks->count) {
        atomic_store(&ranks->arrived, 0);
        atomic_fetch_add(&ranks->meetings, 1);
        wake(ranks, &ranks->meetings);
    } else {
        wait_while_equal(ranks, &ranks->meetings, meeting);
    }
    return !atomic_load(&ranks->broken);
}

void swiftlet_ranks_break(swiftlet_ranks *ranks) {
    atomic_store(&ranks->broken, true);
    atomic_fetch_add(&ranks->meetings, 1);
    wake(ranks, &ranks->meetings);
}

void swiftlet_ranks_leave(swiftlet_ranks *ranks, bool waits) {
    atomic_fetch_sub(&ranks->staying, 1);
    wake(ranks, &ranks->staying);
    for (uint32_t left; waits && (left = atomic_load(&ranks->staying)) != 0;)
        wait_while_equal(ranks, &ranks->staying, left);
}
