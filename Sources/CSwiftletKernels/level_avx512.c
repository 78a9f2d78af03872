// level_avx512.c: the kernels compiled for AVX-512 F, BW, VL and DQ. See level.inc.h.

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

#define LEVEL_AVX512
#define LEVEL_TABLE swiftlet_kernels_avx512
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,prfchw,avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#include "level.inc.h"
#pragma clang attribute pop

#endif
