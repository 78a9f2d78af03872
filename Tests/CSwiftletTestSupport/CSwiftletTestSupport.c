#include "CSwiftletTestSupport.h"
