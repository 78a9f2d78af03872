#include "CSwiftletDemoModel.h"
