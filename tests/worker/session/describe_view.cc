// Views, tags and messages as text.
#include <type_traits>

#include "tests/worker/session/describe.h"

namespace muster::session {

using std::to_string;

std::string PhaseName(api::MemberPhase phase) {
  static constexpr const char* kNames[] = {"joining", "loading",  "warm",     "installing",
                                           "forward", "reducing", "applying", "evaluating",
                                           "ready",   "waiting",  "leaving"};
  return kNames[static_cast<int>(phase)];
}

std::string Describe(const std::vector<api::Slot>& slots) {
  std::string text = "{";
  for (std::size_t i = 0; i < slots.size(); ++i) text += (i > 0 ? " " : "") + to_string(slots[i]);
  return text + "}";
}

std::string Describe(const api::SumTag& tag) {
  std::string text = "s" + to_string(tag.step.value);
  if (tag.attempt != 0) text += "a" + to_string(tag.attempt);
  if (tag.exponents != 0) text += "x" + to_string(tag.exponents);
  return text;
}

std::string Describe(const api::View& view) {
  std::string text = "e" + to_string(view.epoch.value) + (view.voluntary ? " voluntary" : "") +
                     (view.goal == api::ViewGoal::kFinish ? " finish" : "") +
                     (view.fresh ? " fresh" : "") + (view.evaluate ? " evaluate" : "");
  if (view.restore) text += " restore=" + to_string(view.restore->step.value);
  text +=
      " resume=" + to_string(view.resume_step.value) + " tag=" + Describe(view.resume_tag) + " [";
  for (const api::ViewMember& m : view.members) {
    text += " " + base::ToString(m.id) + (m.has_state ? "" : "?") + Describe(m.slots);
    if (!view.voluntary) text += "/" + Describe(m.resume_slots) + "-" + Describe(m.kept_slots);
  }
  text += " ]";
  for (const api::Leaver& l : view.leavers) text += " leaver " + base::ToString(l.id);
  return text;
}

namespace {

std::string KeptText(const api::KeptSums& kept) {
  return Describe(kept.tag) + Describe(kept.slots);
}

std::string Ids(const std::vector<base::MemberId>& ids) {
  std::string text;
  for (base::MemberId id : ids) text += " " + base::ToString(id);
  return text;
}

}  // namespace

std::string Describe(const api::MemberMessage& message) {
  return std::visit(
      [](const auto& m) -> std::string {
        using M = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<M, api::Hello>) {
          return "Hello " + base::ToString(m.member) + " e" + to_string(m.epoch.value) +
                 " pending=" + to_string(m.pending_epoch.value) + " " + PhaseName(m.phase) +
                 (m.interrupted ? " interrupted" : "") +
                 " committed=" + to_string(m.committed.value) + (m.has_state ? "" : " stateless") +
                 " kept=" + KeptText(m.kept);
        } else if constexpr (std::is_same_v<M, api::Warm>)
          return "Warm";
        else if constexpr (std::is_same_v<M, api::Heartbeat>)
          return "Heartbeat";
        else if constexpr (std::is_same_v<M, api::Ready>) {
          return "Ready e" + to_string(m.epoch.value) +
                 " committed=" + to_string(m.committed.value) + (m.has_state ? "" : " stateless") +
                 " kept=" + KeptText(m.kept);
        } else if constexpr (std::is_same_v<M, api::Installed>) {
          return "Installed e" + to_string(m.epoch.value) +
                 " resume=" + to_string(m.resume_step.value) + " digest=" + to_string(m.digest);
        } else if constexpr (std::is_same_v<M, api::CannotReach>) {
          return "CannotReach e" + to_string(m.epoch.value) + Ids(m.peers) + " (" + m.detail + ")";
        } else if constexpr (std::is_same_v<M, api::Suspect>) {
          return "Suspect e" + to_string(m.epoch.value) + " " + base::ToString(m.peer);
        } else if constexpr (std::is_same_v<M, api::Committed>) {
          return "Committed e" + to_string(m.epoch.value) + " step=" + to_string(m.step.value) +
                 " attempt=" + to_string(m.attempt) + " digest=" + to_string(m.digest) +
                 " computed=" + to_string(m.slots_computed);
        } else if constexpr (std::is_same_v<M, api::Evaluated>)
          return "Evaluated step=" + to_string(m.step.value);
        else if constexpr (std::is_same_v<M, api::CheckpointPart>) {
          return "CheckpointPart e" + to_string(m.epoch.value) + " step=" + to_string(m.step.value);
        } else if constexpr (std::is_same_v<M, api::ManifestWritten>) {
          return "ManifestWritten step=" + to_string(m.step.value);
        } else if constexpr (std::is_same_v<M, api::Leave>)
          return "Leave";
        else if constexpr (std::is_same_v<M, api::CertificateRequest>)
          return "CertificateRequest";
        else if constexpr (std::is_same_v<M, api::Killed>)
          return "Killed " + base::ToString(m.member);
        else {
          static_assert(std::is_same_v<M, api::Failing>);
          return "Failing " + m.reason + " (" + m.message + ")";
        }
      },
      message);
}

std::string Describe(const api::CoordinatorMessage& message) {
  return std::visit(
      [](const auto& m) -> std::string {
        using M = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<M, api::Welcome>)
          return "Welcome";
        else if constexpr (std::is_same_v<M, api::Fenced>)
          return "Fenced (" + m.reason + ")";
        else if constexpr (std::is_same_v<M, api::Refused>)
          return "Refused (" + m.reason + ")";
        else if constexpr (std::is_same_v<M, api::Interrupt>) {
          return "Interrupt e" + to_string(m.epoch.value) + " evicted" + Ids(m.evicted);
        } else if constexpr (std::is_same_v<M, api::InstallView>)
          return "InstallView " + Describe(m.view);
        else if constexpr (std::is_same_v<M, api::BeatAck>)
          return "BeatAck " + to_string(m.sequence);
        else if constexpr (std::is_same_v<M, api::CommitAck>)
          return "CommitAck " + to_string(m.step.value);
        else if constexpr (std::is_same_v<M, api::RequestCheckpoint>) {
          return "RequestCheckpoint " + to_string(m.id) + (m.stop ? " stop" : "");
        } else if constexpr (std::is_same_v<M, api::WriteManifest>)
          return "WriteManifest " + to_string(m.step.value);
        else if constexpr (std::is_same_v<M, api::CheckpointCommitted>) {
          return "CheckpointCommitted " + to_string(m.checkpoint.step.value);
        } else if constexpr (std::is_same_v<M, api::Release>)
          return "Release";
        else if constexpr (std::is_same_v<M, api::Certificate>)
          return "Certificate";
        else {
          static_assert(std::is_same_v<M, api::Finish>);
          return std::string("Finish ") + (m.succeeded ? "succeeded" : m.reason);
        }
      },
      message);
}

}  // namespace muster::session
