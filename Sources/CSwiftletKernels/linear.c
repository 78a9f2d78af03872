// linear.c: shares out matrix products; gemm.inc.h and gemm_strips.inc.h compute them. Owner: the CPU backend.
// Invariant: how tokens are cut into chunks depends on speed alone; no output depends on it.

#include "int4.h"
#include "kernels.h"

enum {
    // One tile's weights pass once, as a stream: the hardware's own prefetching is as fast or faster.
    PREFETCH_TOKENS = 6,
    // Words of a panel's block. Few tokens wait for memory: the next block's lines arrive in the L1 cache's other half,
    // nearly in the order of their addresses, as the hardware's prefetching wants them. Many tokens: half of the L2
    // cache's share.
    FEW_TOKENS = 16, SOME_TOKENS = 31, BLOCK_WORDS_FEW = 48, BLOCK_WORDS_SOME = 128, BLOCK_WORDS_MANY = 512,
    // Multiply-adds (words x 64 x tokens) below which a second thread costs more than it gains.
    INLINE_WORK = 1 << 14,
    // Values to quantise of one item: about half a microsecond.
    QUANTIZE_ELEMENTS = 4096,
};

static_assert(SWIFTLET_CHUNK_TOKENS * 64 * sizeof(float) + (1 << 16) <= SWIFTLET_SCRATCH_BYTES,
              "sums and x fit the scratch");
static_assert((size_t)SWIFTLET_CHUNK_TOKENS * SWIFTLET_MAX_COLUMNS * 3 <= SWIFTLET_ROWS_BYTES, "a chunk fits");

static int32_t block_words(int32_t tokens) {
    if (tokens < PREFETCH_TOKENS || tokens > SOME_TOKENS) return BLOCK_WORDS_MANY;
    return tokens <= FEW_TOKENS ? BLOCK_WORDS_FEW : BLOCK_WORDS_SOME;
}

size_t swiftlet_quantized_stride(const swiftlet_cpu *cpu, const swiftlet_matrix *matrix) {
    if (cpu->kernels->quantize_rows[matrix->format][matrix->dtype] == NULL) return 0;
    int4_layout layout = int4_layout_of(matrix);
    size_t bytes = matrix->format == SWIFTLET_WEIGHTS_INT4 ? int4_row_bytes(matrix, &layout)
                                                           : (size_t)matrix->columns + 63 + sizeof(float);
    // An odd number of cache lines from row to row.
    return ((bytes + 63) / 64 | 1) * 64;
}

void swiftlet_quantize_rows(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const void *x, size_t x_stride,
                            int32_t rows, uint8_t *out, size_t out_stride) {
    quantize_work work = {
        .matrix = matrix, .x = x, .out = out, .x_stride = x_stride, .out_stride = out_stride, .rows = rows,
        .rows_per_item = swiftlet_ceil_div(QUANTIZE_ELEMENTS, matrix->columns),
    };
    swiftlet_parallel_for(cpu, swiftlet_ceil_div(rows, work.rows_per_item),
                          cpu->kernels->quantize_rows[matrix->format][matrix->dtype], &work);
}

static void multiply(swiftlet_cpu *cpu, linear_work *work) {
    const swiftlet_matrix *matrix = work->matrix;
    swiftlet_task task = cpu->kernels->linear[matrix->format][matrix->dtype];
    int32_t chunks = swiftlet_ceil_div(work->tokens, SWIFTLET_CHUNK_TOKENS);
    if ((int64_t)matrix->rows * matrix->columns * work->tokens <= INLINE_WORK) {
        for (int32_t item = 0; item < work->panels * chunks; item++) task(work, item, 0);
        return;
    }
    swiftlet_parallel_rounds(cpu, work->panels, chunks, task, work);
}

linear_work swiftlet_linear_work(const swiftlet_cpu *cpu, const swiftlet_matrix *matrix, int32_t tokens) {
    return (linear_work){
        .cpu = cpu, .matrix = matrix, .tokens = tokens, .tokens_per_chunk = SWIFTLET_CHUNK_TOKENS,
        .panels = swiftlet_matrix_panels(matrix->rows, matrix->gated), .panel_words = swiftlet_panel_words(matrix),
        .block_words = block_words(tokens), .prefetches = tokens >= PREFETCH_TOKENS,
    };
}

static void linear(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const void *x, size_t x_stride, int32_t tokens,
                   const float *bias, swiftlet_epilogue epilogue, float cap, void *out, size_t out_stride) {
    if (tokens <= 0 || matrix->rows <= 0 || matrix->columns <= 0) return;
    linear_work work = swiftlet_linear_work(cpu, matrix, tokens);
    work.x = x;
    work.x_stride = x_stride;
    work.bias = bias;
    work.epilogue = epilogue;
    work.cap = cap;
    work.out = out;
    work.out_stride = out_stride;
    size_t stride = swiftlet_quantized_stride(cpu, matrix);
    if (stride == 0) {
        multiply(cpu, &work);
        return;
    }
    size_t element = matrix->dtype == SWIFTLET_BFLOAT16 ? 2 : 4;
    int32_t most = (int32_t)(SWIFTLET_ROWS_BYTES / stride) / SWIFTLET_CHUNK_TOKENS * SWIFTLET_CHUNK_TOKENS;
    for (int32_t first = 0; first < tokens; first += most) {
        linear_work part = work;
        part.tokens = tokens - first < most ? tokens - first : most;
        part.x = cpu->quantized;
        part.x_stride = stride;
        part.out = (uint8_t *)out + (size_t)first * out_stride * output_bytes(&work);
        swiftlet_quantize_rows(cpu, matrix, (const uint8_t *)x + (size_t)first * x_stride * element, x_stride,
                               part.tokens, cpu->quantized, stride);
        multiply(cpu, &part);
    }
}

void swiftlet_linear(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const void *x, size_t x_stride,
                     int32_t tokens, const float *bias, swiftlet_epilogue epilogue, void *out, size_t out_stride) {
    linear(cpu, matrix, x, x_stride, tokens, bias, epilogue, 0, out, out_stride);
}

void swiftlet_linear_capped(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const void *x, size_t x_stride,
                            int32_t tokens, const float *bias, float cap, float *out, size_t out_stride) {
    linear(cpu, matrix, x, x_stride, tokens, bias, SWIFTLET_STORE_FLOAT, cap, out, out_stride);
}
