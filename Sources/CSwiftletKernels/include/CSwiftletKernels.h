// CSwiftletKernels: what the CPU backend calls. Every operation is a function of one row: how rows are
// grouped into batches, tiles or threads never changes a bit of any row's result (on one level and dtype).
//
// Owner: Sources/Swiftlet/Backend/CPU. Not thread-safe: one caller at a time drives a `swiftlet_cpu`.
// Strides are counted in elements of the buffer's own type. Activations feed matrix products and have the
// compute dtype; the residual stream, qkv, logits and everything marked `float` is float32.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// --- Types ---------------------------------------------------------------------------------------------

/// The type of weights, activations and KV cache. Accumulation is float32 in both.
typedef enum { SWIFTLET_FLOAT32 = 0, SWIFTLET_BFLOAT16 = 1 } swiftlet_dtype;

/// How a matrix's weights are stored: in its dtype, or quantised. Activations and results have the dtype in all cases.
typedef enum { SWIFTLET_WEIGHTS_NATIVE = 0, SWIFTLET_WEIGHTS_INT8 = 1, SWIFTLET_WEIGHTS_INT4 = 2 } swiftlet_weights;

/// How keys and values are stored: in the compute dtype, or as integers of -127...127 with a scale for each slot and
/// KV head.
typedef enum { SWIFTLET_KV_NATIVE = 0, SWIFTLET_KV_INT8 = 1 } swiftlet_kv_format;

/// The type of a checkpoint's tensor.
typedef enum { SWIFTLET_SOURCE_F32 = 0, SWIFTLET_SOURCE_BF16 = 1, SWIFTLET_SOURCE_F16 = 2 } swiftlet_source;

/// Instruction-set levels. A machine has those of its own architecture, worst first.
typedef enum {
    SWIFTLET_LEVEL_PORTABLE = 0,
    SWIFTLET_LEVEL_AVX2 = 1,
    SWIFTLET_LEVEL_AVX2VNNI = 2,
    SWIFTLET_LEVEL_AVX512 = 3,
    SWIFTLET_LEVEL_AVX512VNNI = 4,
    SWIFTLET_LEVEL_AVX512BF16 = 5,
    SWIFTLET_LEVEL_NEON = 6,
    SWIFTLET_LEVEL_NEONDOT = 7,
    SWIFTLET_LEVEL_NEONBF16 = 8,
} swiftlet_level;

bool swiftlet_level_supported(swiftlet_level level);
const char *swiftlet_level_name(swiftlet_level level);

// --- The CPU: a level and a pool of threads -------------------------------------------------------------

typedef struct swiftlet_cpu swiftlet_cpu;

/// Memory nodes that a pool tells apart.
enum { SWIFTLET_MAX_NODES = 16 };

/// Where a thread runs: the core it is bound to (-1: none) and the memory node that is near to it, 0 and up.
typedef struct {
    int32_t core;
    int32_t node;
} swiftlet_place;

/// Starts `threads - 1` workers (the caller is the other one). NULL when the level is not supported here or a
/// thread can't be started. Workers spin for a while after each operation, then park in the kernel; with more
/// threads than cores they park at once. `places` [threads] says where each runs, the caller's first; NULL leaves that
/// to the system. Workers are bound to their cores (the caller is left alone: threads it starts would inherit its
/// mask), and weights are packed by threads of the node that will multiply with them.
swiftlet_cpu *swiftlet_cpu_create(swiftlet_level level, int32_t threads, const swiftlet_place *places);
void swiftlet_cpu_destroy(swiftlet_cpu *cpu);
/// Makes its threads park at once when they wait, because other pools need the cores. Before the first operation.
void swiftlet_cpu_park(swiftlet_cpu *cpu);

/// Runs `task(context, item)` for every item in 0..<items, handed out dynamically; returns when all are done.
void swiftlet_parallel_for(swiftlet_cpu *cpu, int32_t items, void (*task)(void *context, int32_t item, int32_t thread),
                           void *context);

/// Binds the calling thread, and those it starts from now on, to a core. A hint: failing to is no failure.
void swiftlet_bind_this_thread(int32_t core);

/// Runs `body(context)` on a new detached thread with a stack of 8 MiB. False when none can be started.
bool swiftlet_thread_start(void (*body)(void *context), void *context);

// --- Ranks: threads that each drive a swiftlet_cpu of their own ------------------------------------------

typedef struct swiftlet_ranks swiftlet_ranks;

/// A group of `count` ranks with `threads` threads in all: with more than there are processors, ranks that wait park at
/// once. NULL when there is no memory.
swiftlet_ranks *swiftlet_ranks_create(int32_t count, int32_t threads);
void swiftlet_ranks_destroy(swiftlet_ranks *ranks);
/// Whether waiting ranks spin for a while.
bool swiftlet_ranks_spin(const swiftlet_ranks *ranks);
/// [count] pointers for ranks to show each other; who reads which of them when is up to them.
void **swiftlet_ranks_slots(swiftlet_ranks *ranks);
/// Returns when all ranks have called it, with everything they wrote before. False when the group is broken.
bool swiftlet_ranks_meet(swiftlet_ranks *ranks);
/// Makes every meeting from now on, and the one that is waited for, return false.
void swiftlet_ranks_break(swiftlet_ranks *ranks);
/// Each rank calls it once. One that waits returns when all have: nobody reads another one's memory any more.
void swiftlet_ranks_leave(swiftlet_ranks *ranks, bool waits);

/// Has `action`, an `int (*)(void *argument, int code)`, called with 1 when the process exits; NULL takes that back.
void swiftlet_at_exit(void *action, void *argument);

/// A counter that runs evenly, on all cores alike, at a rate of the machine's own: half the price of asking the
/// system for the time. 0 where there is none.
static inline uint64_t swiftlet_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return 0;
#endif
}

/// Zeroed pages straight from the kernel, huge ones where it can; NULL when there is no memory.
void *swiftlet_allocate(size_t bytes);
void swiftlet_release(void *memory, size_t bytes);
/// Makes the kernel provide bytes first..<end of each of these allocations now, with all threads, spread over all
/// nodes: the first to use a page pays for it otherwise, while the others wait. Contents stay.
void swiftlet_provide(swiftlet_cpu *cpu, void *const *areas, int32_t count, size_t first, size_t end);

// --- Packed matrices -----------------------------------------------------------------------------------

/// The most columns a matrix may have: sums of eight-bit products stay below 2^31.
enum { SWIFTLET_MAX_COLUMNS = 131072 };

/// Columns of a group in matrices that are quantised to four bits here.
enum { SWIFTLET_INT4_GROUP = 64 };

/// How four-bit weights are grouped along the columns. A weight is scale * (q - zero), q in 0...15; zero is 8 without
/// zero points. Panels [ceil(rows / 64)] of groups [ceil(columns / group)], and in each of those
///   scales [64], bfloat16 or float16; 0 where there is no row
///   zeros [64], bytes, if there are zero points
///   weights [ceil(columns of the group / 2)][16] words: nibble j of a word's lower half is column 2k of output
///   16 j + lane, and nibble j of its upper half is column 2k + 1.
typedef struct {
    int32_t columns;  // of a group: 32, 64 or 128; 0: all columns are one group
    bool has_zeros;
    bool scales_are_f16;
} swiftlet_groups;

/// A weight matrix [rows, columns] (y = W x), packed as panels [ceil(rows / 64)][ceil(columns / unit)][64] of
/// 32-bit words. A word is one float32 (unit 1), or two bfloat16 (unit 2) or four int8 (unit 4) of neighbouring
/// columns, the lowest one in the low bits. Padding is zero. A panel of int8 ends with the scales of its rows
/// (float32 [64]) and the sums of their integers (int32 [64]). A gated matrix holds gate and up projections of `rows / 2` outputs each:
/// panel p has gate rows 32p..<32p+32 in its first half and the same up rows in its second half, so its panels
/// are [ceil(rows / 2 / 32)].
typedef struct {
    uint32_t *words;
    int32_t rows;
    int32_t columns;
    swiftlet_dtype dtype;
    swiftlet_weights format;
    swiftlet_groups groups;  // of SWIFTLET_WEIGHTS_INT4, whose panels have a layout of their own
    bool gated;
} swiftlet_matrix;

typedef enum { SWIFTLET_PART_WHOLE = 0, SWIFTLET_PART_GATE = 1, SWIFTLET_PART_UP = 2 } swiftlet_part;

int32_t swiftlet_matrix_panels(int32_t rows, bool gated);
/// Bytes behind `words` of a matrix of this shape, dtype and format (its `words` are not looked at).
size_t swiftlet_matrix_bytes(const swiftlet_matrix *matrix);

/// A tensor on its way into a matrix: `rows` rows of a row-major source (any byte alignment, `source_stride`
/// elements from row to row) that go to the given part from row `first_row` on. WHOLE for plain matrices, GATE and UP
/// for gated ones. The matrix may be a slice of the source's columns: those from `first_column` on. The scales of
/// eight-bit integers are of whole rows all the same, so that a slice has the integers it would have in the whole.
typedef struct {
    swiftlet_matrix matrix;
    const void *source;       // the first row, from its first column on
    size_t source_stride;
    int32_t source_columns;   // 0: as many as the matrix has
    int32_t first_column;
    swiftlet_source type;
    swiftlet_part part;
    int32_t first_row;
    int32_t rows;
    int32_t first_item;  // set by swiftlet_pack_all
    /// The source is a mapped file: its pages are read ahead, and let go of (not for good) when they are packed.
    bool mapped;
} swiftlet_pack;

/// Packs all of them, in parallel over all their rows. False when there is no memory for the list of the work.
bool swiftlet_pack_all(swiftlet_cpu *cpu, const swiftlet_pack *packs, int32_t count);

/// Packs one tensor that is not mapped.
bool swiftlet_pack_rows(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, swiftlet_part part, int32_t first_row,
                        int32_t rows, const void *source, swiftlet_source type, size_t source_stride);

/// Four-bit integers as checkpoints hold them: eight to a 32-bit word, of neighbouring rows or of neighbouring columns.
typedef struct {
    const void *words;                // of any byte alignment; NULL: there are none
    size_t row_stride, column_stride; // in words: to the next word down, and to the next one along the columns
    bool along_rows;                  // a word has eight rows of one column; else eight columns of one row
    uint8_t shifts[8];                // of each of the eight in the word
} swiftlet_nibbles;

/// A tensor's bytes in a mapped file.
typedef struct {
    const void *bytes;
    size_t count;
} swiftlet_mapping;

/// Weights that are quantised already: AWQ's, GPTQ's and compressed-tensors' fit. They are packed as they are: float16
/// scales into a matrix of float16 scales, bfloat16 ones into one of bfloat16; float32 ones are rounded to bfloat16.
typedef struct {
    swiftlet_nibbles weights;   // [rows, columns]
    swiftlet_nibbles zeros;     // [rows, groups], when the matrix has zero points; none: all are 8
    int32_t zero_offset;        // added to them: 1 where the checkpoint holds zero - 1
    const void *scales;         // [rows, groups], of any byte alignment
    swiftlet_source scale_type;
    size_t scale_row_stride, scale_group_stride;
    const int32_t *order;       // [columns]: which column of `weights` comes where, x alike, or -1: none, x is 0 there;
                                // NULL: as they are
    const int32_t *groups;      // [groups of the matrix]: which of the checkpoint's each is; NULL: as they are
    swiftlet_part part;
    int32_t first_row, rows;    // that they go to
} swiftlet_int4_source;

/// All that fills a matrix of four-bit weights, and the mapped tensors that it lies in (there may be none): their pages
/// are read ahead, and let go of (not for good) when they are packed.
typedef struct {
    swiftlet_matrix matrix;
    const swiftlet_int4_source *sources;
    const swiftlet_mapping *mappings;
    int32_t source_count, mapping_count;
} swiftlet_int4_pack;

/// Packs all of them, in parallel over all their panels. False when there is no memory for the list of the work.
bool swiftlet_pack_int4(swiftlet_cpu *cpu, const swiftlet_int4_pack *packs, int32_t count);

/// What a byte of a checkpoint is.
typedef enum {
    SWIFTLET_BYTES_INT8 = 0,
    SWIFTLET_BYTES_UINT8 = 1,  ///< an integer plus 128
    SWIFTLET_BYTES_E4M3 = 2,   ///< a float of eight bits without infinity (float8_e4m3fn)
} swiftlet_bytes;

/// Weights of eight bits [rows, columns] with a scale for each `scale_rows` x `scale_columns` of them: value = byte *
/// scale. Integers with a scale a row become a matrix of eight-bit integers as they are; all others are expanded and
/// packed as float32 would be.
typedef struct {
    const void *bytes;
    size_t stride;              // from row to row
    swiftlet_bytes type;
    const void *scales;         // of any byte alignment
    swiftlet_source scale_type;
    size_t scale_stride;        // from one down to the next
    int32_t scale_rows, scale_columns;
    int32_t scale_first_row, scale_first_column;  // of the tensor: where the first row and column here are
    swiftlet_part part;
    int32_t first_row, rows;    // that they go to
} swiftlet_bytes_source;

/// All that fills a matrix; see swiftlet_int4_pack.
typedef struct {
    swiftlet_matrix matrix;
    const swiftlet_bytes_source *sources;
    const swiftlet_mapping *mappings;
    int32_t source_count, mapping_count;
} swiftlet_bytes_pack;

bool swiftlet_pack_bytes(swiftlet_cpu *cpu, const swiftlet_bytes_pack *packs, int32_t count);

/// Fills a matrix with uniform values in [-scale, scale), a function of (seed, row, column) alone
/// (`--load-format dummy`). Padding stays zero.
void swiftlet_fill_random(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, uint64_t seed, float scale);

/// count values of a checkpoint to float32.
void swiftlet_convert_to_float(const void *source, swiftlet_source type, size_t count, float *out);

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
size_t swiftlet_experts_workspace_bytes(const swiftlet_experts *experts, int32_t tokens);

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
/// What that instruction is called.
const char *swiftlet_probe_instruction(const swiftlet_cpu *cpu, swiftlet_dtype dtype, swiftlet_weights format);

#ifdef __cplusplus
}
#endif
