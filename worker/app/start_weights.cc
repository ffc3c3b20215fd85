#include "worker/app/start_weights.h"

#include <algorithm>
#include <utility>

#include "worker/checkpoint/pretrained.h"

namespace muster::app {
namespace {

absl::StatusOr<std::string> ReadFile(const api::ProgramSpec& program, train::Trainer& trainer,
                                     std::atomic<std::uint64_t>* progress) {
  MUSTER_ASSIGN_OR_RETURN(const std::string file, checkpoint::FindPretrained(program.weights.path));
  MUSTER_RETURN_IF_ERROR(checkpoint::CheckPretrainedConfig(file, program.config));
  const train::StateSpans state = trainer.engine().OpenState();
  MUSTER_ASSIGN_OR_RETURN(std::string identity,
                          checkpoint::ReadPretrained(file, trainer.layout(), state[0], progress));
  std::ranges::fill(state[1], 0.0f);
  std::ranges::fill(state[2], 0.0f);
  trainer.engine().CloseState();
  return identity;
}

}  // namespace

bool StartWeights::Read(train::Trainer& trainer, std::atomic<std::uint64_t>* progress,
                        OpenFailure& failure) {
  in_place_ = false;
  auto found = ReadFile(program_, trainer, progress);
  if (!found.ok()) {
    failure = {api::ExitCode::kData, "BadData",
               "spec.program.weights.path: " + base::Message(found.status())};
    return false;
  }
  if (!identity_.empty() && *found != identity_) {
    failure = {api::ExitCode::kRefused, "Refused",
               "the weights in " + program_.weights.path + " have SHA-256 " + *found +
                   "; the job started from those with " + identity_};
    return false;
  }
  identity_ = *std::move(found);
  in_place_ = true;
  return true;
}

bool StartWeights::Agree(train::Trainer& trainer, std::atomic<std::uint64_t>* progress,
                         OpenFailure& failure) {
  if (program_.weights.path.empty() || !identity_.empty()) return true;
  if (!Read(trainer, progress, failure)) return false;
  told_ = identity_;
  return true;
}

std::optional<std::uint64_t> StartWeights::MakeFresh(train::Trainer& trainer,
                                                     std::atomic<std::uint64_t>* progress,
                                                     OpenFailure& failure) {
  if (program_.weights.path.empty()) return trainer.MakeFresh();
  if (!std::exchange(in_place_, false)) {
    if (!Read(trainer, progress, failure)) return std::nullopt;
    in_place_ = false;  // the first step overwrites them
  }
  return trainer.BeginFromEngine();
}

}  // namespace muster::app
