// level_avx2.c: the kernels compiled for AVX2 and FMA. See level.inc.h.

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

#define LEVEL_AVX2
#define LEVEL_TABLE swiftlet_kernels_avx2
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,prfchw"))), apply_to = function)
#include "level.inc.h"
#pragma clang attribute pop

#endif
