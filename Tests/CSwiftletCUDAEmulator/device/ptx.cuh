// ptx.cuh: the emulated driver's counterpart of the kernels' inline PTX, by what the PTX manual says of each instruction.
//
// Invariant: what a warp reads together is read at one moment, when its last lane arrives.
#pragma once

#include "shapes.cuh"

typedef float emulated_float8 __attribute__((vector_size(32)));

inline unsigned short bf16_bits(float x) {
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline unsigned bf16_pair(float low, float high) { return bf16_bits(low) | (unsigned)bf16_bits(high) << 16; }
inline unsigned multiply_pairs(unsigned a, unsigned b) {
    return bf16_pair(__uint_as_float(a << 16) * __uint_as_float(b << 16),
                     __uint_as_float(a & 0xffff0000u) * __uint_as_float(b & 0xffff0000u));
}
inline unsigned add_pairs(unsigned a, unsigned b) {
    return bf16_pair(__uint_as_float(a << 16) + __uint_as_float(b << 16),
                     __uint_as_float(a & 0xffff0000u) + __uint_as_float(b & 0xffff0000u));
}
inline float power_of_two(float x) {
    float y = __builtin_exp2f(x);
    return y < 0x1p-126f ? 0.0f : y;
}
inline uint4 load_once(const void *address) { return *(const uint4 *)address; }

inline float emulated_half(unsigned pair, int index) { return __uint_as_float(index ? pair & 0xffff0000u : pair << 16); }

struct emulated_fragments {
    unsigned a[4], b[2];
    float c[4];
};

inline void emulated_multiply(void *slots) {
    float a[16][16];
    emulated_float8 b[16], c[16];
    for (int lane = 0; lane < 32; lane++) {
        const emulated_fragments *f = (const emulated_fragments *)((char *)slots + 64 * lane);
        int g = lane / 4, t = lane % 4 * 2;
        for (int i = 0; i < 2; i++) {
            a[g][t + i] = emulated_half(f->a[0], i);
            a[g + 8][t + i] = emulated_half(f->a[1], i);
            a[g][t + 8 + i] = emulated_half(f->a[2], i);
            a[g + 8][t + 8 + i] = emulated_half(f->a[3], i);
            b[t + i][g] = emulated_half(f->b[0], i);
            b[t + 8 + i][g] = emulated_half(f->b[1], i);
            c[g][t + i] = f->c[i];
            c[g + 8][t + i] = f->c[2 + i];
        }
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++) c[row] += a[row][k] * b[k];
    for (int lane = 0; lane < 32; lane++) {
        emulated_fragments *f = (emulated_fragments *)((char *)slots + 64 * lane);
        int g = lane / 4, t = lane % 4 * 2;
        for (int i = 0; i < 2; i++) {
            f->c[i] = c[g][t + i];
            f->c[2 + i] = c[g + 8][t + i];
        }
    }
}

inline void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, int line = __builtin_LINE()) {
    emulated_fragments own = {{a[0], a[1], a[2], a[3]}, {b0, b1}, {c[0], c[1], c[2], c[3]}};
    const char *slots = (const char *)swiftlet_calls->exchange(line, &own, sizeof(own), emulated_multiply);
    const emulated_fragments *result = (const emulated_fragments *)(slots + 64 * emulated_lane());
    for (int i = 0; i < 4; i++) c[i] = result->c[i];
}

struct emulated_rows {
    const unsigned short *row;
    unsigned r[4];
};

template <bool transposed>
inline void emulated_load(void *slots) {
    const unsigned short *rows[32];
    for (int lane = 0; lane < 32; lane++) {
        rows[lane] = ((const emulated_rows *)((char *)slots + 64 * lane))->row;
        if ((size_t)rows[lane] % 16 != 0) swiftlet_calls->fail(716, "a row of a matrix load is not on 16 bytes");
    }
    for (int lane = 0; lane < 32; lane++) {
        emulated_rows *own = (emulated_rows *)((char *)slots + 64 * lane);
        int g = lane / 4, t = lane % 4 * 2;
        for (int m = 0; m < 4; m++) {
            const unsigned short *const *matrix = rows + 8 * m;
            own->r[m] = transposed ? matrix[t][g] | (unsigned)matrix[t + 1][g] << 16
                                   : matrix[g][t] | (unsigned)matrix[g][t + 1] << 16;
        }
    }
}

template <bool transposed>
inline void emulated_load_matrices(unsigned (&r)[4], const void *row, int line) {
    emulated_rows own = {(const unsigned short *)row, {}};
    const char *slots = (const char *)swiftlet_calls->exchange(line, &own, sizeof(own), emulated_load<transposed>);
    const emulated_rows *result = (const emulated_rows *)(slots + 64 * emulated_lane());
    for (int i = 0; i < 4; i++) r[i] = result->r[i];
}
inline void load_matrices(unsigned (&r)[4], const void *row, int line = __builtin_LINE()) {
    emulated_load_matrices<false>(r, row, line);
}
inline void load_matrices_transposed(unsigned (&r)[4], const void *row, int line = __builtin_LINE()) {
    emulated_load_matrices<true>(r, row, line);
}

inline void copy_async(void *shared, const void *global, bool valid) {
    swiftlet_calls->copy_async(shared, global, valid);
}
inline void copy_async_commit() { swiftlet_calls->copy_async_commit(); }
template <int newer>
inline void copy_async_wait() { swiftlet_calls->copy_async_wait(newer); }
