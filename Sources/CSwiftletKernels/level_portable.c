// level_portable.c: the kernels compiled for the build's own baseline (SSE2, NEON). See level.inc.h.

#define LEVEL_PORTABLE
#define LEVEL_TABLE swiftlet_kernels_portable
#include "level.inc.h"
