// One branch per kind of event.
#include "operator/cli/run_state.h"

#include <algorithm>
#include <variant>

#include "operator/cli/plain_lines.h"

namespace muster::cli {
namespace {

// Long enough to be steady, short enough to show a loss of workers.
constexpr base::Duration kWindow = std::chrono::seconds(10);

void Rates(RunState& state) {
  while (state.samples.size() > 2 && state.now - state.samples.front().at > kWindow) {
    state.samples.erase(state.samples.begin());
  }
  if (state.samples.size() < 2) return;
  const RunState::Sample& first = state.samples.front();
  const double seconds = base::ToSeconds(state.samples.back().at - first.at);
  if (seconds <= 0) return;
  std::int64_t tokens = 0;
  for (std::size_t i = 1; i < state.samples.size(); ++i) tokens += state.samples[i].tokens;
  state.tokens_per_second = static_cast<double>(tokens) / seconds;
  state.steps_per_second = static_cast<double>(state.samples.back().step - first.step) / seconds;
}

void OnStep(const local::StepCommitted& commit, RunState& state) {
  if (state.first_step < 0) state.first_step = commit.step.value - 1;
  state.step = commit.step.value;
  state.loss = commit.loss;
  state.has_loss = true;
  state.skipped += commit.skipped ? 1 : 0;
  state.samples.push_back({state.now, commit.step.value, commit.tokens});
  Rates(state);
}

}  // namespace

RunState MakeRunState(const api::TrainingJob& job, base::Time now) {
  RunState state;
  state.name = job.name;
  state.steps = job.spec.training.steps;
  state.slots = job.spec.training.slots;
  state.started = now;
  state.now = now;
  return state;
}

void OnEvent(const local::LocalEvent& event, base::Time now, RunState& state) {
  state.now = now;
  if (const auto* commit = std::get_if<local::StepCommitted>(&event)) OnStep(*commit, state);
  if (const auto* live = std::get_if<local::Live>(&event)) {
    state.live = *live;
    state.step = std::max(state.step, live->committed.value);
    if (live->baseline_loss > 0) state.baseline = live->baseline_loss;
  }
  if (const auto* held = std::get_if<local::HeldOut>(&event)) {
    state.held_out = *held;
    if (held->baseline > 0) state.baseline = held->baseline;
  }
  if (const auto* rescaled = std::get_if<local::Rescaled>(&event)) {
    state.last_rescale = rescaled->rescale;
    ++state.rescales;
  }
  if (const auto* done = std::get_if<local::CheckpointDone>(&event)) {
    state.checkpoint = done->checkpoint;
  }
  if (const auto* back = std::get_if<local::RolledBack>(&event)) {
    state.step = back->step.value;
    state.samples.clear();
  }
  if (const std::string line = EventLine(event); !line.empty()) {
    state.recent.push_back(line);
    if (state.recent.size() > kRecentLines) state.recent.erase(state.recent.begin());
  }
}

std::optional<double> SecondsLeft(const RunState& state) {
  if (state.steps_per_second <= 0 || state.step >= state.steps) return std::nullopt;
  return static_cast<double>(state.steps - state.step) / state.steps_per_second;
}

}  // namespace muster::cli
