// level.inc.h: every kernel, for the instruction-set level that the including level_*.c has switched on, and
// that level's table. Kernels that depend on the dtype are included twice, under these names:
//   DTYPE        SWIFTLET_FLOAT32 or SWIFTLET_BFLOAT16
//   UNIT         elements in a 32-bit word: 1 or 2
//   ELEMENT      the element's C type: float or uint16_t
//   DOT          vf DOT(vf acc, vw a, vw b): acc + the product of the words, UNIT elements each
//   TO_ELEMENT   ELEMENT TO_ELEMENT(float), rounding to nearest even; TO_FLOAT is its inverse
//   STORE_16     STORE_16(ELEMENT *, vf): sixteen elements; STORE_FIRST(ELEMENT *, vf, n) the first n
//   LOAD_16      vf LOAD_16(const ELEMENT *); LOAD_FIRST(const ELEMENT *, n) the first n and zeros
//   NAMED(f)     f_f32 or f_bf16
// The sums of products with int8 weights are a third instance of their file (UNIT 4).
// Invariant: everything here is static; only the table has a name outside.

#include "kernels.h"
#include "probe.h"
#include "vector_math.h"

#include "int4.inc.h"
#include "int4_quantize.inc.h"
#include "int8.inc.h"
#include "logits.inc.h"
#include "sample.inc.h"
#include "experts.inc.h"

// The register tile of gemm.inc.h: TILE_ROWS tokens by up to TILE_VECTORS / rows vectors of sixteen columns, so
// that the accumulators, a row of weights (as float32 where there is no dot product of bfloat16) and one broadcast
// value fit the registers. And that of gemm_strips.inc.h: STRIP_ROWS tokens by one vector, up to WIDE_ROWS by four.
enum {
#if defined(LEVEL_AVX512BF16)
    TILE_ROWS_f32 = 6, TILE_VECTORS_f32 = 24, TILE_ROWS_bf16 = 6, TILE_VECTORS_bf16 = 24,
    TILE_ROWS_int8 = 6, TILE_VECTORS_int8 = 24, PROBE_VECTORS_int8 = 24,
#elif defined(LEVEL_AVX512)
    TILE_ROWS_f32 = 6, TILE_VECTORS_f32 = 24, TILE_ROWS_bf16 = 5, TILE_VECTORS_bf16 = 20,
    TILE_ROWS_int8 = 6, TILE_VECTORS_int8 = 24, STRIP_ROWS_int8 = 6, WIDE_ROWS = 3, PROBE_VECTORS_int8 = 24,
#elif defined(LEVEL_AVX2)
    TILE_ROWS_f32 = 6, TILE_VECTORS_f32 = 6, TILE_ROWS_bf16 = 4, TILE_VECTORS_bf16 = 4,
    STRIP_ROWS_f32 = 6, STRIP_ROWS_bf16 = 6, STRIP_ROWS_int8 = 6, WIDE_ROWS = 2,
    PROBE_VECTORS_int8 = 6,
#elif HAS_NEON
    TILE_ROWS_f32 = 6, TILE_VECTORS_f32 = 6, TILE_ROWS_bf16 = 5, TILE_VECTORS_bf16 = 5,
    STRIP_ROWS_f32 = 6, STRIP_ROWS_bf16 = HAS_BF16_DOT ? 6 : 5, STRIP_ROWS_int8 = HAS_INT8_DOT ? 6 : 5, WIDE_ROWS = 1,
    PROBE_VECTORS_int8 = 6,
#else
    TILE_ROWS_f32 = 3, TILE_VECTORS_f32 = 3, TILE_ROWS_bf16 = 2, TILE_VECTORS_bf16 = 2,
    STRIP_ROWS_f32 = 2, STRIP_ROWS_bf16 = 2, STRIP_ROWS_int8 = 2, WIDE_ROWS = 1, PROBE_VECTORS_int8 = 3,
#endif
};

#define UNIT 4
#define ELEMENT int8_t
#define DOT dot_int8
#define NAMED(name) name##_int8
#if HAS_AVX512 && HAS_INT8_DOT
#include "gemm.inc.h"
#else
#include "gemm_strips.inc.h"
#endif
#undef UNIT
#undef ELEMENT
#undef DOT
#undef NAMED

#define DTYPE SWIFTLET_FLOAT32
#define UNIT 1
#define ELEMENT float
#define DOT dot_f32
#define TO_ELEMENT(x) (x)
#define TO_FLOAT(x) (x)
#define STORE_16 vf_store
#define STORE_FIRST vf_store_first
#define LOAD_16 vf_load
#define LOAD_FIRST vf_load_first
#define NAMED(name) name##_f32
#include "dtype.inc.h"
#undef DTYPE
#undef UNIT
#undef ELEMENT
#undef DOT
#undef TO_ELEMENT
#undef TO_FLOAT
#undef STORE_16
#undef STORE_FIRST
#undef LOAD_16
#undef LOAD_FIRST
#undef NAMED

#define DTYPE SWIFTLET_BFLOAT16
#define UNIT 2
#define ELEMENT uint16_t
#define DOT dot_bf16
#define TO_ELEMENT scalar_bf16
#define TO_FLOAT scalar_from_bf16
#define STORE_16 bf16_store
#define STORE_FIRST bf16_store_first
#define LOAD_16 bf16_load
#define LOAD_FIRST bf16_load_first
#define NAMED(name) name##_bf16
#include "dtype.inc.h"

#include "probe.inc.h"

#if defined(LEVEL_PORTABLE)
#define MULTIPLY_F32 "multiply and add"
#define MADD_INT16 (HAS_INT16_DOT ? "pmaddwd" : MULTIPLY_F32)
#elif defined(__aarch64__)
#define MULTIPLY_F32 "fmla"
#define MADD_INT16 "mla"
#else
#define MULTIPLY_F32 "vfmadd"
#define MADD_INT16 "vpmaddwd"
#endif

#if !HAS_INT8_DOT
#define MULTIPLY_INT8 MADD_INT16
#define OPERATIONS_INT8 64  // of a vector
#elif HAS_NEON
#define MULTIPLY_INT8 "sdot"
#define OPERATIONS_INT8 128
#else
#define MULTIPLY_INT8 "vpdpbusd"
#define OPERATIONS_INT8 128
#endif

const swiftlet_kernel_table LEVEL_TABLE = {
    .linear = {
        [SWIFTLET_WEIGHTS_NATIVE] = {linear_f32, linear_bf16},
        [SWIFTLET_WEIGHTS_INT8] = {linear_int8_f32, linear_int8_bf16},
        [SWIFTLET_WEIGHTS_INT4] = {linear_int4_f32, linear_int4_bf16},
    },
    .quantize_rows = {
        [SWIFTLET_WEIGHTS_INT8] = {quantize_rows_f32, quantize_rows_bf16},
#if HAS_INT16_DOT
        [SWIFTLET_WEIGHTS_INT4] = {NULL, int4_quantize_rows_bf16},
#endif
    },
    .largest_magnitude = largest_magnitude,
    .quantize_int8 = quantize_int8,
    .quantize_int4 = quantize_int4,
    .rms_norm = {rms_norm_f32, rms_norm_bf16},
    .add_normed = add_normed,
    .logits_maximum = logits_block_maximum,
    .logits_sum = logits_block_sum,
    .logits_greater = logits_block_greater,
    .top_logits = top_logits,
    .sample = sample,
    .route = route_tokens,
    .sum_experts = sum_experts,
#if __has_include("rope.inc.h")
    .rope_and_store = {rope_and_store_f32, rope_and_store_bf16},
#endif
#if __has_include("attention.inc.h")
    .attention = {attention_f32, attention_bf16},
#endif
    .probe_read = probe_read,
    .probe_multiply = {
        {probe_multiply_f32, MULTIPLY_F32, 32 * TILE_VECTORS_f32},
#if defined(LEVEL_AVX512BF16)
        {probe_multiply_bf16, "vdpbf16ps", 64 * TILE_VECTORS_bf16},
#else  // bfloat16 is widened and multiplied as float32
        {probe_multiply_f32, MULTIPLY_F32, 32 * TILE_VECTORS_f32},
#endif
    },
    .probe_multiply_int8 = {probe_multiply_int8, MULTIPLY_INT8, OPERATIONS_INT8 * PROBE_VECTORS_int8},
#if HAS_INT16_DOT
    .probe_multiply_int16 = {probe_multiply_int16, MADD_INT16, 64 * PROBE_VECTORS_int8},
#endif
};
