// dtype.inc.h: the kernels that exist once per dtype; see level.inc.h.

#if HAS_AVX512
#include "gemm.inc.h"
#else
#include "gemm_strips.inc.h"
#endif
#include "gemm_store.inc.h"
#if HAS_AVX512
#include "linear_int4.inc.h"
#elif HAS_INT16_DOT && UNIT == 2
#include "linear_int4_pairs.inc.h"
#else
#include "linear_int4_strips.inc.h"
#endif
#include "linear_int8.inc.h"
#include "rms_norm.inc.h"
#if __has_include("rope.inc.h")
#include "rope.inc.h"
#endif
#if __has_include("attention.inc.h")
#include "attention.inc.h"
#endif
