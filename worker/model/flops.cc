#include "worker/model/flops.h"

#include "worker/model/gpt_layout.h"

namespace muster::model {

ModelFlops FlopsPerToken(const api::ProgramSpec& program) {
  if (program.builtin != api::Builtin::kGpt) return {};
  const api::ProgramConfig& config = program.config;
  const double parameters = 6.0 * static_cast<double>(MakeGptLayout(config).parameters);
  const double attention = 6.0 * config.layers * config.width * static_cast<double>(config.context);
  return {parameters + attention, parameters + 2 * attention};
}

}  // namespace muster::model
