// One value of every message with no field at its default, so that a field forgotten in the
// conversion shows.
#pragma once

#include <vector>

#include "operator/api/messages.h"

namespace muster::wire {

std::vector<api::FromMember> FilledMemberMessages();
std::vector<api::FromCoordinator> FilledCoordinatorMessages();

}  // namespace muster::wire
