// CSwiftletOperations: the operations of a forward pass, on what CSwiftletKernels.h declares, which includes this file:
// products, norms, rope, experts, the paged KV cache, attention, logits, and probes of the machine.
//
// Owner: Sources/Swiftlet/Backend/CPU. What CSwiftletKernels.h says of rows, threads, strides and types holds here too.

#pragma once

#include "CSwiftletKernels.h"

#ifdef __cplusplus
extern "C" {
#endif

// --- Operations of the forward pass --------------------------------------------------------------------

/// x[t] = scale * W[ids[t] - first_id] for packed W [vocabulary, hidden]; zeros for an id that W has no row for, which
/// is another rank's.
void swiftlet_embed(swiftlet_cpu *cpu, const swiftlet_matrix *table, int32_t first_id, const int32_t *ids,
                    int32_t tokens, float scale, float *x, size_t x_stride);

/// x = sum of parts, or x += it, for [rows, columns] of float32: in the order of the parts, then the one addition to x.
/// `parts` [count] all have the stride.
void swiftlet_sum(swiftlet_cpu *cpu, const float *const *parts, int32_t count, size_t stride, int32_t rows,
                  int32_t columns, bool adds, float *x, size_t x_stride);

/// sums[row * sum_stride] = sum of x[row]^2 over [rows, columns]: eight chains, then their sum.
void swiftlet_square_sums(swiftlet_cpu *cpu, const float *x, size_t x_stride, int32_t rows, int32_t columns,
                          float *sums, size_t sum_stride);

/// x[row] *= weight / sqrt(squares[row * square_stride] / width + epsilon) over [rows, columns].
void swiftlet_scale_to_norm(swiftlet_cpu *cpu, float *x, size_t x_stride, int32_t rows, int32_t columns,
                            const float *squares, size_t square_stride, int32_t width, const float *weight,
                            float epsilon);

/// out[i] = x[rows ? rows[i] : i] / rms * weight, for i in 0..<count; out has the dtype given, and may be x itself when
/// that is float32. Without a weight (NULL) there is no norm: x is only rounded to the dtype.
void swiftlet_rms_norm(swiftlet_cpu *cpu, const float *x, size_t x_stride, const int32_t *rows, int32_t count,
                       int32_t columns, const float *weight, float epsilon, swiftlet_dtype dtype, void *out,
                       size_t out_stride);

/// out[i] += x[i] / rms * weight, all float32.
void swiftlet_add_normed(swiftlet_cpu *cpu, const float *x, size_t x_stride, int32_t count, int32_t columns,
                         const float *weight, float epsilon, float *out, size_t out_stride);

typedef enum {
    SWIFTLET_STORE = 0,        ///< out (compute dtype) [tokens, rows] = W x + bias
    SWIFTLET_STORE_FLOAT = 1,  ///< out (float32)       [tokens, rows] = W x + bias
    SWIFTLET_ADD_FLOAT = 2,    ///< out (float32)       [tokens, rows] += W x + bias
    SWIFTLET_GATED_SILU = 3,   ///< out (compute dtype) [tokens, rows / 2] = silu(gate + bias) * (up + bias)
    SWIFTLET_GATED_GELU = 4,   ///< the same with gelu in its tanh form
} swiftlet_epilogue;

/// x [tokens, columns] has the matrix's dtype. bias is NULL or [rows] in checkpoint order (gate, then up, when
/// gated). Each output is one chain over the columns in one order, whatever `tokens` is.
void swiftlet_linear(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const void *x, size_t x_stride,
                     int32_t tokens, const float *bias, swiftlet_epilogue epilogue, void *out, size_t out_stride);

/// Stores float32 like SWIFTLET_STORE_FLOAT, each output y as cap * tanh(y / cap); cap > 0.
void swiftlet_linear_capped(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const void *x, size_t x_stride,
                            int32_t tokens, const float *bias, float cap, float *out, size_t out_stride);

/// Either of them (cap 0: the first) for a matrix whose column c belongs to column order[c] of x (GPTQ's act-order).
void swiftlet_linear_ordered(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const int32_t *order, const void *x,
                             size_t x_stride, int32_t tokens, const float *bias, swiftlet_epilogue epilogue, float cap,
                             void *out, size_t out_stride);

// --- Mixture of experts ------------------------------------------------------------------------------------

enum {
    SWIFTLET_MAX_EXPERTS = 1024,
    SWIFTLET_MAX_EXPERTS_PER_TOKEN = 64,
    /// Rows of all experts that are worked on at once, a token having one at each of its experts: what bounds the
    /// workspace.
    SWIFTLET_EXPERT_ROWS = 16384,
};

/// The experts of a layer, all of one shape, dtype and format.
typedef struct {
    const swiftlet_matrix *gate_up;  // [count]: gated [2 * intermediate, hidden]
    const swiftlet_matrix *down;     // [count]: [hidden, intermediate]
    int32_t count;                   // 1...SWIFTLET_MAX_EXPERTS
    int32_t per_token;               // 1...count, at most SWIFTLET_MAX_EXPERTS_PER_TOKEN
    bool renormalizes;               // a token's weights add up to one
    swiftlet_epilogue activation;    // of gate and up: SWIFTLET_GATED_SILU or SWIFTLET_GATED_GELU
    /// [count] each: the order of an expert's columns, as swiftlet_linear_ordered takes it, or NULL. NULL: none has one.
    const int32_t *const *gate_up_orders, *const *down_orders;
} swiftlet_experts;

/// Bytes that the operation below wants to work in for up to `tokens` tokens (`words` are not looked at). They are
/// bounded: more tokens than there is room for go through the experts in several turns.
size_t swiftlet_experts_workspace_bytes(const swiftlet_cpu *cpu, const swiftlet_experts *experts, int32_t tokens);

/// out (float32) [tokens, hidden] = or += the sum over the per_token experts with a token's largest logits
/// [tokens, count] of softmax(logits) * down(activation(gate, up)), from the lowest expert number to the highest. The
/// softmax is that of all experts; among equal logits the lower number counts first. x [tokens, hidden] has the
/// matrices' dtype. An expert runs once, on the rows that are routed to it. workspace starts on 64 bytes.
void swiftlet_mixture_of_experts(swiftlet_cpu *cpu, const swiftlet_experts *experts, const void *x, size_t x_stride,
                                 int32_t tokens, const float *logits, size_t logits_stride, bool adds, float *out,
                                 size_t out_stride, void *workspace);

// --- The paged KV cache ----------------------------------------------------------------------------------

/// One layer's pool: [blocks][kv_heads]{ K panels [block_size / 16][head_dim / unit][16] words,
/// V panels [block_size / unit][head_dim rounded up to 16] words }. Zeroed at start. With eight-bit integers each
/// element of these is a byte, and the scales of keys [block_size] and of values [block_size] (float32) follow.
typedef struct {
    uint32_t *base;
    int32_t block_size;  // a power of two >= 16
    int32_t kv_heads;
    int32_t head_dim;  // a multiple of 8, at most 256
    swiftlet_dtype dtype;
    swiftlet_kv_format format;
    int32_t group;    // query heads per KV head of the model
    int32_t skipped;  // of the first KV head's query heads, how many are another rank's; the last one's may be, too
} swiftlet_kv_layer;

/// Bytes of a block of this shape, dtype and format (its `base` is not looked at).
size_t swiftlet_kv_block_bytes(const swiftlet_kv_layer *cache);

/// The rows of this step. Rows of sequence s are query_offsets[s]..<query_offsets[s + 1]; its last row stands
/// at position context_lengths[s] - 1 and the ones before it at the positions before; the block of position p is
/// block_tables[s * block_table_stride + p / block_size].
typedef struct {
    int32_t tokens;
    int32_t sequences;
    const int32_t *query_offsets;    // [sequences + 1]
    const int32_t *context_lengths;  // [sequences]
    const int32_t *block_tables;     // [sequences, block_table_stride]
    int32_t block_table_stride;
} swiftlet_paged_batch;

/// Splits qkv [tokens, (query_heads + 2 kv_heads) * head_dim] (float32), applies per-head RMS norm (when the
/// weights [head_dim] are given) and rotary embedding (half-rotation, NeoX style: dims i and i + rotary_dim / 2)
/// to queries and keys, writes queries to `q_out` (compute dtype) [tokens, query_heads * head_dim] and keys and
/// values into the cache. rope is [positions][rotary_dim]: rotary_dim / 2 cosines, then as many sines. Dims from
/// rotary_dim on stay as they are; with rotary_dim 0 all do, and rope is not looked at.
void swiftlet_rope_and_store(swiftlet_cpu *cpu, const swiftlet_kv_layer *cache, const swiftlet_paged_batch *batch,
                             const float *qkv, size_t qkv_stride, int32_t query_heads, const float *q_norm,
                             const float *k_norm, float epsilon, const float *rope, int32_t rotary_dim,
                             void *q_out, size_t q_stride);

/// out[t] = softmax(scale * q K^T) V over positions max(0, p - window + 1)...p of the row's own sequence, always
/// read from the cache (this step's tokens included). window 0 means no window. With a cap > 0 each score s (scaled)
/// becomes cap * tanh(s / cap) before the softmax. out and q have the compute dtype, [tokens, query_heads * head_dim].
void swiftlet_attention(swiftlet_cpu *cpu, const swiftlet_kv_layer *cache, const swiftlet_paged_batch *batch,
                        const void *q, size_t q_stride, int32_t query_heads, float scale, float cap,
                        int32_t window, void *out, size_t out_stride);

// --- Logits ------------------------------------------------------------------------------------------------

/// The index of the largest value, the lowest one among equals; NaN never wins.
int32_t swiftlet_argmax(swiftlet_cpu *cpu, const float *logits, int32_t count);
/// log(sum(exp(logits))), computed from the maximum, in one fixed order.
float swiftlet_log_sum_exp(swiftlet_cpu *cpu, const float *logits, int32_t count);
/// The k largest, largest first, the lower id first among equals.
void swiftlet_top_logits(swiftlet_cpu *cpu, const float *logits, int32_t count, int32_t k, int32_t *ids, float *values);
/// How many of the values are greater than `value` (a token's rank - 1).
int32_t swiftlet_count_greater(swiftlet_cpu *cpu, const float *logits, int32_t count, float value);

/// One row to sample: after penalties and masks (masked tokens are -inf). Order as vLLM's: temperature, min_p,
/// top_k, top_p. temperature 0 is argmax. Among equal values the lower id counts first, so top_k keeps exactly k.
typedef struct {
    const float *logits;  // [count]
    float *scratch;       // [count]
    int32_t count;
    float temperature;
    int32_t top_k;   // 0 is off
    float top_p;     // 1 is off
    float min_p;     // 0 is off
    float uniform;   // in [0, 1)
    int32_t token;   // out
} swiftlet_sample_row;

/// Samples every row, each by one thread.
void swiftlet_sample(swiftlet_cpu *cpu, swiftlet_sample_row *rows, int32_t count);

// --- Probes: what the machine can do at best -----------------------------------------------------------------

/// All threads read `bytes` of memory (whole chunks of 1 MiB of them) `passes` times, in order, as weights are
/// read. Returns bytes a second; 0 when there is no whole chunk.
double swiftlet_probe_read(swiftlet_cpu *cpu, const void *memory, size_t bytes, int32_t passes);
/// All threads multiply in registers, with the instruction that products of activations of this dtype and weights of
/// this format are made of at this level. Returns operations a second (a multiplication and an addition are two). Takes
/// a few milliseconds.
double swiftlet_probe_multiply(swiftlet_cpu *cpu, swiftlet_dtype dtype, swiftlet_weights format);
/// Whether products with weights of this format are of integers: activations are rounded to them first.
bool swiftlet_multiplies_integers(const swiftlet_cpu *cpu, swiftlet_dtype dtype, swiftlet_weights format);
/// What that instruction is called.
const char *swiftlet_probe_instruction(const swiftlet_cpu *cpu, swiftlet_dtype dtype, swiftlet_weights format);

#ifdef __cplusplus
}
#endif
