// check-headers.h: what Tools/cuda/check-headers compiles before its assertions: NVIDIA's headers, and what it means that a
// function has the type that the sources give it.
//
// Invariant: of the headers' own includes only those are needed that come in the same wheels; the runtime, complex numbers
// and halves do not matter to any function here.
#pragma once

#define __DRIVER_TYPES_H__
#define __CUDA_RUNTIME_H__
#define __CUDA_FP16_H__
#define __CUDA_BF16_H__
#define __CUDA_FP8_H__
#define CU_COMPLEX_H_
struct __half;
struct __nv_bfloat16;
typedef struct CUstream_st *cudaStream_t;
typedef struct {
    float x, y;
} cuComplex;
typedef struct {
    double x, y;
} cuDoubleComplex;
#include <cstddef>
#include <type_traits>

#include <cublasLt.h>
#include <cuda.h>
#include <nccl.h>
#include <nvrtc.h>

#include "CSwiftletCUDAChecks.h"

/// What CSwiftletCUDA.c passes by value.
struct unique_id {
    char bytes[sizeof(ncclUniqueId)];
};

/// Whether an argument is of the same kind: a pointer (and, if both sides say so, to the same kind), an integer or a float of
/// the same size, a structure of the same size. `strict`: 64 bits are told apart: a size is no address of the device.
template <bool strict, typename Ours, typename Theirs>
constexpr bool fits() {
    using A = std::remove_cv_t<Ours>;
    using B = std::remove_cv_t<Theirs>;
    using X = std::remove_cv_t<std::remove_pointer_t<A>>;
    using Y = std::remove_cv_t<std::remove_pointer_t<B>>;
    if constexpr (std::is_pointer_v<A> && std::is_pointer_v<B>) {
        if constexpr (std::is_void_v<X> || std::is_void_v<Y> || std::is_class_v<X> || std::is_class_v<Y>) return true;
        else return fits<strict, X, Y>();
    } else if constexpr (std::is_pointer_v<B>) {
        return std::is_void_v<Y> && std::is_integral_v<A> && sizeof(A) == 8;  // an address of the device
    } else if constexpr (std::is_pointer_v<A>) {
        return false;
    } else if constexpr (std::is_void_v<A> || std::is_void_v<B>) {
        return std::is_same_v<A, B>;
    } else if constexpr (std::is_class_v<A> || std::is_class_v<B>) {
        return std::is_class_v<A> && std::is_class_v<B> && sizeof(A) == sizeof(B) && alignof(A) == alignof(B);
    } else {
        return sizeof(A) == sizeof(B) && std::is_floating_point_v<A> == std::is_floating_point_v<B> &&
               !(strict && std::is_same_v<A, size_t> && std::is_same_v<B, unsigned long long>);
    }
}

/// 0; or which argument differs; 98: how many there are does; 99: the result does.
template <bool strict, typename R, typename... A, typename S, typename... B>
constexpr int differs(R (*)(A...), S (*)(B...)) {
    if constexpr (sizeof...(A) != sizeof...(B)) {
        return 98;
    } else {
        int number = 0, first = 0;
        ((++number, first == 0 && !fits<strict, A, B>() ? first = number : 0), ...);
        return first != 0 ? first : fits<strict, R, S>() ? 0 : 99;
    }
}
