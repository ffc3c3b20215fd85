// The engine of this machine's processors. Memory a parameter: Exact64 12 state + 4 gradient + 8
// sum + 8 reduced = 32 bytes; Exact32 and Float 24.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "worker/train/engine.h"

namespace muster::train {

// Bytes that an engine of this program takes; the memory count before joining.
std::int64_t HostBytesNeeded(const api::TrainingJobSpec& spec, const model::Program& program);

// Of `spec` the reduction and the slots are read. kernel_family: as the welcome names it (E3).
std::unique_ptr<Engine> MakeHostEngine(const api::TrainingJobSpec& spec,
                                       std::unique_ptr<model::Program> program,
                                       const std::string& kernel_family);

}  // namespace muster::train
