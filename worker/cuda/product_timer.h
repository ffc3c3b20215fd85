// How long a matrix product takes on the device, for making a table of algorithms. Thread rule: the
// context's.
#pragma once

#include <memory>

#include "worker/cuda/cublaslt.h"

namespace muster::cuda {

// By events around a few calls in a row, the shortest of several rounds.
std::unique_ptr<ProductTimer> MakeProductTimer();

}  // namespace muster::cuda
