// A trainer's vector as a communicator takes it. Pure.
#pragma once

#include "worker/comm/communicator.h"
#include "worker/train/engine.h"

namespace muster::app {

comm::Reduction ToReduction(const train::ReduceVector& vector);

}  // namespace muster::app
