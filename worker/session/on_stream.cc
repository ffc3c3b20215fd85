// A stream is open: say who we are, then everything that the coordinator has not acknowledged. And
// the coordinator's words, each to its file; a lower term is not heard (M1).
#include <algorithm>
#include <type_traits>

#include "worker/session/state.h"

namespace muster::session {

void Session::State::OnStreamUp() {
  stream_up = true;
  Tell(MakeHello());
  const bool in_waiting_room = loaded && installed_epoch == base::Epoch();
  if (in_waiting_room) Tell(loaded->warm);
  reports_told = 0;
  TellReports();
  if (installed_report) Tell(*installed_report);
  if (ready_report) Tell(*ready_report);
  if (evaluated_report) Tell(*evaluated_report);
  if (part_report) Tell(*part_report);
  if (manifest_report) Tell(*manifest_report);
  if (suspect_report) Tell(*suspect_report);
  if (cannot_report) Tell(*cannot_report);
  if (grace_ends) Tell(api::Leave{std::max(0.0, base::ToSeconds(*grace_ends - now))});
}

void Session::State::TellReports() {
  while (stream_up && reports_told < std::min(reports.size(), config.reports_at_once)) {
    Tell(reports[reports_told++]);
  }
}

void Session::State::OnReceived(const api::FromCoordinator& message) {
  if (message.envelope.term < term) return;
  term = message.envelope.term;
  std::visit(
      [this](const auto& m) {
        using M = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<M, api::Welcome>)
          OnWelcome(m);
        else if constexpr (std::is_same_v<M, api::Fenced>)
          End(api::ExitCode::kFenced, m.reason);
        else if constexpr (std::is_same_v<M, api::Refused>)
          End(api::ExitCode::kRefused, m.reason);
        else if constexpr (std::is_same_v<M, api::Interrupt>)
          OnInterrupt(m);
        else if constexpr (std::is_same_v<M, api::InstallView>)
          OnView(m.view);
        else if constexpr (std::is_same_v<M, api::BeatAck>)
          OnBeatAck(m);
        else if constexpr (std::is_same_v<M, api::CommitAck>)
          OnCommitAck(m);
        else if constexpr (std::is_same_v<M, api::RequestCheckpoint>)
          OnRequest(m);
        else if constexpr (std::is_same_v<M, api::WriteManifest>)
          OnWriteManifest(m);
        else if constexpr (std::is_same_v<M, api::CheckpointCommitted>)
          OnCheckpointCommitted(m);
        else if constexpr (std::is_same_v<M, api::Release>) {
          OnRelease();
        } else if constexpr (std::is_same_v<M, api::Certificate>) {
          // The stream's own end keeps it (worker/rpc/client.h); training has no use for it.
        } else {
          static_assert(std::is_same_v<M, api::Finish>);
          OnFinish(m);
        }
      },
      message.message);
}

void Session::State::OnFinish(const api::Finish& message) {
  if (message.succeeded) {
    // Nobody else will write, and there is no later contact to wait for.
    if (rank == 0) out.push_back(WriteStepLine{committed});
    End(api::ExitCode::kSucceeded, message.message);
  } else {
    End(api::ExitCode::kJobFailed, message.reason + ": " + message.message);
  }
}

// All members have it: the report is no longer needed, and rank 0 may write the step's line.
void Session::State::OnCommitAck(const api::CommitAck& message) {
  while (!reports.empty() && reports.front().step <= message.step) {
    reports.pop_front();
    if (reports_told > 0) --reports_told;
  }
  TellReports();
  if (installed_report && installed_report->resume_step <= message.step) installed_report.reset();
  if (evaluated_report && evaluated_report->step < message.step) evaluated_report.reset();
  if (rank == 0) Guarded(WriteStepLine{message.step});
}

void Session::State::OnRelease() {
  if (start_again) return End(api::ExitCode::kStartsAgain, "starts again: " + *start_again);
  End(api::ExitCode::kSucceeded, "released by the coordinator");
}

void Session::State::OnBroken(const Broken& event) {
  Fail(event.code, event.reason, event.message);
}

}  // namespace muster::session
