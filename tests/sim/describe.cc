// See describe.h.
#include "tests/sim/describe.h"

#include <cstdio>
#include <type_traits>

#include "tests/worker/session/describe.h"

namespace muster::sim {

std::string Hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

bool IsDull(const membership::Event& event) {
  if (std::holds_alternative<membership::Tick>(event)) return true;
  const auto* received = std::get_if<membership::Received>(&event);
  return received != nullptr && std::holds_alternative<api::Heartbeat>(received->message.message);
}

std::string Describe(const membership::Event& event) {
  return std::visit(
      [](const auto& e) -> std::string {
        using E = std::decay_t<decltype(e)>;
        using std::to_string;
        if constexpr (std::is_same_v<E, membership::Start>)
          return "Start";
        else if constexpr (std::is_same_v<E, membership::Tick>)
          return "Tick";
        else if constexpr (std::is_same_v<E, membership::Received>) {
          return "stream " + to_string(e.stream) + " " + session::Describe(e.message.message);
        } else if constexpr (std::is_same_v<E, membership::StreamClosed>)
          return "StreamClosed " + to_string(e.stream);
        else if constexpr (std::is_same_v<E, membership::Persisted>) {
          return "Persisted " + to_string(static_cast<int>(e.outcome));
        } else if constexpr (std::is_same_v<E, membership::SetTimeout>) {
          return "SetTimeout " + to_string(base::ToSeconds(e.heartbeat_timeout));
        } else if constexpr (std::is_same_v<E, membership::SetTarget>) {
          return "SetTarget " + to_string(e.desired) + " min " + to_string(e.min);
        } else if constexpr (std::is_same_v<E, membership::PodLost>)
          return "PodLost " + base::ToString(e.pod);
        else if constexpr (std::is_same_v<E, membership::PodLeaving>)
          return "PodLeaving " + base::ToString(e.member);
        else if constexpr (std::is_same_v<E, membership::NodeSuspect>)
          return "NodeSuspect " + e.node;
        else if constexpr (std::is_same_v<E, membership::FormerMembers>)
          return "FormerMembers " + std::to_string(e.members.size());
        else if constexpr (std::is_same_v<E, membership::CheckpointNow>)
          return "CheckpointNow";
        else if constexpr (std::is_same_v<E, membership::Drain>)
          return "Drain";
        else if constexpr (std::is_same_v<E, membership::FailJob>)
          return "FailJob " + e.reason;
        else if constexpr (std::is_same_v<E, membership::Dissolve>)
          return "Dissolve";
        else {
          static_assert(std::is_same_v<E, membership::AuditWritten>);
          return "AuditWritten " + to_string(e.step.value);
        }
      },
      event);
}

std::string Describe(const membership::Command& command) {
  return std::visit(
      [](const auto& c) -> std::string {
        using C = std::decay_t<decltype(c)>;
        using std::to_string;
        if constexpr (std::is_same_v<C, membership::Send>) {
          return "to stream " + to_string(c.stream) + " t" +
                 to_string(c.message.envelope.term.value) + " " +
                 session::Describe(c.message.message);
        } else if constexpr (std::is_same_v<C, membership::CloseStream>)
          return "CloseStream " + to_string(c.stream);
        else if constexpr (std::is_same_v<C, membership::Persist>) {
          return "Persist term " + to_string(c.next.term.value) + " epoch " +
                 to_string(c.next.newest.epoch.value) + " version " + to_string(c.next.version);
        } else if constexpr (std::is_same_v<C, membership::StepCommitted>)
          return "StepCommitted " + to_string(c.step.value);
        else if constexpr (std::is_same_v<C, membership::HeldOut>)
          return "HeldOut " + to_string(c.step.value);
        else if constexpr (std::is_same_v<C, membership::RolledBack>)
          return "RolledBack " + to_string(c.step.value) + " " + c.reason;
        else if constexpr (std::is_same_v<C, membership::Evicted>) {
          return "Evicted " + base::ToString(c.member) + " " + c.reason + " (" + c.message + ")";
        } else if constexpr (std::is_same_v<C, membership::RescaleDone>)
          return "RescaleDone " + c.rescale.cause;
        else if constexpr (std::is_same_v<C, membership::CheckpointDone>) {
          return "CheckpointDone " + to_string(c.checkpoint.step.value);
        } else if constexpr (std::is_same_v<C, membership::CheckpointAbandoned>) {
          return "CheckpointAbandoned " + to_string(c.step.value) + " " + c.reason;
        } else if constexpr (std::is_same_v<C, membership::DigestMismatch>)
          return "DigestMismatch " + c.message;
        else if constexpr (std::is_same_v<C, membership::JobSucceeded>)
          return "JobSucceeded " + c.result.digest;
        else if constexpr (std::is_same_v<C, membership::JobDrained>)
          return "JobDrained " + to_string(c.step.value);
        else if constexpr (std::is_same_v<C, membership::JobFailed>)
          return "JobFailed " + c.reason + " " + c.message;
        else {
          static_assert(std::is_same_v<C, membership::Note>);
          return "Note: " + c.text;
        }
      },
      command);
}

}  // namespace muster::sim
