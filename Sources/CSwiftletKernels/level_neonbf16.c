// level_neonbf16.c: the kernels compiled for NEON with dot products of int8 and bfloat16 (Armv8.6 and some before).
// See level.inc.h.

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

#define LEVEL_NEONBF16
#define LEVEL_HAS_INT8_DOT
#define LEVEL_TABLE swiftlet_kernels_neonbf16
#pragma clang attribute push(__attribute__((target("dotprod,bf16"))), apply_to = function)
#include "level.inc.h"
#pragma clang attribute pop

#endif
