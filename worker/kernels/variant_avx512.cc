// The kernels for AVX-512. Compiled with -mavx512{f,bw,dq,vl}: only reached through the table,
// after asking the CPU.
#define MUSTER_WIDTH 16
#include "worker/kernels/variant.h"
#include "worker/kernels/variants.h"

namespace muster::kernels {

const Kernels kAvx512Kernels = MakeKernels<16>("avx512");

}  // namespace muster::kernels
