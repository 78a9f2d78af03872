// level_avx512bf16.c: the kernels compiled for AVX-512 with dot products of int8 and bfloat16. See level.inc.h.

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

#define LEVEL_AVX512BF16
#define LEVEL_HAS_INT8_DOT
#define LEVEL_TABLE swiftlet_kernels_avx512bf16
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,prfchw,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16"))), \
    apply_to = function)
#include "level.inc.h"
#pragma clang attribute pop

#endif
