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

/// Has `action`, an `int (*)(void *argument, int code)`, called when the process exits, with 1 or the code that it was
/// said to end with; NULL takes that back.
void swiftlet_at_exit(void *action, void *argument);
void swiftlet_ends_with(int code);

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
/// Small pages for the first bytes of an allocation: of a huge one that is used in part, all is taken.
void swiftlet_use_small_pages(void *memory, size_t bytes);
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

#ifdef __cplusplus
}
#endif

#include "CSwiftletOperations.h"
