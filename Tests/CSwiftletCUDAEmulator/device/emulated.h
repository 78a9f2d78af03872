// emulated.h: what CUDA C++ has built in, for kernels that the emulated driver compiles as plain C++. Each CUDA thread is
// a fiber; whatever threads do together goes through `swiftlet_calls`, which the driver sets.
//
// Invariant: only one fiber of a module runs at a time; it changes in a collective call alone.
#pragma once

typedef __SIZE_TYPE__ size_t;

struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
#include "emulated_calls.h"

extern "C" {
swiftlet_emulated_thread *swiftlet_current;
const swiftlet_emulated_calls *swiftlet_calls;
extern char __start_swiftlet_shared[] __attribute__((weak));
extern char __stop_swiftlet_shared[] __attribute__((weak));
char *swiftlet_shared_begin() { return __start_swiftlet_shared; }
char *swiftlet_shared_end() { return __stop_swiftlet_shared; }
}

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("swiftlet_shared")))
#define threadIdx (swiftlet_current->thread)
#define blockIdx (swiftlet_current->block)
#define blockDim (swiftlet_current->block_size)
#define gridDim (swiftlet_current->grid_size)

// --- What threads do together --------------------------------------------------------------------------------

inline int emulated_lane() { return (int)threadIdx.x % 32; }
inline void __syncthreads(int line = __builtin_LINE()) { swiftlet_calls->barrier(line); }
inline void __syncwarp(int line = __builtin_LINE()) { swiftlet_calls->exchange(line, nullptr, 0, nullptr); }

template <typename Value>
inline Value emulated_shuffle(Value value, int source, int line) {
    static_assert(sizeof(Value) <= 8);
    const char *slots = (const char *)swiftlet_calls->exchange(line, &value, sizeof(Value), nullptr);
    return source < 0 || source > 31 ? value : *(const Value *)(slots + 64 * source);
}
inline void emulated_mask(unsigned mask) {
    if (mask != ~0u) swiftlet_calls->fail(719, "a collective of some lanes only is not emulated");
}
template <typename Value>
inline Value __shfl_xor_sync(unsigned mask, Value value, int lanes, int line = __builtin_LINE()) {
    emulated_mask(mask);
    return emulated_shuffle(value, emulated_lane() ^ lanes, line);
}
template <typename Value>
inline Value __shfl_up_sync(unsigned mask, Value value, int lanes, int line = __builtin_LINE()) {
    emulated_mask(mask);
    return emulated_shuffle(value, emulated_lane() - lanes, line);
}
template <typename Value>
inline Value __shfl_sync(unsigned mask, Value value, int lane, int line = __builtin_LINE()) {
    emulated_mask(mask);
    return emulated_shuffle(value, lane % 32, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    emulated_mask(mask);
    int value = predicate != 0;
    const char *slots = (const char *)swiftlet_calls->exchange(line, &value, sizeof(value), nullptr);
    unsigned ballot = 0;
    for (int lane = 0; lane < 32; lane++) ballot |= (unsigned)*(const int *)(slots + 64 * lane) << lane;
    return ballot;
}
inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return __ballot_sync(mask, predicate, line) != 0;
}

template <typename Value, typename Other>
inline Value atomicAdd(Value *address, Other value) {
    Value old = *address;
    *address += (Value)value;
    return old;
}

// --- Arithmetic ------------------------------------------------------------------------------------------------

inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    unsigned long long bytes = (unsigned long long)y << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) result |= (unsigned)(bytes >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
    return result;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned long long __float2ull_rn(float x) { return (unsigned long long)__builtin_rintf(x); }
inline float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float fmaxf(float a, float b) { return __builtin_fmaxf(a, b); }
inline float fminf(float a, float b) { return __builtin_fminf(a, b); }
inline float expf(float x) { return __builtin_expf(x); }
inline float tanhf(float x) { return __builtin_tanhf(x); }
inline float rsqrtf(float x) { return 1.0f / __builtin_sqrtf(x); }
inline double ceil(double x) { return __builtin_ceil(x); }

// --- Calls of kernels ------------------------------------------------------------------------------------------

template <int... index> struct emulated_indices {};
template <typename, int... index> using emulated_sequence = emulated_indices<index...>;
template <typename Type, Type... index> struct emulated_integers { typedef emulated_indices<index...> type; };

template <typename... Arguments, int... index>
inline void emulated_apply(void (*kernel)(Arguments...), void **arguments, emulated_indices<index...>) {
    kernel(*(Arguments *)arguments[index]...);
}
template <typename... Arguments>
inline void emulated_call(void (*kernel)(Arguments...), void **arguments) {
    emulated_apply(kernel, arguments, typename __make_integer_seq<emulated_integers, int, sizeof...(Arguments)>::type());
}
/// Bytes of each argument, then 0.
template <typename... Arguments>
inline const int *emulated_sizes(void (*)(Arguments...)) {
    static const int sizes[] = {(int)sizeof(Arguments)..., 0};
    return sizes;
}
