// The tables that the variant_*.cc files define. Internal to this folder.
#pragma once

#include "worker/kernels/table.h"

namespace muster::kernels {

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;    // x86-64 only
extern const Kernels kAvx512Kernels;  // x86-64 only

}  // namespace muster::kernels
