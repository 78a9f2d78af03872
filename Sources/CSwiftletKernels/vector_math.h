// vector_math.h: functions of sixteen lanes that have no instruction.
//
// Invariant: as vector.h's: the same bits wherever the compiler inlines them.

#pragma once

#include "vector.h"

// e^x to about 1e-7 relative; arguments are clamped to -87.3...88.7. NaN gives some finite value.
INLINE vf vf_exp(vf x) {
    x = vf_select(x < vf_set(88.7f), x, vf_set(88.7f));
    x = vf_select(x > vf_set(-87.3f), x, vf_set(-87.3f));
    vf shifted = vf_fma(x, vf_set(1.44269504f), vf_set(12582912.0f));  // 1.5 * 2^23: rounds to an integer
    vf n = shifted - vf_set(12582912.0f);
    vf r = vf_fma(n, vf_set(-0.693359375f), x);  // ln 2 in two parts, the first of few bits
    r = vf_fma(n, vf_set(2.12194440e-4f), r);
    vf p = vf_fma(r, vf_set(1.0f / 5040), vf_set(1.0f / 720));
    p = vf_fma(p, r, vf_set(1.0f / 120));
    p = vf_fma(p, r, vf_set(1.0f / 24));
    p = vf_fma(p, r, vf_set(1.0f / 6));
    p = vf_fma(p, r, vf_set(0.5f));
    p = vf_fma(p * r, r, r) + vf_set(1);
    return (vf)((vw)p + ((vw)shifted << 23));  // the low bits of `shifted` are n
}
INLINE vf vf_silu(vf x) { return x / (vf_set(1) + vf_exp(-x)); }
// x / 2 (1 + tanh u) = x / (1 + e^-2u) with u = sqrt(2 / pi) (x + 0.044715 x^3).
INLINE vf vf_gelu(vf x) {
    vf twice = x * vf_fma(x * x, vf_set(-0.0713548163f), vf_set(-1.59576912f));
    return x / (vf_set(1) + vf_exp(twice));
}
// To about 1e-7 absolute. NaN stays NaN.
INLINE vf vf_tanh(vf x) {
    vf y = vf_set(1) - vf_set(2) / (vf_set(1) + vf_exp(x + x));
    return vf_select(x == x, y, x);
}
INLINE vf vf_cap(vf x, float cap) { return vf_set(cap) * vf_tanh(x * vf_set(1 / cap)); }

/// Transposes sixteen vectors of sixteen words: rows in fours, then their quarters.
INLINE void vw_transpose(vw r[16]) {
    vw t[16];
    UNROLL for (int i = 0; i < 16; i += 2) {
        t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
        t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
    UNROLL for (int i = 0; i < 16; i += 4) UNROLL for (int j = 0; j < 2; j++) {
        vw a = t[i + j], b = t[i + j + 2];
        r[i + 2 * j] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
        r[i + 2 * j + 1] = __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
#define EVEN_QUARTERS(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD_QUARTERS(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
    UNROLL for (int i = 0; i < 4; i++) {
        vw even_low = EVEN_QUARTERS(r[i], r[i + 4]), even_high = EVEN_QUARTERS(r[i + 8], r[i + 12]);
        vw odd_low = ODD_QUARTERS(r[i], r[i + 4]), odd_high = ODD_QUARTERS(r[i + 8], r[i + 12]);
        // even_low has quarters 0 and 2 of r[i] and r[i + 4], in the order r[i].0, r[i].2, r[i + 4].0, r[i + 4].2.
        t[i] = EVEN_QUARTERS(even_low, even_high), t[i + 8] = ODD_QUARTERS(even_low, even_high);
        t[i + 4] = EVEN_QUARTERS(odd_low, odd_high), t[i + 12] = ODD_QUARTERS(odd_low, odd_high);
    }
#undef EVEN_QUARTERS
#undef ODD_QUARTERS
    UNROLL for (int i = 0; i < 16; i++) r[i] = t[i];
}
