// The kernels for AVX2 machines: lanes.h, compiled with its instructions.

#include "worker/exact/lanes.h"

namespace muster::exact {

const Kernels kAvx2Kernels = MakeTable("avx2");

}  // namespace muster::exact
