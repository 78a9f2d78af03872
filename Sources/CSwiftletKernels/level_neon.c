// level_neon.c: the kernels compiled for NEON (Armv8). See level.inc.h.

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

#define LEVEL_NEON
#define LEVEL_TABLE swiftlet_kernels_neon
#include "level.inc.h"

#endif
