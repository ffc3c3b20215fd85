// Checkpoints (M14): copies at the boundary, parts, the manifest. Whatever goes to shared disk in
// the job's name waits for fresh contact: a stopped process that wakes writes nothing (M2).
#include "worker/session/state.h"

namespace muster::session {

void Session::State::Copy() {
  ++copies;
  CopyForCheckpoint copy;
  copy.step = committed;
  copy.digest = digest;
  copy.rank = rank;
  copy.size = size();
  copy.final = committed.value >= steps();
  copy.epoch = view->epoch;
  out.push_back(copy);
}

void Session::State::OnRequest(const api::RequestCheckpoint& message) {
  if (InView()) request = message;
}

void Session::State::OnPartWritten(const PartWritten& event) {
  part_report = event.part;
  part_report->step = event.step;
  Tell(*part_report);
}

void Session::State::OnWriteManifest(const api::WriteManifest& message) {
  // Also as a leaver and between views: the parts are on disk, and their writer was chosen (M14,
  // M15).
  if (view) Guarded(WriteManifest{message, view->epoch});
}

void Session::State::OnManifestDone(const ManifestDone& event) {
  manifest_report = event.written;
  Tell(*manifest_report);
}

void Session::State::OnCheckpointCommitted(const api::CheckpointCommitted& message) {
  if (part_report && part_report->step <= message.checkpoint.step) part_report.reset();
  if (manifest_report && manifest_report->step <= message.checkpoint.step) manifest_report.reset();
  if (rank == 0) Guarded(PublishCheckpoint{message});
}

bool Session::State::FreshContact() const {
  return contact && welcome &&
         now - *contact < base::FromSeconds(welcome->heartbeat_timeout_seconds);
}

void Session::State::Guarded(Command command) {
  guarded.push_back(std::move(command));
  FlushGuarded();
}

void Session::State::FlushGuarded() {
  if (guarded.empty() || !FreshContact()) return;
  for (Command& command : guarded) out.push_back(std::move(command));
  guarded.clear();
}

}  // namespace muster::session
