// kernels.h: what one instruction-set level provides, and what the level-independent files share.
//
// How an operation runs (rms_norm.c's or linear.c's public function is the pattern to follow):
//   1. The public function (level-independent, plain C) copies its arguments into a struct declared here
//      (`*_work`) on its stack, decides how many items the work has, and calls
//      swiftlet_parallel_for(cpu, items, cpu->kernels->operation[dtype], &work).
//   2. The pool hands items 0..<items out one by one, in ascending order, to whichever thread is free. One item
//      (or one thread) runs inline on the caller, so tiny work is given a single item.
//   3. The table entry is a `swiftlet_task`: it casts `context` to its `*_work`, computes that item with the
//      level's vectors and returns. It gets scratch by swiftlet_scratch(work->cpu, thread): 64-byte aligned,
//      SWIFTLET_SCRATCH_BYTES, uninitialised, valid until the task returns. Nothing allocates after creation.
//   4. level_*.c include level.inc.h, which includes every kernel file (*.inc.h), those that depend on the dtype
//      twice (with UNIT, DOT, NAMED(...) and so on set; see level.inc.h), and fills the level's table.
//
// Invariant: what an item computes depends on the item alone, never on `thread` or on how items were spread.

#pragma once

#include "include/CSwiftletKernels.h"
#include "pool.h"

/// Work on one item of an operation. `context` points to the operation's work struct.
typedef void (*swiftlet_task)(void *context, int32_t item, int32_t thread);

/// What the multiplying probe of a type runs.
typedef struct {
    swiftlet_task task;           // probe_multiply_work, PROBE_ROUNDS rounds
    const char *instruction;      // that the products of this type are made of
    double operations_per_round;  // a multiplication and an addition are two
} swiftlet_multiply_probe;

/// One level's kernels. [2] entries are indexed by swiftlet_dtype.
typedef struct {
    swiftlet_task linear[3][2];       // linear_work, item = token chunk x panel; by swiftlet_weights first
    // quantize_work, item = a few rows; by swiftlet_weights first. NULL where products take x as it is.
    swiftlet_task quantize_rows[3][2];
    swiftlet_task rms_norm[2];        // rms_norm_work, item = a few rows
    swiftlet_task add_normed;         // the same
    swiftlet_task logits_maximum;     // logits_work, item = a block of the row
    swiftlet_task logits_sum;         // the same
    swiftlet_task logits_greater;     // the same
    swiftlet_task top_logits;         // top_logits_work, one item
    swiftlet_task sample;             // sample_work, item = a row
    swiftlet_task route;              // route_work, item = a few tokens
    swiftlet_task sum_experts;        // expert_sum_work, item = token x block of columns
    swiftlet_task rope_and_store[2];  // rope.c's and rope.inc.h's
    swiftlet_task attention[2];       // attention.c's and attention.inc.h's
    swiftlet_task probe_read;         // probe_read_work, item = a chunk
    swiftlet_multiply_probe probe_multiply[2];
    swiftlet_multiply_probe probe_multiply_int8;
    swiftlet_multiply_probe probe_multiply_int16;  // where x is rounded to that for four-bit weights
    /// The largest magnitude of `count` values; NaN when one is NaN.
    float (*largest_magnitude)(const float *x, int32_t count);
    /// out = x * inverse, rounded to nearest even. Returns the sum of out.
    int32_t (*quantize_int8)(const float *x, int32_t count, float inverse, int8_t *out);
    /// A group of a panel's weights, tile [columns][64], to scales [64] and rows [ceil(columns / 2)][16] of four-bit
    /// weights, for `lanes` lanes from `lane` on.
    void (*quantize_int4)(const float *tile, int32_t columns, int32_t lane, int32_t lanes, uint16_t *scales,
                          uint32_t *rows);
} swiftlet_kernel_table;

enum {
    SWIFTLET_SCRATCH_BYTES = 512 * 1024,
    SWIFTLET_ROWS_BYTES = 96 << 20,  // of activations that are integers, at once
    // Tokens of a product's item: enough to amortise bringing the panel into the L2 cache, few enough to hand out evenly.
    SWIFTLET_CHUNK_TOKENS = 96,
    EXPERT_SUM_COLUMNS = 1024,  // of an item
};

struct swiftlet_cpu {
    swiftlet_level level;
    int32_t threads;
    const swiftlet_kernel_table *kernels;
    swiftlet_pool *pool;
    uint8_t *scratch;  // [threads][SWIFTLET_SCRATCH_BYTES]
    /// Activations as integers, for the products that want them so, and in another order than they came. Room for many
    /// of the widest rows; pages that are not used cost nothing.
    uint8_t *quantized, *ordered;  // [SWIFTLET_ROWS_BYTES]
};

/// The scratch of one thread of the pool (the `thread` its task was given).
static inline void *swiftlet_scratch(const swiftlet_cpu *cpu, int32_t thread) {
    return cpu->scratch + (size_t)thread * SWIFTLET_SCRATCH_BYTES;
}

/// swiftlet_parallel_for over items 0..<rounds * period, where item i and item i + period use the same memory.
void swiftlet_parallel_rounds(swiftlet_cpu *cpu, int32_t period, int32_t rounds, swiftlet_task task, void *context);

static inline int32_t swiftlet_ceil_div(int32_t a, int32_t b) { return a / b + (a % b != 0); }

/// Words from panel to panel.
size_t swiftlet_panel_words(const swiftlet_matrix *matrix);

/// Packs rows first_row..<first_row + rows of a tensor, on this thread.
void swiftlet_pack_here(const swiftlet_cpu *cpu, const swiftlet_pack *pack, int32_t first_row, int32_t rows);

/// What integers stand for.
typedef struct {
    float scale;    // value = integer * scale
    float inverse;  // integer = value * inverse, rounded
} swiftlet_integer_scale;

/// The largest magnitude becomes `most`: 127 of eight bits. Values too small to divide by become zeros; NaN and infinity
/// become the scale, so that whatever is computed with them shows it.
static inline swiftlet_integer_scale swiftlet_integer_scale_for(float largest, float most) {
    if (largest < 1e-30f) return (swiftlet_integer_scale){0, 0};
    return (swiftlet_integer_scale){largest / most, most / largest};
}

extern const swiftlet_kernel_table swiftlet_kernels_portable;
#if defined(__x86_64__)
extern const swiftlet_kernel_table swiftlet_kernels_avx2;
extern const swiftlet_kernel_table swiftlet_kernels_avx2vnni;
extern const swiftlet_kernel_table swiftlet_kernels_avx512;
extern const swiftlet_kernel_table swiftlet_kernels_avx512vnni;
extern const swiftlet_kernel_table swiftlet_kernels_avx512bf16;
#elif defined(__aarch64__)
extern const swiftlet_kernel_table swiftlet_kernels_neon;
extern const swiftlet_kernel_table swiftlet_kernels_neondot;
extern const swiftlet_kernel_table swiftlet_kernels_neonbf16;
#endif

// --- Work structs: an operation's arguments as its tasks see them ------------------------------------------

typedef struct {
    const swiftlet_cpu *cpu;
    const float *x;        // [*, columns]
    const int32_t *rows;   // [count] or NULL
    const float *weight;   // [columns], or NULL: no norm
    void *out;             // [count, columns]
    size_t x_stride, out_stride;
    int32_t count, columns;
    int32_t rows_per_item;
    float epsilon;
} rms_norm_work;

typedef struct {
    const swiftlet_cpu *cpu;
    const swiftlet_matrix *matrix;
    const void *x;      // [tokens, columns], of the dtype, or [tokens], quantised
    const float *bias;  // [rows] or NULL
    void *out;          // [tokens, outputs]
    size_t x_stride;    // in bytes, if x is quantised
    size_t out_stride, panel_words;
    swiftlet_epilogue epilogue;
    float cap;  // of SWIFTLET_STORE_FLOAT's outputs; 0: none
    int32_t tokens, tokens_per_chunk;
    int32_t panels;
    int32_t block_words;  // of a panel, which are kept in the nearest cache while the tiles of a chunk use them
    bool prefetches;
} linear_work;

/// The work of a product with `tokens` rows; x, out, their strides, bias, epilogue and cap are left
/// to the caller.
linear_work swiftlet_linear_work(const swiftlet_cpu *cpu, const swiftlet_matrix *matrix, int32_t tokens);

// out [columns]: a row of x, of the matrix's dtype, in the order of its columns (see swiftlet_linear_ordered).
void swiftlet_order_row(const swiftlet_matrix *matrix, const int32_t *order, const void *x, void *out);

/// What an item of linear_work is.
typedef struct {
    int32_t panel, first, tokens;
} linear_item;

static inline linear_item item_of_linear(const linear_work *work, int32_t item) {
    int32_t first = item / work->panels * work->tokens_per_chunk, rest = work->tokens - first;
    return (linear_item){item % work->panels, first, rest < work->tokens_per_chunk ? rest : work->tokens_per_chunk};
}

/// Whether outputs are made of a gate and a value each.
static inline bool is_gated(swiftlet_epilogue epilogue) {
    return epilogue == SWIFTLET_GATED_SILU || epilogue == SWIFTLET_GATED_GELU;
}

/// Bytes of an output.
static inline size_t output_bytes(const linear_work *work) {
    bool floats = work->epilogue == SWIFTLET_STORE_FLOAT || work->epilogue == SWIFTLET_ADD_FLOAT;
    return floats || work->matrix->dtype == SWIFTLET_FLOAT32 ? 4 : 2;
}

/// Asks for the lines that an item's outputs will be stored to, while there is still work to do.
static inline void fetch_outputs(const linear_work *work, linear_item item) {
    size_t bytes = (is_gated(work->epilogue) ? 32 : 64) * output_bytes(work);
    for (int32_t t = item.first; t < item.first + item.tokens; t++) {
        size_t row = (size_t)t * work->out_stride * output_bytes(work);
        const char *line = (const char *)work->out + row + (size_t)item.panel * bytes;
        for (size_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(line + byte, 1, 3);
    }
}

/// Rows of x become what products with a matrix multiply.
typedef struct {
    const swiftlet_matrix *matrix;
    const void *x;      // [rows, columns]
    uint8_t *out;       // [rows]
    size_t x_stride;
    size_t out_stride;  // in bytes
    int32_t rows, rows_per_item;
} quantize_work;

/// Bytes from row to row of x as such a product takes it, or 0: as it is.
size_t swiftlet_quantized_stride(const swiftlet_cpu *cpu, const swiftlet_matrix *matrix);
/// out [rows]: x [rows, columns] as such a product takes it.
void swiftlet_quantize_rows(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const void *x, size_t x_stride,
                            int32_t rows, uint8_t *out, size_t out_stride);

/// Eight-bit integers, up to a multiple of 64, then what they are multiples of.
static inline float *int8_row_scale(int8_t *row, int32_t columns) {
    return (float *)(void *)(row + (size_t)swiftlet_ceil_div(columns, 64) * 64);
}

typedef struct {
    const float *logits;  // [tokens, count]
    int32_t *experts;     // [tokens, per_token], ascending
    float *weights;       // [tokens, per_token]
    size_t logits_stride;
    int32_t tokens, count, per_token, tokens_per_item;
    bool renormalizes;
} route_work;

typedef struct {
    const float *partials;  // [*, columns], with room for whole vectors
    const float *weights;   // [tokens, per_token]
    const int32_t *rows;    // [tokens, per_token], of partials
    float *out;             // [tokens, columns]
    size_t partials_stride, out_stride;
    int32_t columns, per_token, blocks;
    bool adds;
} expert_sum_work;

typedef struct {
    double sum;     // of exp(logit - maximum)
    float maximum;  // of the block
    int32_t index;  // of the maximum, -1 when all are NaN; or how many are greater
} logits_partial;

typedef struct {
    const float *logits;  // [count]
    logits_partial *partials;
    int32_t count, block;
    float value;
} logits_work;

typedef struct {
    const float *logits;  // [count]
    int32_t *ids;         // [k]
    float *values;        // [k]
    int32_t count, k;
} top_logits_work;

typedef struct {
    const swiftlet_cpu *cpu;
    swiftlet_sample_row *rows;
} sample_work;
