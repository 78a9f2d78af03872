// shapes.cuh: what a model's kernels are compiled for: the -D options, the types, and the layout of the paged KV cache.
//
// Owner: the CUDA backend, which compiles all of kernels/ as one program (swiftlet.cu) for each GPU and model.
// Invariant: no header of the toolkit is included anywhere; NVRTC needs none.
#pragma once

#ifndef COMPUTE_FLOAT
#define COMPUTE_FLOAT 0  // 1: matrices, activations and the KV cache are float32 and no tensor core is used
#endif
#ifndef KV_FP8
#define KV_FP8 0  // 1: keys and values are kept in eight bits (e4m3), without a scale; with bfloat16 alone
#endif
#ifndef HEAD_DIM
#error "HEAD_DIM, QUERY_HEADS, KV_HEADS and BLOCK_SIZE come from the model"
#endif
#ifndef QUERY_GROUP  // query heads of the whole model for each KV head
#define QUERY_GROUP (QUERY_HEADS / KV_HEADS)
#endif
#ifndef SKIPPED_QUERY_HEADS  // of the first KV head's query heads, how many are another rank's
#define SKIPPED_QUERY_HEADS 0
#endif

static_assert(HEAD_DIM % 8 == 0 && HEAD_DIM >= 8 && HEAD_DIM <= 256, "heads of 8 to 256 dimensions, in steps of 8");
static_assert(BLOCK_SIZE >= 16 && (BLOCK_SIZE & (BLOCK_SIZE - 1)) == 0, "blocks are powers of two of at least 16");
static_assert(!KV_FP8 || (!COMPUTE_FLOAT && HEAD_DIM % 16 == 0), "an fp8 cache wants bfloat16 and heads in steps of 16");
static_assert(QUERY_GROUP >= 1, "at least one query head for each KV head");

typedef unsigned long long u64;
typedef long long i64;

/// A bfloat16 as it lies in memory: the upper half of a float.
struct bf16 {
    unsigned short bits;
};

/// A float of four bits of exponent and three of mantissa (e4m3): up to 448.
struct fp8 {
    unsigned char bits;
};

#if COMPUTE_FLOAT
typedef float element;
#else
typedef bf16 element;
#endif
#if KV_FP8
typedef fp8 cached;
#else
typedef element cached;
#endif

enum : int {
    CHUNK = 16 / sizeof(element),         // elements of a 16-byte load
    PADDED_DIM = (HEAD_DIM + 15) / 16 * 16  // a head in whole steps of the tensor cores
};

/// The first of a KV head's query heads, by its number on this rank; `head` may be the number of KV heads.
__device__ inline int first_query_head(int head) {
    int first = head * QUERY_GROUP - SKIPPED_QUERY_HEADS;
    return first < 0 ? 0 : first < QUERY_HEADS ? first : QUERY_HEADS;
}

/// Where a slot's key or value lies in a layer's keys or values [blocks, KV_HEADS, BLOCK_SIZE, HEAD_DIM].
__device__ inline size_t slot_offset(int block, int head, int slot) {
    return (((size_t)block * KV_HEADS + (size_t)head) * BLOCK_SIZE + (size_t)slot) * HEAD_DIM;
}
