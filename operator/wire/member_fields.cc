#include "operator/wire/fields.h"

namespace muster::wire {

void Write(const api::Hello& from, v1::Hello* to) {
  to->set_protocol(from.protocol);
  to->set_job_uid(from.job_uid);
  to->set_token(from.token);
  Write(from.member, to->mutable_member());
  to->set_pid(from.pid);
  to->set_node(from.node);
  to->set_build_id(from.build_id);
  for (const std::string& family : from.kernel_families) to->add_kernel_families(family);
  to->set_epoch(from.epoch.value);
  to->set_pending_epoch(from.pending_epoch.value);
  to->set_term(from.term.value);
  to->set_phase(static_cast<v1::MemberPhase>(WireEnumerator(from.phase)));
  to->set_interrupted(from.interrupted);
  to->set_committed(from.committed.value);
  to->set_digest(from.digest);
  to->set_has_state(from.has_state);
  Write(from.kept, to->mutable_kept());
  to->set_address(from.address);
}

absl::Status Read(const v1::Hello& from, api::Hello* to) {
  Check check("Hello");
  to->protocol = from.protocol();
  to->job_uid = from.job_uid();
  check.AtMostBytes("token", from.token().size(), kMaxTokenBytes);
  to->token = from.token();
  check.Present("member", from.has_member());
  check.Nested("member", Read(from.member(), &to->member));
  check.NonNegative("pid", from.pid());
  to->pid = from.pid();
  to->node = from.node();
  to->build_id = from.build_id();
  check.Bounded("kernel_families", from.kernel_families_size(), kMaxFamilies);
  if (!check.ok()) return check.status();
  to->kernel_families.assign(from.kernel_families().begin(), from.kernel_families().end());
  to->epoch = base::Epoch(from.epoch());
  to->pending_epoch = base::Epoch(from.pending_epoch());
  to->term = base::Term(from.term());
  to->phase = check.Enumerator("phase", from.phase(), api::MemberPhase::kLeaving);
  to->interrupted = from.interrupted();
  to->committed = ReadStep("committed", from.committed(), &check);
  to->digest = from.digest();
  to->has_state = from.has_state();
  check.Present("kept", from.has_kept());
  check.Nested("kept", Read(from.kept(), &to->kept));
  to->address = from.address();
  return check.status();
}

void Write(const api::Warm& from, v1::Warm* to) {
  to->set_address(from.address);
  to->set_kernel_family(from.kernel_family);
  to->set_data_digest(from.data_digest);
  to->set_device(from.device);
  to->set_start_weights_digest(from.start_weights_digest);
  to->set_parameters(from.parameters);
  to->set_baseline_loss(from.baseline_loss);
}

absl::Status Read(const v1::Warm& from, api::Warm* to) {
  Check check("Warm");
  to->address = from.address();
  to->kernel_family = from.kernel_family();
  to->data_digest = from.data_digest();
  to->device = from.device();
  to->start_weights_digest = from.start_weights_digest();
  check.NonNegative("parameters", from.parameters());
  to->parameters = from.parameters();
  to->baseline_loss = from.baseline_loss();
  return check.status();
}

void Write(const api::Heartbeat& from, v1::Heartbeat* to) {
  to->set_sequence(from.sequence);
  to->set_phase(static_cast<v1::MemberPhase>(WireEnumerator(from.phase)));
  to->set_step(from.step.value);
  to->set_progress(from.progress);
}

absl::Status Read(const v1::Heartbeat& from, api::Heartbeat* to) {
  Check check("Heartbeat");
  to->sequence = from.sequence();
  to->phase = check.Enumerator("phase", from.phase(), api::MemberPhase::kLeaving);
  to->step = ReadStep("step", from.step(), &check);
  to->progress = from.progress();
  return check.status();
}

void Write(const api::Ready& from, v1::Ready* to) {
  to->set_epoch(from.epoch.value);
  to->set_committed(from.committed.value);
  to->set_digest(from.digest);
  to->set_has_state(from.has_state);
  Write(from.kept, to->mutable_kept());
}

absl::Status Read(const v1::Ready& from, api::Ready* to) {
  Check check("Ready");
  to->epoch = base::Epoch(from.epoch());
  to->committed = ReadStep("committed", from.committed(), &check);
  to->digest = from.digest();
  to->has_state = from.has_state();
  check.Present("kept", from.has_kept());
  check.Nested("kept", Read(from.kept(), &to->kept));
  return check.status();
}

void Write(const api::Installed& from, v1::Installed* to) {
  to->set_epoch(from.epoch.value);
  to->set_resume_step(from.resume_step.value);
  to->set_digest(from.digest);
  to->set_rebuild_seconds(from.rebuild_seconds);
  to->set_synchronise_seconds(from.synchronise_seconds);
}

absl::Status Read(const v1::Installed& from, api::Installed* to) {
  Check check("Installed");
  to->epoch = base::Epoch(from.epoch());
  to->resume_step = ReadStep("resume_step", from.resume_step(), &check);
  to->digest = from.digest();
  to->rebuild_seconds = from.rebuild_seconds();
  to->synchronise_seconds = from.synchronise_seconds();
  return check.status();
}

void Write(const api::CannotReach& from, v1::CannotReach* to) {
  to->set_epoch(from.epoch.value);
  WriteIds(from.peers, to->mutable_peers());
  to->set_detail(from.detail);
}

absl::Status Read(const v1::CannotReach& from, api::CannotReach* to) {
  Check check("CannotReach");
  to->epoch = base::Epoch(from.epoch());
  ReadIds("peers", from.peers(), &to->peers, &check);
  to->detail = from.detail();
  return check.status();
}

void Write(const api::Suspect& from, v1::Suspect* to) {
  to->set_epoch(from.epoch.value);
  Write(from.peer, to->mutable_peer());
  to->set_evidence(static_cast<v1::Evidence>(WireEnumerator(from.evidence)));
  to->set_detail(from.detail);
}

absl::Status Read(const v1::Suspect& from, api::Suspect* to) {
  Check check("Suspect");
  to->epoch = base::Epoch(from.epoch());
  check.Present("peer", from.has_peer());
  check.Nested("peer", Read(from.peer(), &to->peer));
  to->evidence = check.Enumerator("evidence", from.evidence(), api::Evidence::kChecksum);
  to->detail = from.detail();
  return check.status();
}

void Write(const api::Committed& from, v1::Committed* to) {
  to->set_epoch(from.epoch.value);
  to->set_step(from.step.value);
  to->set_attempt(from.attempt);
  to->set_digest(from.digest);
  to->set_loss(from.loss);
  to->set_grad_norm(from.grad_norm);
  to->set_learning_rate(from.learning_rate);
  to->set_clipped(from.clipped);
  to->set_skipped(from.skipped);
  to->set_offence(from.offence);
  to->set_tokens(from.tokens);
  to->set_slots_computed(from.slots_computed);
  to->set_compute_seconds(from.compute_seconds);
  to->set_reduce_seconds(from.reduce_seconds);
  to->set_recompute_seconds(from.recompute_seconds);
  for (const api::SlotSamples& slot : from.samples) {
    v1::SlotSamples* out = to->add_samples();
    out->set_slot(slot.slot);
    out->mutable_samples()->Assign(slot.samples.begin(), slot.samples.end());
  }
}

absl::Status Read(const v1::Committed& from, api::Committed* to) {
  Check check("Committed");
  to->epoch = base::Epoch(from.epoch());
  to->step = ReadStep("step", from.step(), &check);
  check.NonNegative("attempt", from.attempt());
  to->attempt = from.attempt();
  to->digest = from.digest();
  to->loss = from.loss();
  to->grad_norm = from.grad_norm();
  to->learning_rate = from.learning_rate();
  to->clipped = from.clipped();
  to->skipped = from.skipped();
  to->offence = from.offence();
  check.NonNegative("tokens", from.tokens());
  to->tokens = from.tokens();
  check.NonNegative("slots_computed", from.slots_computed());
  to->slots_computed = from.slots_computed();
  to->compute_seconds = from.compute_seconds();
  to->reduce_seconds = from.reduce_seconds();
  to->recompute_seconds = from.recompute_seconds();
  check.Bounded("samples", from.samples_size(), kMaxSlots);
  if (!check.ok()) return check.status();
  for (const v1::SlotSamples& slot : from.samples()) {
    check.NonNegative("samples.slot", slot.slot());
    check.Bounded("samples.samples", slot.samples_size(), kMaxSamples);
    if (!check.ok()) return check.status();
    to->samples.push_back({slot.slot(), {slot.samples().begin(), slot.samples().end()}});
  }
  return check.status();
}

void Write(const api::Evaluated& from, v1::Evaluated* to) {
  to->set_epoch(from.epoch.value);
  to->set_step(from.step.value);
  to->set_held_out_loss(from.held_out_loss);
}

absl::Status Read(const v1::Evaluated& from, api::Evaluated* to) {
  Check check("Evaluated");
  to->epoch = base::Epoch(from.epoch());
  to->step = ReadStep("step", from.step(), &check);
  to->held_out_loss = from.held_out_loss();
  return check.status();
}

void Write(const api::CheckpointPart& from, v1::CheckpointPart* to) {
  to->set_epoch(from.epoch.value);
  to->set_step(from.step.value);
  to->set_state_digest(from.state_digest);
  to->set_part_json(from.part_json);
  to->set_error(from.error);
}

absl::Status Read(const v1::CheckpointPart& from, api::CheckpointPart* to) {
  Check check("CheckpointPart");
  to->epoch = base::Epoch(from.epoch());
  to->step = ReadStep("step", from.step(), &check);
  to->state_digest = from.state_digest();
  to->part_json = from.part_json();
  to->error = from.error();
  return check.status();
}

void Write(const api::ManifestWritten& from, v1::ManifestWritten* to) {
  to->set_epoch(from.epoch.value);
  to->set_step(from.step.value);
  to->set_manifest_digest(from.manifest_digest);
  to->set_weights_digest(from.weights_digest);
  to->set_error(from.error);
}

absl::Status Read(const v1::ManifestWritten& from, api::ManifestWritten* to) {
  Check check("ManifestWritten");
  to->epoch = base::Epoch(from.epoch());
  to->step = ReadStep("step", from.step(), &check);
  to->manifest_digest = from.manifest_digest();
  to->weights_digest = from.weights_digest();
  to->error = from.error();
  return check.status();
}

void Write(const api::Leave& from, v1::Leave* to) { to->set_grace_seconds(from.grace_seconds); }

absl::Status Read(const v1::Leave& from, api::Leave* to) {
  to->grace_seconds = from.grace_seconds();
  return absl::OkStatus();
}

void Write(const api::Failing& from, v1::Failing* to) {
  to->set_exit_code(from.exit_code);
  to->set_reason(from.reason);
  to->set_message(from.message);
}

absl::Status Read(const v1::Failing& from, api::Failing* to) {
  to->exit_code = from.exit_code();
  to->reason = from.reason();
  to->message = from.message();
  return absl::OkStatus();
}

void Write(const api::CertificateRequest& from, v1::CertificateRequest* to) {
  to->set_request_pem(from.request_pem);
}

absl::Status Read(const v1::CertificateRequest& from, api::CertificateRequest* to) {
  Check check("CertificateRequest");
  check.AtMostBytes("request_pem", from.request_pem().size(), kMaxPemBytes);
  if (!check.ok()) return check.status();
  to->request_pem = from.request_pem();
  return check.status();
}

void Write(const api::Killed& from, v1::Killed* to) { Write(from.member, to->mutable_member()); }

absl::Status Read(const v1::Killed& from, api::Killed* to) {
  Check check("Killed");
  check.Present("member", from.has_member());
  check.Nested("member", Read(from.member(), &to->member));
  return check.status();
}

}  // namespace muster::wire
