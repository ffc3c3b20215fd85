#include "operator/wire/fields.h"

namespace muster::wire {

void Write(const api::Welcome& from, v1::Welcome* to) {
  to->set_job_uid(from.job_uid);
  to->set_job_name(from.job_name);
  to->set_spec_json(from.spec_json);
  to->set_kernel_family(from.kernel_family);
  to->set_build_id(from.build_id);
  to->set_data_digest(from.data_digest);
  to->set_start_weights_digest(from.start_weights_digest);
  to->set_checkpoint_path(from.checkpoint_path);
  to->set_audit(from.audit);
  to->set_heartbeat_seconds(from.heartbeat_seconds);
  to->set_heartbeat_timeout_seconds(from.heartbeat_timeout_seconds);
}

absl::Status Read(const v1::Welcome& from, api::Welcome* to) {
  Check check("Welcome");
  to->job_uid = from.job_uid();
  to->job_name = from.job_name();
  to->spec_json = from.spec_json();
  to->kernel_family = from.kernel_family();
  to->build_id = from.build_id();
  to->data_digest = from.data_digest();
  to->start_weights_digest = from.start_weights_digest();
  to->checkpoint_path = from.checkpoint_path();
  to->audit = from.audit();
  check.Positive("heartbeat_seconds", from.heartbeat_seconds());
  to->heartbeat_seconds = from.heartbeat_seconds();
  check.Positive("heartbeat_timeout_seconds", from.heartbeat_timeout_seconds());
  to->heartbeat_timeout_seconds = from.heartbeat_timeout_seconds();
  return check.status();
}

void Write(const api::Fenced& from, v1::Fenced* to) { to->set_reason(from.reason); }

absl::Status Read(const v1::Fenced& from, api::Fenced* to) {
  to->reason = from.reason();
  return absl::OkStatus();
}

void Write(const api::Refused& from, v1::Refused* to) { to->set_reason(from.reason); }

absl::Status Read(const v1::Refused& from, api::Refused* to) {
  to->reason = from.reason();
  return absl::OkStatus();
}

void Write(const api::Interrupt& from, v1::Interrupt* to) {
  to->set_epoch(from.epoch.value);
  WriteIds(from.evicted, to->mutable_evicted());
}

absl::Status Read(const v1::Interrupt& from, api::Interrupt* to) {
  Check check("Interrupt");
  to->epoch = base::Epoch(from.epoch());
  ReadIds("evicted", from.evicted(), &to->evicted, &check);
  return check.status();
}

void Write(const api::InstallView& from, v1::InstallView* to) {
  Write(from.view, to->mutable_view());
}

absl::Status Read(const v1::InstallView& from, api::InstallView* to) {
  Check check("InstallView");
  check.Present("view", from.has_view());
  check.Nested("view", Read(from.view(), &to->view));
  return check.status();
}

void Write(const api::BeatAck& from, v1::BeatAck* to) { to->set_sequence(from.sequence); }

absl::Status Read(const v1::BeatAck& from, api::BeatAck* to) {
  to->sequence = from.sequence();
  return absl::OkStatus();
}

void Write(const api::CommitAck& from, v1::CommitAck* to) { to->set_step(from.step.value); }

absl::Status Read(const v1::CommitAck& from, api::CommitAck* to) {
  Check check("CommitAck");
  to->step = ReadStep("step", from.step(), &check);
  return check.status();
}

void Write(const api::RequestCheckpoint& from, v1::RequestCheckpoint* to) {
  to->set_id(from.id);
  to->set_stop(from.stop);
}

absl::Status Read(const v1::RequestCheckpoint& from, api::RequestCheckpoint* to) {
  to->id = from.id();
  to->stop = from.stop();
  return absl::OkStatus();
}

void Write(const api::WriteManifest& from, v1::WriteManifest* to) {
  to->set_step(from.step.value);
  to->set_final_state(from.final);
  for (const std::string& part : from.parts_json) to->add_parts_json(part);
}

absl::Status Read(const v1::WriteManifest& from, api::WriteManifest* to) {
  Check check("WriteManifest");
  to->step = ReadStep("step", from.step(), &check);
  to->final = from.final_state();
  check.Bounded("parts_json", from.parts_json_size(), kMaxMembers);
  if (!check.ok()) return check.status();
  to->parts_json.assign(from.parts_json().begin(), from.parts_json().end());
  return check.status();
}

void Write(const api::CheckpointCommitted& from, v1::CheckpointCommitted* to) {
  Write(from.checkpoint, to->mutable_checkpoint());
  for (const api::CheckpointRef& kept : from.kept) Write(kept, to->add_kept());
}

absl::Status Read(const v1::CheckpointCommitted& from, api::CheckpointCommitted* to) {
  Check check("CheckpointCommitted");
  check.Present("checkpoint", from.has_checkpoint());
  check.Nested("checkpoint", Read(from.checkpoint(), &to->checkpoint));
  check.Bounded("kept", from.kept_size(), kMaxCheckpoints);
  if (!check.ok()) return check.status();
  for (const v1::CheckpointRef& kept : from.kept()) {
    check.Nested("kept", Read(kept, &to->kept.emplace_back()));
  }
  return check.status();
}

void Write(const api::Release&, v1::Release*) {}

absl::Status Read(const v1::Release&, api::Release*) { return absl::OkStatus(); }

void Write(const api::Finish& from, v1::Finish* to) {
  to->set_succeeded(from.succeeded);
  to->set_reason(from.reason);
  to->set_message(from.message);
}

absl::Status Read(const v1::Finish& from, api::Finish* to) {
  to->succeeded = from.succeeded();
  to->reason = from.reason();
  to->message = from.message();
  return absl::OkStatus();
}

void Write(const api::Certificate& from, v1::Certificate* to) {
  to->set_chain_pem(from.chain_pem);
  to->set_ca_bundle_pem(from.ca_bundle_pem);
}

absl::Status Read(const v1::Certificate& from, api::Certificate* to) {
  Check check("Certificate");
  check.AtMostBytes("chain_pem", from.chain_pem().size(), kMaxPemBytes);
  check.AtMostBytes("ca_bundle_pem", from.ca_bundle_pem().size(), kMaxPemBytes);
  if (!check.ok()) return check.status();
  to->chain_pem = from.chain_pem();
  to->ca_bundle_pem = from.ca_bundle_pem();
  return check.status();
}

}  // namespace muster::wire
