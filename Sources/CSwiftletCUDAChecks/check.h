// check.h: what the checks share: a device's memory, launches, random operands, comparisons, and batches.
//
// Owner: check.c. Invariant: after a failure nothing more is launched; all memory is freed when the check ends.
#pragma once

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "CSwiftletCUDAChecks.h"

enum { MAX_ALLOCATIONS = 256, MAX_ARGUMENTS = 16 };

typedef struct {
    const struct swiftlet_cuda_calls *calls;
    void *module;
    const struct swiftlet_cuda_shapes *shapes;
    int size;
    int status;  // of the driver, or -1: something differs
    char *text;
    size_t text_bytes;
    uint64_t random;
    uint64_t addresses[MAX_ALLOCATIONS];
    void *blocks[MAX_ALLOCATIONS];
    int address_count, block_count;
    long compared;
    double worst;  // largest error in terms of what is allowed
} check;

// --- Memory and launches -----------------------------------------------------------------------------------------

/// Zeroed host memory, freed by `end_case`.
void *host_memory(check *c, size_t bytes);
/// Device memory with these bytes in it; NULL: with whatever is there.
uint64_t device_memory(check *c, const void *contents, size_t bytes);
void copy_from_device(check *c, void *to, uint64_t from, size_t bytes);
/// Frees all memory of both kinds.
void end_case(check *c);

typedef struct {
    unsigned x, y, z;
} grid;

/// Runs a kernel and waits for it. Arguments are passed by their addresses.
void run_kernel(check *c, const char *name, grid g, unsigned threads, void **arguments);
#define RUN(c, name, g, threads, ...) run_kernel(c, name, g, threads, (void *[]){__VA_ARGS__})

// --- Elements ------------------------------------------------------------------------------------------------------

/// Uniform in [-1, 1).
float random_float(check *c);
/// In 0..<limit.
int random_below(check *c, int limit);
float *random_floats(check *c, size_t count);

float rounded_bf16(float x);
/// x as the compute type holds it.
float as_element(const check *c, float x);
size_t element_size(const check *c);
/// Device memory of elements, from floats; these are rounded in place.
uint64_t device_elements(check *c, float *values, size_t count);
uint64_t device_floats(check *c, const float *values, size_t count);
/// x as the KV cache holds it, and device memory of that; values are rounded in place.
float as_cached(const check *c, float x);
uint64_t device_cached(check *c, float *values, size_t count);
float *cached_of(check *c, uint64_t address, size_t count);
/// Elements, or float32, of the device as floats.
float *elements_of(check *c, uint64_t address, size_t count);
float *floats_of(check *c, uint64_t address, size_t count);

/// Notes a failure unless |got - want| <= absolute + relative * |want| everywhere; NaN must meet NaN.
void compare(check *c, const char *what, const float *got, const float *want, size_t count, double absolute,
             double relative);
void compare_integers(check *c, const char *what, const int *got, const int *want, size_t count);
void fail_check(check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

// --- Batches ---------------------------------------------------------------------------------------------------------

/// A step's input as Engine/Batch.swift lays it out, with shuffled blocks.
typedef struct {
    int tokens, sequences, logit_rows, blocks, stride;
    int words[1 << 16];
    int word_count;
    int *ids, *logits, *offsets, *contexts, *tables;
    int row_sequence[4096], row_position[4096];
} batch;

/// Sequence s has rows[s] rows of a context of contexts[s].
batch *make_batch(check *c, int sequences, const int *rows, const int *contexts);
/// Where a position of a sequence lies: block * block_size + slot.
int slot_of(const check *c, const batch *b, int sequence, int position);
uint64_t device_batch(check *c, const batch *b);

void check_steps(check *c);
void check_fills(check *c);
void check_norms(check *c);
void check_column_norms(check *c);
void check_linear(check *c);
void check_rope(check *c);
void check_decode(check *c);
void check_prefill(check *c);
void check_sample(check *c);
void check_experts(check *c);
void check_quantized_products(check *c);
void check_quantized_layouts(check *c);
void check_quantized_experts(check *c);
