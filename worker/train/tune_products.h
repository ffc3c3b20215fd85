// Makes the table of matrix products for a GPT of some size on the GPU at hand (E3: a job's members
// read a table, none of them times anything).
//
// Thread rule: the context's. Takes minutes at most; the GPU should do nothing else.
#pragma once

#include <string>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "worker/device/context.h"
#include "worker/model/program.h"

namespace muster::train {

// One slot with random tokens and the weights of step 0; each product is timed when it comes. `host` is
// the program of `config`. The text of worker/cuda/product_table.h, or Unavailable with the module's
// sentence.
absl::StatusOr<std::string> TuneProducts(device::Context& context, const api::ProgramConfig& config,
                                         const model::Program& host);

}  // namespace muster::train
