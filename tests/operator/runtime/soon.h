// How long a test waits for what another thread does before it calls it lost.
#pragma once

#include <chrono>

#include "operator/runtime/clock.h"

namespace muster::runtime {

inline base::Time Soon() { return RealClock().Now() + std::chrono::seconds(30); }

}  // namespace muster::runtime
