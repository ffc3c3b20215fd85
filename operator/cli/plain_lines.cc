// Words for events: who, what, why, how long.
#include "operator/cli/plain_lines.h"

#include <csignal>
#include <variant>

#include "operator/cli/text.h"

namespace muster::cli {
namespace {

constexpr base::Duration kProgressEvery = std::chrono::seconds(5);
constexpr std::size_t kLastLines = 50;

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

// Ends that explain themselves: success, a fenced process, and what somebody else did to it.
bool EndedInOrder(const local::PodExited& exited) {
  if (exited.signal) return *exited.signal == SIGKILL || *exited.signal == SIGTERM;
  const int code = exited.exit_code.value_or(0);
  return code == 0 || code == static_cast<int>(api::ExitCode::kFenced);
}

std::string Milliseconds(double seconds) { return Fixed(seconds * 1e3, 0); }

std::string Worker(base::MemberId id) {
  return "worker-" + std::to_string(id.ordinal) + " (" + base::ToString(id) + ")";
}

std::string On(const std::string& node) { return node.empty() ? "" : " on " + node; }

std::string Because(const std::string& reason) { return reason.empty() ? "" : ": " + reason; }

std::string Text(const local::Evicted& e) {
  return "evicted " + Worker(e.member) + On(e.node) + ": " + e.reason +
         (e.message.empty() ? "" : ", " + e.message);
}

std::string Text(const local::Rescaled& e) {
  const api::Rescale& r = e.rescale;
  std::string out = "epoch " + std::to_string(r.epoch.value) + ": " + std::to_string(r.from) +
                    " -> " + std::to_string(r.to) + " members (" + r.cause + "), stalled " +
                    Milliseconds(r.stall_seconds) + " ms = " + PhasesText(r);
  if (r.slots_recomputed > 0) {
    out += ", " + std::to_string(r.slots_recomputed) + " slots computed again";
  }
  if (r.steps_lost > 0) out += ", " + std::to_string(r.steps_lost) + " steps lost";
  return out;
}

std::string Text(const local::CheckpointDone& e) {
  return "checkpoint of step " + std::to_string(e.checkpoint.step.value) + " committed (" +
         e.checkpoint.digest.substr(0, 12) + ")";
}

std::string Text(const local::CheckpointAbandoned& e) {
  return "checkpoint of step " + std::to_string(e.step.value) + " abandoned" + Because(e.reason) +
         (e.no_space ? " (training goes on; make room in the state directory)" : "");
}

std::string Text(const local::HeldOut& e) {
  std::string out =
      "step " + std::to_string(e.step.value) + ": held-out loss " + Fixed(e.loss, 4) + " nats";
  if (e.baseline > 0) out += " (trigram " + Fixed(e.baseline, 4) + ")";
  return out;
}

std::string Text(const local::RolledBack& e) {
  return "went back to step " + std::to_string(e.step.value) + Because(e.reason);
}

std::string Text(const local::PodStarted& e) {
  return "started " + Worker(e.member) + On(e.node) + ", pid " + std::to_string(e.pid) +
         Because(e.reason);
}

std::string Text(const local::PodExited& e) {
  std::string out = Worker(e.member) + On(e.node) + ", pid " + std::to_string(e.pid) + ", ";
  if (e.signal) return out + "was killed by signal " + std::to_string(*e.signal);
  return out + "exited with status " + std::to_string(e.exit_code.value_or(0));
}

std::string Text(const local::FaultFired& e) {
  return "fault " + e.fault + (e.detail.empty() ? "" : ": " + e.detail);
}

std::string Text(const local::CoordinatorRestarted& e) {
  return "coordinator started again, pid " + std::to_string(e.pid) + Because(e.cause);
}

}  // namespace

std::string_view PhaseText(api::MemberPhase phase) {
  switch (phase) {
    case api::MemberPhase::kJoining:
      return "joining";
    case api::MemberPhase::kLoading:
      return "loading data";
    case api::MemberPhase::kWarm:
      return "warm";
    case api::MemberPhase::kInstalling:
      return "installing view";
    case api::MemberPhase::kForward:
      return "computing";
    case api::MemberPhase::kReducing:
      return "reducing";
    case api::MemberPhase::kApplying:
      return "applying";
    case api::MemberPhase::kEvaluating:
      return "evaluating";
    case api::MemberPhase::kReady:
      return "ready";
    case api::MemberPhase::kWaiting:
      return "waiting";
    case api::MemberPhase::kLeaving:
      return "leaving";
  }
  return "";
}

std::string EventLine(const local::LocalEvent& event) {
  return std::visit(
      Overloaded{
          [](const local::StepCommitted& e) {
            return e.skipped ? "step " + std::to_string(e.step.value) +
                                   " skipped: a gradient was not finite or too large"
                             : std::string();
          },
          [](const local::Live&) { return std::string(); },
          [](const local::StatusChanged&) { return std::string(); },
          [](const local::Note& e) { return e.from.empty() ? e.text : e.from + ": " + e.text; },
          [](const auto& e) { return Text(e); },
      },
      event);
}

std::vector<std::string> LastWords(const local::LocalEvent& event) {
  const auto* exited = std::get_if<local::PodExited>(&event);
  if (exited == nullptr || EndedInOrder(*exited)) return {};
  const std::size_t size = exited->last_lines.size();
  std::vector<std::string> lines;
  for (std::size_t i = size > kLastLines ? size - kLastLines : 0; i < size; ++i) {
    lines.push_back("    | " + exited->last_lines[i]);
  }
  return lines;
}

std::string PhasesText(const api::Rescale& r) {
  return "detect " + Milliseconds(r.detect_seconds) + " + agree " + Milliseconds(r.agree_seconds) +
         " + rebuild " + Milliseconds(r.rebuild_seconds) + " + synchronise " +
         Milliseconds(r.synchronise_seconds) + " + recompute " + Milliseconds(r.recompute_seconds) +
         " ms";
}

std::string ProgressLine(const RunState& state) {
  std::string out = "step " + std::to_string(state.step) + "/" + std::to_string(state.steps);
  if (state.has_loss) out += "  loss " + Fixed(state.loss, 4);
  if (state.tokens_per_second > 0) out += "  " + Short(state.tokens_per_second) + " tokens/s";
  if (state.live.size > 0) {
    out += "  " + std::to_string(state.live.size) + (state.live.size == 1 ? " member" : " members");
  }
  if (const std::optional<double> left = SecondsLeft(state)) out += "  " + Span(*left) + " left";
  return out;
}

std::string Stamp(const RunState& state) {
  return "[" + PadLeft(Fixed(base::ToSeconds(state.now - state.started), 1), 7) + " s] ";
}

bool ProgressTimer::Due(const RunState& state) {
  if (!state.has_loss || (last_ && state.now - *last_ < kProgressEvery)) return false;
  last_ = state.now;
  return true;
}

}  // namespace muster::cli
