// level_avx512vnni.c: the kernels compiled for AVX-512 F, BW, VL and DQ with dot products of int8. See level.inc.h.

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

#define LEVEL_AVX512
#define LEVEL_HAS_INT8_DOT
#define LEVEL_TABLE swiftlet_kernels_avx512vnni
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,prfchw,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#include "level.inc.h"
#pragma clang attribute pop

#endif
