// level_avx2vnni.c: the kernels compiled for AVX2 and FMA with dot products of int8. See level.inc.h.

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

#define LEVEL_AVX2
#define LEVEL_HAS_INT8_DOT
#define LEVEL_TABLE swiftlet_kernels_avx2vnni
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,prfchw,avxvnni"))), apply_to = function)
#include "level.inc.h"
#pragma clang attribute pop

#endif
