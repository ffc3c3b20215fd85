// The kernels for AVX2. Compiled with -mavx2: only reached through the table, after asking the CPU.
#define MUSTER_WIDTH 8
#include "worker/kernels/variant.h"
#include "worker/kernels/variants.h"

namespace muster::kernels {

const Kernels kAvx2Kernels = MakeKernels<8>("avx2");

}  // namespace muster::kernels
