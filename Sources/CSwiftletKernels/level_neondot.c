// level_neondot.c: the kernels compiled for NEON with dot products of int8 (most since Armv8.2). See level.inc.h.

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

#define LEVEL_NEON
#define LEVEL_HAS_INT8_DOT
#define LEVEL_TABLE swiftlet_kernels_neondot
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#include "level.inc.h"
#pragma clang attribute pop

#endif
