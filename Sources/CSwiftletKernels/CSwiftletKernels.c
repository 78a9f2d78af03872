#include "CSwiftletKernels.h"
