// MakeProgram: the built-in programs by name, and what their configurations may be.
#include <cmath>
#include <limits>

#include "worker/model/bench.h"
#include "worker/model/gpt.h"

namespace muster::model {
namespace {

absl::Status Refuse(const std::string& field, const std::string& value,
                    const std::string& allowed) {
  return base::InvalidArgument("program.config." + field + " is " + value + ": allowed is " +
                               allowed);
}

absl::Status AtLeast(const std::string& field, std::int64_t value, std::int64_t least) {
  if (value >= least) return absl::OkStatus();
  return Refuse(field, std::to_string(value), std::to_string(least) + " or more");
}

absl::Status CheckGpt(const api::ProgramConfig& c) {
  MUSTER_RETURN_IF_ERROR(AtLeast("layers", c.layers, 1));
  MUSTER_RETURN_IF_ERROR(AtLeast("heads", c.heads, 1));
  MUSTER_RETURN_IF_ERROR(AtLeast("width", c.width, 1));
  MUSTER_RETURN_IF_ERROR(AtLeast("context", c.context, 1));
  MUSTER_RETURN_IF_ERROR(AtLeast("batch", c.batch, 1));
  MUSTER_RETURN_IF_ERROR(AtLeast("vocabulary", c.vocabulary, 2));
  if (c.width % c.heads != 0) {
    return Refuse("width", std::to_string(c.width),
                  "a multiple of heads, which is " + std::to_string(c.heads));
  }
  if (!(c.dropout >= 0 && c.dropout < 1)) {
    return Refuse("dropout", std::to_string(c.dropout), "0 or more and less than 1");
  }
  // BLAS counts rows and columns in 32 bits.
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max() / 4;
  if (std::int64_t{c.batch} * c.context > kMost || c.width > kMost || c.vocabulary > kMost) {
    return base::InvalidArgument(
        "program.config: batch x context, width and vocabulary may each be at most " +
        std::to_string(kMost));
  }
  return absl::OkStatus();
}

absl::Status CheckBench(const api::ProgramConfig& c) {
  MUSTER_RETURN_IF_ERROR(AtLeast("stateBytes", c.state_bytes, 12));
  MUSTER_RETURN_IF_ERROR(AtLeast("batch", c.batch, 1));
  if (!(c.slot_milliseconds >= 0 && std::isfinite(c.slot_milliseconds))) {
    return Refuse("slotMilliseconds", std::to_string(c.slot_milliseconds), "0 or more");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Program>> MakeProgram(const api::ProgramSpec& spec, int threads) {
  if (spec.builtin == api::Builtin::kBench) {
    MUSTER_RETURN_IF_ERROR(CheckBench(spec.config));
    return std::make_unique<Bench>(spec.config);
  }
  MUSTER_RETURN_IF_ERROR(CheckGpt(spec.config));
  return std::make_unique<Gpt>(spec.config, threads);
}

}  // namespace muster::model
