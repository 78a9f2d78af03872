// device.cuh: conversions, vectors and reductions that all kernels share.
//
// Invariant: a reduction adds in one fixed order, whatever else runs.
#pragma once

#include "ptx.cuh"

enum : int { WARP = 32 };
enum : unsigned { ALL_LANES = 0xffffffffu };

#define INFINITE __int_as_float(0x7f800000)

__device__ inline int lane_index() { return (int)threadIdx.x % WARP; }
__device__ inline int warp_index() { return (int)threadIdx.x / WARP; }

// --- Conversions ---------------------------------------------------------------------------------------------

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }
__device__ inline float low_float(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ inline float high_float(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

__device__ inline void store(float *p, float x) { *p = x; }
__device__ inline void store(bf16 *p, float x) { p->bits = bf16_bits(x); }

/// Four neighbours, on 16 bytes of float32 or 8 of bfloat16.
__device__ inline void store_four(float *out, float4 v) { *(float4 *)out = v; }
__device__ inline void store_four(bf16 *out, float4 v) {
    *(uint2 *)out = make_uint2(bf16_pair(v.x, v.y), bf16_pair(v.z, v.w));
}

/// Rounds to nearest, ties to even; 448 is the largest, also for what is larger; NaN becomes -448.
__device__ inline void store(fp8 *p, float x) {
    // As a float of so small a size, its exponent has the bits that e4m3's has.
    unsigned bits = __float_as_uint(fminf(fmaxf(x, -448.0f), 448.0f) * 0x1p-120f);
    unsigned rounded = (bits & 0x7fffffffu) + 0x7ffffu + (bits >> 20 & 1u);
    p->bits = (unsigned char)(rounded >> 20 | (bits >> 24 & 0x80u));
}

/// The fp8 in bytes `low` and `high` of a register as a pair of bfloat16, exactly.
template <unsigned low, unsigned high>
__device__ inline unsigned widened(unsigned bytes) {
    unsigned spread = __byte_perm(bytes, 0, 4u | low << 4 | 4u << 8 | high << 12);  // each in the upper byte of a half
    return multiply_pairs((spread & 0x80008000u) | (spread & 0x7f007f00u) >> 4, 0x7b807b80u);  // 2^120
}

/// 16 bytes of elements as floats.
__device__ inline void unpack(const uint4 &v, float (&x)[8]) {
    x[0] = low_float(v.x), x[1] = high_float(v.x), x[2] = low_float(v.y), x[3] = high_float(v.y);
    x[4] = low_float(v.z), x[5] = high_float(v.z), x[6] = low_float(v.w), x[7] = high_float(v.w);
}
__device__ inline void unpack(const uint4 &v, float (&x)[4]) {
    x[0] = __uint_as_float(v.x), x[1] = __uint_as_float(v.y), x[2] = __uint_as_float(v.z), x[3] = __uint_as_float(v.w);
}

// --- Reductions ----------------------------------------------------------------------------------------------

__device__ inline float warp_sum(float x) {
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}
__device__ inline float warp_maximum(float x) {
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
    return x;
}

/// The sum of all threads of a block of whole warps; `scratch` [32] is shared and free again after the next barrier.
__device__ inline float block_sum(float x, float *scratch) {
    x = warp_sum(x);
    if (lane_index() == 0) scratch[warp_index()] = x;
    __syncthreads();
    return warp_sum(lane_index() < (int)blockDim.x / WARP ? scratch[lane_index()] : 0.0f);
}

// --- Functions -----------------------------------------------------------------------------------------------

/// cap * tanh(x / cap).
__device__ inline float soft_capped(float x, float cap) { return cap * tanhf(x / cap); }

__device__ inline float silu(float x) { return x / (1.0f + expf(-x)); }

/// gelu in its tanh form.
__device__ inline float gelu(float x) {
    float inner = 0.79788456f * (x + 0.044715f * x * x * x);
    return 0.5f * x * (1.0f + tanhf(inner));
}
