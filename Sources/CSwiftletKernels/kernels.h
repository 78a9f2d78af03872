// kernels.h: what one instruction-set level provides, and what the level-independent files share.
// Owner: dispatch.c fills a swiftlet_cpu with the table of its level; cpu.c / pool.c run the work.

#pragma once

#include "include/CSwiftletKernels.h"

// Each entry works on a range of items so that the pool can hand ranges out; see the *.inc.h that defines it.
// [2] entries are indexed by swiftlet_dtype.
typedef struct swiftlet_kernel_table swiftlet_kernel_table;
