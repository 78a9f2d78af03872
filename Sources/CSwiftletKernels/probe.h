// probe.h: the arguments of the probes as their tasks see them. Owner: probe.c, probe.inc.h.

#pragma once

#include "kernels.h"

enum {
    PROBE_CHUNK_BYTES = 1 << 20,     // smaller ones cost up to a quarter where memory is fast
    PROBE_AHEAD_BYTES = 2048,        // to fetch before it is read
    PROBE_ROUNDS = 20000,            // of a multiplying item: about a tenth of a millisecond
    PROBE_ITEMS_PER_THREAD = 8,
};

typedef struct {
    const swiftlet_cpu *cpu;
    const uint8_t *memory;  // [chunks][PROBE_CHUNK_BYTES]
    int32_t chunks;         // of a pass; items beyond begin again at the first
} probe_read_work;

typedef struct {
    const swiftlet_cpu *cpu;
} probe_multiply_work;
