// check.h: what the parts of the kernel check share: random values, bfloat16, packed operands, and how a failure is
// reported. Owner: Tools/levels/run. Invariant: nothing here calls the code under test to produce an expected value.

#pragma once

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CSwiftletKernels.h"

/// The level under test, alone and with three threads, so that threads can be compared bit for bit.
typedef struct {
    const char *name;
    swiftlet_cpu *one, *three;
} check_level;

extern int check_count, check_failures;

/// Counts a check; prints the first failures.
#define CHECK(condition, ...)                                          \
    do {                                                               \
        check_count++;                                                 \
        if (!(condition) && check_failures++ < 20) {                   \
            printf("  FAILED %s:%d %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                       \
            printf("\n");                                              \
        }                                                              \
    } while (0)

static inline uint64_t random_bits(uint64_t *state) {  // splitmix64
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
/// Uniform in [-1, 1).
static inline float random_float(uint64_t *state) { return (float)(random_bits(state) >> 40) * 0x1p-23f - 1; }
static inline int32_t random_int(uint64_t *state, int32_t low, int32_t high) {  // both included
    return low + (int32_t)(random_bits(state) % (uint64_t)(high - low + 1));
}

static inline float from_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
static inline uint16_t to_bf16(float value) {  // finite values, to nearest even
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
static inline size_t size_of(swiftlet_dtype dtype) { return dtype == SWIFTLET_BFLOAT16 ? 2 : 4; }
static inline float element(const void *p, swiftlet_dtype dtype, size_t i) {
    return dtype == SWIFTLET_BFLOAT16 ? from_bf16(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}
static inline void set_element(void *p, swiftlet_dtype dtype, size_t i, float value) {
    if (dtype == SWIFTLET_BFLOAT16) ((uint16_t *)p)[i] = to_bf16(value);
    else ((float *)p)[i] = value;
}
static inline float rounded(float value, swiftlet_dtype dtype) {
    return dtype == SWIFTLET_BFLOAT16 ? from_bf16(to_bf16(value)) : value;
}
static inline const char *name_of(swiftlet_dtype dtype) { return dtype == SWIFTLET_BFLOAT16 ? "bf16" : "f32"; }

static inline void *zeroed(size_t bytes) {
    void *memory = calloc(1, bytes ? bytes : 1);
    if (memory == NULL) abort();
    return memory;
}

void check_linear(const check_level *level);
void check_norm(const check_level *level);
void check_attention(const check_level *level);
void check_logits(const check_level *level);
