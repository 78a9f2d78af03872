// ptx.cuh: every instruction that CUDA C++ has no word for, each in a function of its own. All of the engine's inline
// PTX is here; the emulated driver of the tests has its own file of this name.
//
// Invariant: functions of a warp ("all lanes") are called by its 32 lanes together.
#pragma once

#include "shapes.cuh"

/// x rounded to the nearest bfloat16, ties to even.
__device__ inline unsigned short bf16_bits(float x) {
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

/// Two rounded numbers in one register, the first in its lower half.
__device__ inline unsigned bf16_pair(float low, float high) {
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/// The products of two pairs of bfloat16.
__device__ inline unsigned multiply_pairs(unsigned a, unsigned b) {
    unsigned products, nothing = 0x80008000u;  // -0
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(products) : "r"(a), "r"(b), "r"(nothing));
    return products;
}

/// The sums of two pairs of bfloat16.
__device__ inline unsigned add_pairs(unsigned a, unsigned b) {
    unsigned sums, one = 0x3f803f80u;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sums) : "r"(a), "r"(one), "r"(b));
    return sums;
}

/// 2^x to about 2 ulp; 0 for -infinity.
__device__ inline float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/// Sixteen bytes that are read once: weights. They don't stay in the first-level cache.
__device__ inline uint4 load_once(const void *address) {
    uint4 v;
    asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "l"(address));
    return v;
}

__device__ inline unsigned shared_address(const void *shared) { return (unsigned)__cvta_generic_to_shared(shared); }

/// c [16, 8] += a [16, 16] b [16, 8] of all lanes. Lane l holds, with g = l / 4 and t = 2 (l % 4):
/// a: rows g, g + 8, g, g + 8 at columns t, t, t + 8, t + 8 (two neighbours each); b: rows t and t + 8 (two neighbours
/// each) at column g; c: row g at columns t and t + 1, row g + 8 at the same. (volatile: it must not move to where only the
/// lanes that use its result are.)
__device__ inline void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Four 8 x 8 matrices of 16-bit elements of all lanes: lane l gives the address of row l % 8 of matrix l / 8, in shared
/// memory, and gets of each matrix row l / 4, columns 2 (l % 4) and the next one.
__device__ inline void load_matrices(unsigned (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/// The same of the transposed matrices.
__device__ inline void load_matrices_transposed(unsigned (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/// Starts to copy 16 bytes to shared memory, or to fill them with zeros when not `valid`; then nothing is read.
__device__ inline void copy_async(void *shared, const void *global, bool valid) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(shared)), "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
}

/// Makes one group of all copies that this thread started since the last one.
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" : : : "memory"); }

/// Waits until at most `newer` of this thread's newest groups are under way.
template <int newer>
__device__ inline void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" : : "n"(newer) : "memory");
}
