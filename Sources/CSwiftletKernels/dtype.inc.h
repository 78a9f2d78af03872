// dtype.inc.h: the kernels that exist once per dtype; see level.inc.h.

#include "gemm.inc.h"
#include "rms_norm.inc.h"
#if __has_include("rope.inc.h")
#include "rope.inc.h"
#endif
#if __has_include("attention.inc.h")
#include "attention.inc.h"
#endif
