// A wait that a stop ends.
#pragma once

#include <stop_token>

#include "operator/base/time.h"

namespace muster::kube {

// False when `stop` was asked for, before or while it waited.
bool SleepUnlessStopped(base::Duration wait, const std::stop_token& stop);

}  // namespace muster::kube
