// One part per function; a run that failed says why in its condition's words.
#include "operator/cli/summary.h"

#include <algorithm>

#include "operator/api/conditions.h"
#include "operator/cli/text.h"

namespace muster::cli {
namespace {

std::string Milliseconds(double seconds, std::size_t width) {
  return PadLeft(Fixed(seconds * 1e3, 0), width);
}

void AddResult(const local::Outcome& outcome, const RunState& state,
               std::vector<std::string>& lines) {
  const api::TrainingJobStatus& status = outcome.status;
  lines.push_back("steps          " + std::to_string(status.progress.step) + " of " +
                  std::to_string(std::max(status.progress.steps, state.steps)));
  if (!status.result) return;
  lines.push_back("digest         " + status.result->digest);
  if (!status.result->weights_digest.empty()) {
    lines.push_back("weightsDigest  " + status.result->weights_digest);
  }
  if (!status.result->loss.empty()) lines.push_back("loss           " + status.result->loss);
  if (!status.result->held_out_loss.empty()) {
    lines.push_back(
        "held-out loss  " + status.result->held_out_loss +
        (state.baseline > 0 ? "  (interpolated trigram: " + Fixed(state.baseline, 4) + ")" : ""));
  }
}

}  // namespace

std::vector<std::string> RescaleLines(const api::TrainingJobStatus& status) {
  std::vector<std::string> lines;
  if (status.rescales.empty()) return lines;
  std::string head = "changes of membership (" + std::to_string(status.rescale_count);
  if (status.rescale_count > static_cast<std::int64_t>(status.rescales.size())) {
    head += ", the last " + std::to_string(status.rescales.size()) + " shown";
  }
  // No wider than 80 columns, or a terminal would wrap it.
  lines.push_back(head + "), in milliseconds");
  lines.push_back("(sync: synchronise, redo: recompute, again: slots computed again):");
  lines.push_back("epoch  members detect agree rebuild  sync  redo stall again  cause");
  for (const api::Rescale& r : status.rescales) {
    lines.push_back(PadLeft(std::to_string(r.epoch.value), 5) + "  " +
                    PadRight(std::to_string(r.from) + "->" + std::to_string(r.to), 7) +
                    Milliseconds(r.detect_seconds, 7) + Milliseconds(r.agree_seconds, 6) +
                    Milliseconds(r.rebuild_seconds, 8) + Milliseconds(r.synchronise_seconds, 6) +
                    Milliseconds(r.recompute_seconds, 6) + Milliseconds(r.stall_seconds, 6) +
                    PadLeft(std::to_string(r.slots_recomputed), 6) + "  " + r.cause);
  }
  return lines;
}

namespace {

// The sentence; the last lines of a worker's log, which may follow in the message, stand apart.
void AddFailure(const api::Condition* failed, std::vector<std::string>& lines) {
  if (failed == nullptr) {
    lines.push_back("failed");
    return;
  }
  const std::string text = "failed: " + failed->reason + ": " + failed->message;
  for (std::size_t at = 0; at != std::string::npos;) {
    const std::size_t end = text.find('\n', at);
    lines.push_back((at == 0 ? "" : "    | ") + text.substr(at, end - at));
    at = end == std::string::npos ? end : end + 1;
  }
}

void AddEnding(const local::Outcome& outcome, const std::string& resume_command,
               std::vector<std::string>& lines) {
  const api::TrainingJobStatus& status = outcome.status;
  const std::string from =
      status.checkpoint ? "step " + std::to_string(status.checkpoint->step.value) : "the beginning";
  switch (outcome.ending) {
    case local::Ending::kSucceeded:
      lines.push_back("succeeded");
      return;
    case local::Ending::kFailed:
      AddFailure(api::FindCondition(status.conditions, "Failed"), lines);
      return;
    case local::Ending::kDrained:
      lines.push_back("stopped; the state of " + from + " is committed. Go on with:");
      lines.push_back("  " + resume_command);
      return;
    case local::Ending::kEnded:
      lines.push_back("ended at once; the same command goes on from " + from + ":");
      lines.push_back("  " + resume_command);
      return;
  }
}

}  // namespace

std::vector<std::string> SummaryLines(const local::Outcome& outcome, const RunState& state,
                                      const std::string& resume_command, bool quiet) {
  std::vector<std::string> lines;
  AddEnding(outcome, resume_command, lines);
  AddResult(outcome, state, lines);
  if (!quiet)
    for (std::string& line : RescaleLines(outcome.status)) lines.push_back(std::move(line));
  lines.push_back("wall time      " + Span(base::ToSeconds(state.now - state.started)));
  for (const std::string& fault : outcome.unfired_faults) {
    lines.push_back("a fault never fired: " + fault +
                    "; the run ended before it was due or its target was never there");
  }
  return lines;
}

int ExitStatus(const local::Outcome& outcome) {
  switch (outcome.ending) {
    case local::Ending::kFailed:
      return kExitFailed;
    case local::Ending::kDrained:
    case local::Ending::kEnded:
      return kExitInterrupted;
    case local::Ending::kSucceeded:
      break;
  }
  return outcome.unfired_faults.empty() ? kExitSucceeded : kExitUsage;
}

}  // namespace muster::cli
