// int8.inc.h: from floats to eight-bit integers, for weights while they are packed and for rows of activations before
// a product. See format_int8.c, linear.c and level.inc.h.
// Invariant: maxima and sums of integers have no order, and every value is rounded by two operations that are the same
// on all levels: so are the integers.

typedef int8_t vb __attribute__((vector_size(16)));  // 16 bytes
typedef int8_t vb_unaligned __attribute__((vector_size(16), aligned(1)));

// The larger magnitudes, by their bits: NaN is larger than everything.
INLINE vi int8_larger(vi largest, vf x) {
    return __builtin_elementwise_max(largest, (vi)((vw)x & vw_set(0x7fffffffu)));
}
INLINE float int8_largest(vi v) {
    v = __builtin_elementwise_max(
        v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    int32_t largest = 0;
    for (int32_t i = 0; i < 8; i++) largest = v[i] > largest ? v[i] : largest;
    return scalar_from_bits((uint32_t)largest);
}

INLINE int32_t vi_sum(vi v) {
    v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3);
    return (v[0] + v[1]) + (v[2] + v[3]);
}

// To nearest even, for magnitudes up to 2^22.
INLINE vi int8_round(vf x, vf inverse) {
    vf scaled = x * inverse;
    vf shifted = scaled + vf_set(12582912.0f);  // 1.5 * 2^23
    return (vi)((vw)shifted - vw_set(0x4b400000u));
}
INLINE void int8_store(int8_t *p, vi v) { *(vb_unaligned *)p = __builtin_convertvector(v, vb); }

static float largest_magnitude(const float *x, int32_t count) {
    vi largest = (vi)vw_set(0);
    int32_t c = 0;
    for (; c + 16 <= count; c += 16) largest = int8_larger(largest, vf_load(x + c));
    return int8_largest(c < count ? int8_larger(largest, vf_load_first(x + c, count - c)) : largest);
}

static int32_t quantize_int8(const float *x, int32_t count, float inverse, int8_t *out) {
    vi sums = (vi)vw_set(0);
    for (int32_t c = 0; c < count; c += 16) {
        int32_t rest = count - c;
        vi rounded = int8_round(rest >= 16 ? vf_load(x + c) : vf_load_first(x + c, rest), vf_set(inverse));
        vb bytes = __builtin_convertvector(rounded, vb);
        sums += __builtin_convertvector(bytes, vi);
        memcpy(out + c, &bytes, rest < 16 ? (size_t)rest : 16);
    }
    return vi_sum(sums);
}
