// linear.c: shares out matrix products; gemm.inc.h computes them. Owner: the CPU backend.
// Invariant: how tokens are cut into chunks depends on speed alone; no output depends on it.

#include "kernels.h"

enum {
    // Tokens of an item: enough to amortise bringing the panel into the L2 cache, few enough to hand out evenly.
    CHUNK_TOKENS = 96,
    // One tile's weights pass once, as a stream: the hardware's own prefetching is as fast or faster.
    PREFETCH_TOKENS = 6,
    // Words of a panel's block. Few tokens wait for memory: the next block's lines arrive in the L1 cache's other half,
    // nearly in the order of their addresses, as the hardware's prefetching wants them. Many tokens: half of the L2
    // cache's share.
    FEW_TOKENS = 16, SOME_TOKENS = 31, BLOCK_WORDS_FEW = 48, BLOCK_WORDS_SOME = 128, BLOCK_WORDS_MANY = 512,
    // Multiply-adds (words x 64 x tokens) below which a second thread costs more than it gains.
    INLINE_WORK = 1 << 14,
};

static int32_t block_words(int32_t tokens) {
    if (tokens < PREFETCH_TOKENS || tokens > SOME_TOKENS) return BLOCK_WORDS_MANY;
    return tokens <= FEW_TOKENS ? BLOCK_WORDS_FEW : BLOCK_WORDS_SOME;
}

void swiftlet_linear(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const void *x, size_t x_stride,
                     int32_t tokens, const float *bias, swiftlet_epilogue epilogue, void *out, size_t out_stride) {
    if (tokens <= 0 || matrix->rows <= 0) return;
    linear_work work = {
        .cpu = cpu, .matrix = matrix, .x = x, .bias = bias, .out = out, .x_stride = x_stride,
        .out_stride = out_stride, .epilogue = epilogue, .tokens = tokens, .tokens_per_chunk = CHUNK_TOKENS,
        .panels = swiftlet_matrix_panels(matrix->rows, matrix->gated),
        .block_words = block_words(tokens), .prefetches = tokens >= PREFETCH_TOKENS,
    };
    _Static_assert(CHUNK_TOKENS * 64 * sizeof(float) <= SWIFTLET_SCRATCH_BYTES, "sums fit the scratch");
    swiftlet_task task = cpu->kernels->linear[matrix->dtype];
    int32_t items = work.panels * swiftlet_ceil_div(tokens, CHUNK_TOKENS);
    if ((int64_t)matrix->rows * matrix->columns * tokens <= INLINE_WORK) {
        for (int32_t item = 0; item < items; item++) task(&work, item, 0);
        return;
    }
    swiftlet_parallel_for(cpu, items, task, &work);
}
