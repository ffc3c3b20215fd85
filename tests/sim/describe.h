// One line for each event and command of a coordinator, for traces.
#pragma once

#include <cstdint>
#include <string>

#include "operator/membership/machine.h"

namespace muster::sim {

std::string Describe(const membership::Event& event);
std::string Describe(const membership::Command& command);
// Ticks and beats: only worth a line when something came of them.
bool IsDull(const membership::Event& event);
std::string Hex(std::uint64_t value);

}  // namespace muster::sim
