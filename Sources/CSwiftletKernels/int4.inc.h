// int4.inc.h: four-bit weights to the words that products want, in registers. See level.inc.h and swiftlet_groups.
// Invariant: a weight is the integer q - zero, which bfloat16 and float32 hold exactly.

#include "int4.h"

// Where bfloat16 has its dot product, words come from a table of 32 bfloat16, looked up by the low five bits of
// q - zero. Without zero points the fifth is a neighbour's, and the table has every entry twice.
// Elsewhere q is put into the low bits of a float32 whose last place has the value 1: 2^(23 - 4j) + q.

typedef uint8_t v16b __attribute__((vector_size(16)));

#if defined(LEVEL_AVX512BF16)
typedef uint16_t v32h __attribute__((vector_size(64)));

#define PAIR(low, high) ((uint32_t)(low) | (uint32_t)(high) << 16)
INLINE vw int4_table(bool zeros) {
    typedef uint32_t quarter __attribute__((vector_size(16)));
    const quarter up = {PAIR(0x0000, 0x3f80), PAIR(0x4000, 0x4040), PAIR(0x4080, 0x40a0), PAIR(0x40c0, 0x40e0)};
    const quarter down = {PAIR(0xc100, 0xc0e0), PAIR(0xc0c0, 0xc0a0), PAIR(0xc080, 0xc040), PAIR(0xc000, 0xbf80)};
    const quarter far_up = {PAIR(0x4100, 0x4110), PAIR(0x4120, 0x4130), PAIR(0x4140, 0x4150), PAIR(0x4160, 0x4170)};
    const quarter far_down = {PAIR(0xc180, 0xc170), PAIR(0xc160, 0xc150), PAIR(0xc140, 0xc130), PAIR(0xc120, 0xc110)};
    return zeros ? FROM_QUARTERS(up, far_up, far_down, down) : FROM_QUARTERS(down, up, down, up);
}
#undef PAIR

// A group's zero points of outputs 16 j ..< 16 j + 16, in both halves of each lane.
INLINE vw int4_zero(const uint8_t *zeros, int32_t j) {
    return __builtin_convertvector(*(const v16b *)(zeros + 16 * j), vw) * vw_set(0x10001u);
}

// The words of outputs 16 j ..< 16 j + 16; zero: theirs, in both halves of each lane.
INLINE vw int4_words(vw row, int32_t j, bool zeros, vw zero, vw table) {
    vw index = row >> (uint32_t)(4 * j);
    if (zeros) index = (vw)((v32h)(index & vw_set(0x000f000fu)) - (v32h)zero);
    return (vw)_mm512_permutexvar_epi16((__m512i)index, (__m512i)table);
}
#endif

// 2^(23 - 4j): its last place has the value 1 << 4j of the nibbles j.
INLINE float int4_base(int32_t j) { return (float)(1 << (23 - 4 * j)); }

// Columns 2k (half 0) or 2k + 1 (half 1) of outputs 16 j ..< 16 j + 16, less `offset`: int4_base(j) + zero.
INLINE vf int4_floats(vw row, int32_t j, int32_t half, vf offset) {
    if (half) row >>= 16;
    return (vf)((row & vw_set(15u << (4 * j))) | (vw)vf_set(int4_base(j))) - offset;
}

INLINE vf int4_offset(const uint8_t *zeros, int32_t j) {
    if (zeros == NULL) return vf_set(int4_base(j) + INT4_MIDDLE);
    vi values = __builtin_convertvector(*(const v16b *)(zeros + 16 * j), vi);
    return __builtin_convertvector(values, vf) + vf_set(int4_base(j));
}

#if HAS_INT16_DOT
// Columns 2k and 2k + 1 of outputs 16 j ..< 16 j + 16 as two int16 of a word, times a factor. row: where j is 2 or 3,
// shifted down by eight bits.
INLINE vf int4_pairs(vw row, int32_t j) { return (vf)(row & vw_set(j % 2 ? 0x00f000f0u : 0x000f000fu)); }
INLINE float int4_pairs_factor(int32_t j) { return j % 2 ? 16 : 1; }
INLINE vi int4_pairs_zero(const uint8_t *zeros, int32_t j) {  // times the factor
    if (zeros == NULL) return (vi)vw_set(j % 2 ? 16 * INT4_MIDDLE : INT4_MIDDLE);
    return __builtin_convertvector(*(const v16b *)(zeros + 16 * j), vi) << (j % 2 ? 4 : 0);
}
#endif

INLINE vf int4_scale(const uint16_t *scales, int32_t j, bool f16) {
    vw bits = __builtin_convertvector(*(const vh_unaligned *)(scales + 16 * j), vw);
    if (!f16) return (vf)(bits << 16);
    vf magnitude = (vf)((bits & vw_set(0x7fffu)) << 13) * vf_set(0x1p112f);  // see scalar_from_f16
    return (vf)((vw)magnitude | (bits & vw_set(0x8000u)) << 16);
}
