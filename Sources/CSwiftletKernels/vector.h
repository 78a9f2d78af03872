// vector.h: sixteen lanes on every instruction-set level. Each level_*.c defines one LEVEL_ macro, switches
// the target on with a pragma and includes this and the kernels' *.inc.h, so that every kernel is written once.
//
// Invariant: an operation here gives the same bits wherever the compiler inlines it (no reassociation; every
// horizontal reduction spells out its order).

#pragma once

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "scalar.h"

#if defined(LEVEL_AVX512) || defined(LEVEL_AVX512BF16)
#define HAS_AVX512 1
#else
#define HAS_AVX512 0
#endif
#if defined(LEVEL_NEON) || defined(LEVEL_NEONBF16)
#define HAS_NEON 1
#else
#define HAS_NEON 0
#endif
#if HAS_AVX512 || defined(LEVEL_AVX2)
#include <immintrin.h>
#define HAS_FMA 1
#elif HAS_NEON
#include <arm_neon.h>
#define HAS_FMA 1
#else
#define HAS_FMA 0
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#endif

// Whether dot_bf16 is one instruction.
#if defined(LEVEL_AVX512BF16) || defined(LEVEL_NEONBF16)
#define HAS_BF16_DOT 1
#else
#define HAS_BF16_DOT 0
#endif

// Whether dot_int8 is one instruction, and what it wants added to one of its factors: x86's takes a signed and an
// unsigned one.
#if defined(LEVEL_HAS_INT8_DOT)
#define HAS_INT8_DOT 1
#else
#define HAS_INT8_DOT 0
#endif
#define INT8_X_BIAS (HAS_INT8_DOT && !HAS_NEON ? 128 : 0)

// Whether dot_int16 is an instruction or two, so that bfloat16, which has no dot product there, is rounded to it where
// weights have four bits. AVX-512's levels expand them in another way.
#if defined(__SSE2__) && !HAS_AVX512
#define HAS_INT16_DOT 1
#else
#define HAS_INT16_DOT 0
#endif

// Vectors are passed by value to inlined functions only, so their ABI does not matter.
#pragma clang diagnostic ignored "-Wpsabi"

#define UNROLL _Pragma("clang loop unroll(full)")  // loops over a register tile
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))

// The same address, for words that the compiler would rather spill than read twice.
INLINE const uint32_t *read_again(const uint32_t *words) {
    __asm__("" : "+r"(words));
    return words;
}

typedef float vf __attribute__((vector_size(64)));     // 16 float32
typedef uint32_t vw __attribute__((vector_size(64)));  // 16 words: a float32 or two bfloat16
typedef int32_t vi __attribute__((vector_size(64)));
typedef int32_t vi_half __attribute__((vector_size(32)));
typedef int32_t vi_quarter __attribute__((vector_size(16)));
typedef int16_t v_int16 __attribute__((vector_size(64)));
typedef int16_t v_half_int16 __attribute__((vector_size(32), aligned(2)));
typedef float vf_unaligned __attribute__((vector_size(64), aligned(4)));
typedef uint32_t vw_unaligned __attribute__((vector_size(64), aligned(4)));

INLINE vf vf_load(const float *p) { return *(const vf_unaligned *)p; }
INLINE void vf_store(float *p, vf v) { *(vf_unaligned *)p = v; }
INLINE vw vw_load(const uint32_t *p) { return *(const vw_unaligned *)p; }
INLINE void vw_store(uint32_t *p, vw v) { *(vw_unaligned *)p = v; }
INLINE vf vf_set(float x) { return (vf){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE vw vw_set(uint32_t x) { return (vw){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE vw vw_broadcast(const void *p) {  // four bytes of any alignment
    uint32_t word;
    memcpy(&word, p, 4);
    return vw_set(word);
}
INLINE vi vi_iota(void) { return (vi){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }

// Lane masks are vi of 0 / -1; the compiler turns compare-and-select into mask registers on AVX-512.
INLINE vi mask_first(int32_t n) { return vi_iota() < (vi)vw_set((uint32_t)n); }
INLINE vf vf_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }

// NEON's registers hold a quarter of a vector.
#define QUARTER(v, i) __builtin_shufflevector(v, v, 4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3)
#define FROM_HALVES(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#define FROM_QUARTERS(a, b, c, d) \
    FROM_HALVES(__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7), \
                __builtin_shufflevector(c, d, 0, 1, 2, 3, 4, 5, 6, 7))

// a0 b0 a1 b1 ..., first half and second half.
#define INTERLEAVE_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define INTERLEAVE_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
// AVX2's hold half of one.
#define HALF256(v, i) \
    (__m256i) __builtin_shufflevector((vi)(v), (vi)(v), 8 * i, 8 * i + 1, 8 * i + 2, 8 * i + 3, 8 * i + 4, 8 * i + 5, \
                                      8 * i + 6, 8 * i + 7)
#define FROM_HALVES256(a, b) FROM_HALVES((vi_half)(a), (vi_half)(b))

// a * b + c, fused where the level has it; on the portable level whatever one C expression gives.
INLINE vf vf_fma(vf a, vf b, vf c) {
#if HAS_FMA
    return __builtin_elementwise_fma(a, b, c);
#else
    return a * b + c;
#endif
}
INLINE vf vf_max(vf a, vf b) {  // a > b ? a : b, so b when either is NaN
#if HAS_AVX512
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return vf_select(a > b, a, b);
#endif
}

// Two bfloat16 of a word as float32.
INLINE vf bf16_low(vw w) { return (vf)(w << 16); }
INLINE vf bf16_high(vw w) { return (vf)(w & vw_set(0xffff0000u)); }

// acc + a.low * b.low + a.high * b.high: the one product of the bfloat16 kernels.
INLINE vf dot_bf16(vf acc, vw a, vw b) {
#if defined(LEVEL_AVX512BF16)
    return (vf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)a, (__m512bh)b);
#elif defined(LEVEL_NEONBF16)
#define DOT_QUARTER(i) \
    vbfdotq_f32(QUARTER(acc, i), (bfloat16x8_t)QUARTER(a, i), (bfloat16x8_t)QUARTER(b, i))
    return FROM_QUARTERS(DOT_QUARTER(0), DOT_QUARTER(1), DOT_QUARTER(2), DOT_QUARTER(3));
#undef DOT_QUARTER
#else
    return vf_fma(bf16_high(a), bf16_high(b), vf_fma(bf16_low(a), bf16_low(b), acc));
#endif
}
INLINE vf dot_f32(vf acc, vw a, vw b) { return vf_fma((vf)a, (vf)b, acc); }

// Products of eight-bit integers. Lanes of the sums are int32, in vectors of the type that all products share.

#if HAS_INT8_DOT
// acc + the sum of four products of signed w and x (with INT8_X_BIAS added to it).
INLINE vf dot_int8(vf acc, vw w, vw x) {
#if HAS_AVX512
    return (vf)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)x, (__m512i)w);
#elif HAS_NEON
#define DOT_QUARTER(i) vdotq_s32((int32x4_t)QUARTER(acc, i), (int8x16_t)QUARTER(w, i), (int8x16_t)QUARTER(x, i))
    return (vf)FROM_QUARTERS(DOT_QUARTER(0), DOT_QUARTER(1), DOT_QUARTER(2), DOT_QUARTER(3));
#undef DOT_QUARTER
#else
    __m256i low = _mm256_dpbusd_avx_epi32(HALF256(acc, 0), HALF256(x, 0), HALF256(w, 0));
    __m256i high = _mm256_dpbusd_avx_epi32(HALF256(acc, 1), HALF256(x, 1), HALF256(w, 1));
    return (vf)FROM_HALVES256(low, high);
#endif
}
#else
// A word's even and odd bytes as two int16.
INLINE vf int8_even(vw w) { return (vf)((v_int16)(w << 8) >> 8); }
INLINE vf int8_odd(vw w) { return (vf)((v_int16)w >> 8); }
#endif

#if HAS_INT16_DOT || !HAS_INT8_DOT
// acc + the sum of two products of int16. Of values so small that nothing can overflow.
INLINE vf dot_int16(vf acc, vf w, vf x) {
#if HAS_AVX512
    return (vf)((vi)acc + (vi)_mm512_madd_epi16((__m512i)w, (__m512i)x));
#elif defined(LEVEL_AVX2)
    __m256i low = _mm256_add_epi32(HALF256(acc, 0), _mm256_madd_epi16(HALF256(w, 0), HALF256(x, 0)));
    __m256i high = _mm256_add_epi32(HALF256(acc, 1), _mm256_madd_epi16(HALF256(w, 1), HALF256(x, 1)));
    // Else the compiler adds several products first, for which there are no registers.
    __asm__("" : "+x"(low), "+x"(high));
    return (vf)FROM_HALVES256(low, high);
#elif defined(__SSE2__)
#define MADD_QUARTER(i) (vi_quarter)_mm_madd_epi16((__m128i)QUARTER(w, i), (__m128i)QUARTER(x, i))
    return (vf)((vi)acc + FROM_QUARTERS(MADD_QUARTER(0), MADD_QUARTER(1), MADD_QUARTER(2), MADD_QUARTER(3)));
#undef MADD_QUARTER
#else
    vi low = ((vi)((vw)w << 16) >> 16) * ((vi)((vw)x << 16) >> 16);
    return (vf)((vi)acc + low + ((vi)w >> 16) * ((vi)x >> 16));
#endif
}
#endif

// Round to nearest even; NaN stays NaN.
INLINE vw bf16_round(vf x) {  // the rounded value in the high half, low half zero
    vw bits = (vw)x;
    vw rounded = (bits + vw_set(0x7fffu) + ((bits >> 16) & vw_set(1))) & vw_set(0xffff0000u);
    vi nan = (vi)((bits & vw_set(0x7fffffffu)) > vw_set(0x7f800000u));
    return (vw)(((vi)((bits & vw_set(0xffff0000u)) | vw_set(0x00400000u)) & nan) | ((vi)rounded & ~nan));
}

// Sixteen bfloat16 in memory, as float32.
typedef uint16_t vh __attribute__((vector_size(32)));  // 16 half words
typedef uint16_t vh_unaligned __attribute__((vector_size(32), aligned(2)));
INLINE vh bf16_narrow(vf x) {
#if defined(LEVEL_AVX512BF16)
    return (vh)_mm512_cvtneps_pbh((__m512)x);  // denormals become zero
#elif defined(LEVEL_NEONBF16)
    bfloat16x8_t low = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(QUARTER(x, 0)), QUARTER(x, 1));
    bfloat16x8_t high = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(QUARTER(x, 2)), QUARTER(x, 3));
    return FROM_HALVES((uint16x8_t)low, (uint16x8_t)high);
#else
    return __builtin_convertvector(bf16_round(x) >> 16, vh);
#endif
}
INLINE vf bf16_widen(vh x) { return (vf)(__builtin_convertvector(x, vw) << 16); }
INLINE vf bf16_load(const uint16_t *p) { return bf16_widen(*(const vh_unaligned *)p); }
INLINE void bf16_store(uint16_t *p, vf v) { *(vh_unaligned *)p = bf16_narrow(v); }
INLINE void bf16_store_exact(uint16_t *p, vf v) {  // values that bfloat16 has, so that nothing is rounded
#if HAS_BF16_DOT
    bf16_store(p, v);
#else
    *(vh_unaligned *)p = __builtin_convertvector((vw)v >> 16, vh);
#endif
}

// Sixteen integers of eight bits in memory, as float32.
typedef int8_t vb __attribute__((vector_size(16)));  // 16 bytes
typedef int8_t vb_unaligned __attribute__((vector_size(16), aligned(1)));
INLINE vf vf_from_int8(const int8_t *p) {
    return __builtin_convertvector(__builtin_convertvector(*(const vb_unaligned *)p, vi), vf);
}

// The first n (0...16) lanes of memory; the others are zero when read and untouched when written.
INLINE vf vf_load_first(const float *p, int32_t n) {
#if HAS_AVX512
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    if (n >= 16) return vf_load(p);
    vf v = vf_set(0);
    memcpy(&v, p, (size_t)n * 4);
    return v;
#endif
}
INLINE void vf_store_first(float *p, vf v, int32_t n) {
#if HAS_AVX512
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    if (n >= 16) {
        vf_store(p, v);
        return;
    }
    memcpy(p, &v, (size_t)n * 4);
#endif
}
INLINE vf bf16_load_first(const uint16_t *p, int32_t n) {
#if HAS_AVX512
    return bf16_widen((vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
#else
    if (n >= 16) return bf16_load(p);
    vh v = {0};
    memcpy(&v, p, (size_t)n * 2);
    return bf16_widen(v);
#endif
}
INLINE void bf16_store_first(uint16_t *p, vf v, int32_t n) {
#if HAS_AVX512
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)bf16_narrow(v));
#else
    if (n >= 16) {
        bf16_store(p, v);
        return;
    }
    vh narrow = bf16_narrow(v);
    memcpy(p, &narrow, (size_t)n * 2);
#endif
}

// Horizontal reductions: halves onto halves, always in this order.
INLINE float vf_sum(vf v) {
    v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1);
    return v[0] + v[1];
}
INLINE float vf_maximum(vf v) {
    v = vf_max(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    v = vf_max(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3));
    v = vf_max(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1));
    return v[0] > v[1] ? v[0] : v[1];
}
