// quantized.cuh: weights of four or eight bits: how they lie in memory, and what they stand for.
//
// A matrix is one piece of memory: its rows, then their scales, then, of four bits, zero points if there are any. A row is
// whole blocks of 64 bytes: 128 columns of four bits, or 64 of eight. Of the 16-byte units of a block, number t has
// columns 8 t + 32 j ..< 8 t + 32 j + 8 for each j: so the four lanes that share a row in a product of tensor cores read
// a unit each, and get 32 neighbouring columns at a time. A scale belongs to one row and a group of 32, 64, 128, …
// neighbouring columns, or all of them.
//
// Invariant: a weight before its scale (and behind its zero point) is exact in bfloat16; padding is finite.
#pragma once

#include "epilogue.cuh"

/// What a `layout` argument says. Its lowest byte is s: groups have 32 << s columns; 31: a row is a group.
enum Layout : int {
    GROUP_SHIFT = 255,
    HAS_ZEROS = 256,
    HALF_SCALES = 512,  // float16, not bfloat16
};

/// The formats, by the numbers of the backend.
enum Format : int { INT8 = 0, INT4 = 1, FP8 = 2 };

/// Integers of four bits, eight columns to a word: column 2 k in bits 4 k, column 2 k + 1 in bits 16 + 4 k.
struct Int4 {
    enum : int { PIECES = 4, WORDS = 1, SCALE_BYTES = 2 };

    /// Eight columns as pairs of bfloat16; `offset` is -(128 + zero point), twice.
    __device__ static void unpack(const unsigned *words, unsigned offset, unsigned (&pairs)[4]) {
#pragma unroll
        for (int k = 0; k < 4; k++)  // 128 has the exponent that makes an integer of its last bits
            pairs[k] = add_pairs((words[0] >> 4 * k & 0x000f000fu) | 0x43004300u, offset);
    }
};

/// Integers of eight bits.
struct Int8 {
    enum : int { PIECES = 2, WORDS = 2, SCALE_BYTES = 4 };

    __device__ static void unpack(const unsigned *words, unsigned, unsigned (&pairs)[4]) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            unsigned bytes = words[half] ^ 0x80808080u;
            float x[4];
#pragma unroll
            for (unsigned i = 0; i < 4; i++)  // 2^23 + 128 + the integer, less 2^23 + 128
                x[i] = __uint_as_float(__byte_perm(bytes, 0x4b000000u, 0x7540u | i)) - 8388736.0f;
            pairs[2 * half] = bf16_pair(x[0], x[1]), pairs[2 * half + 1] = bf16_pair(x[2], x[3]);
        }
    }
};

/// Floats of eight bits, e4m3.
struct Float8 {
    enum : int { PIECES = 2, WORDS = 2, SCALE_BYTES = 4 };

    __device__ static void unpack(const unsigned *words, unsigned, unsigned (&pairs)[4]) {
#pragma unroll
        for (int half = 0; half < 2; half++)
            pairs[2 * half] = widened<0, 1>(words[half]), pairs[2 * half + 1] = widened<2, 3>(words[half]);
    }
};

/// A float16.
__device__ inline float half_float(unsigned short bits) {
    float size = __uint_as_float((bits & 0x7fffu) << 13) * 0x1p112f;
    return bits & 0x8000u ? -size : size;
}

template <typename Format>
struct Quantized {
    enum : int { BLOCK = 64, COLUMNS = 32 * Format::PIECES };  // bytes and columns of a block
    const unsigned char *bytes, *scales, *zeros;
    int blocks, groups;  // of a row
    int layout;

    __device__ Quantized(const void *memory, int rows, int columns, int layout) : layout(layout) {
        blocks = (columns + COLUMNS - 1) / COLUMNS;
        groups = (((columns + 31) / 32 - 1) >> (layout & GROUP_SHIFT)) + 1;
        bytes = (const unsigned char *)memory;
        scales = bytes + (size_t)rows * (size_t)blocks * BLOCK;
        zeros = layout & HAS_ZEROS ? scales + (size_t)rows * (size_t)groups * Format::SCALE_BYTES : nullptr;
    }

    __device__ const unsigned char *row(int row) const { return bytes + (size_t)row * (size_t)blocks * BLOCK; }

    /// The place of the scale of 32 columns of a row. Padding has the last group's.
    __device__ size_t place(int row, int number) const {
        int group = number >> (layout & GROUP_SHIFT);
        return (size_t)row * (size_t)groups + (size_t)(group < groups ? group : groups - 1);
    }

    __device__ float scale(int row, int number) const {
        size_t i = place(row, number);
        if (Format::SCALE_BYTES == 4) return ((const float *)scales)[i];
        unsigned short bits = ((const unsigned short *)scales)[i];
        return layout & HALF_SCALES ? half_float(bits) : to_float(bf16{bits});
    }

    /// What `Format::unpack` takes for 32 columns of a row.
    __device__ unsigned offset(int row, int number) const {
        if (Format::WORDS == 2) return 0;
        float zero = zeros ? (float)zeros[place(row, number)] : 8.0f;
        return (__float_as_uint(-128.0f - zero) >> 16) * 0x10001u;
    }

    /// Columns 8 number ..< 8 number + 8 of a row.
    __device__ void read(int row, int number, float (&x)[8]) const {
        int block = number / (COLUMNS / 8), rest = number % (COLUMNS / 8);
        const unsigned char *from = this->row(row) + (size_t)block * BLOCK;
        unsigned pairs[4];
        Format::unpack((const unsigned *)(from + rest % 4 * 16) + rest / 4 * Format::WORDS, offset(row, number / 4), pairs);
        float factor = scale(row, number / 4);
#pragma unroll
        for (int k = 0; k < 4; k++) x[2 * k] = low_float(pairs[k]) * factor, x[2 * k + 1] = high_float(pairs[k]) * factor;
    }
};
