// The kernels for AVX-512 machines: lanes.h, compiled with its instructions.

#include "worker/exact/lanes.h"

namespace muster::exact {

const Kernels kAvx512Kernels = MakeTable("avx512");

}  // namespace muster::exact
