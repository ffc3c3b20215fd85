// The kernels for any CPU, element by element: the twin that tests compare the others with.
#define MUSTER_WIDTH 1
#include "worker/kernels/variant.h"
#include "worker/kernels/variants.h"

namespace muster::kernels {

const Kernels kScalarKernels = MakeKernels<1>("scalar");

}  // namespace muster::kernels
