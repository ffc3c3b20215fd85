// Persisted: the record has it, or somebody else was there, or nobody knows (M1).
#include "operator/membership/state.h"

namespace muster::membership {
namespace {

// Another coordinator reigns, or reigned: this one learns the record anew from a higher term.
void LoseRace(Core& core, const std::optional<api::Record>& current) {
  core.record = current;
  core.in_flight.reset();
  core.formed.reset();
  core.checkpoint_to_write.reset();
  core.result_to_write.reset();
  core.force.reset();
  core.announced.reset();
  core.rescaling.reset();
  core.request.reset();
  core.checkpoints.clear();
  if (current) {
    core.kernel_family = current->kernel_family;
    core.build_id = current->build_id;
    core.data_digest = current->data_digest;
    core.device = current->device;
    core.start_weights_digest = current->start_weights_digest;
    core.term = std::max(core.term, current->term).Next();
  } else {
    core.term = core.term.Next();
  }
  core.want_term = true;
  core.phase = Phase::kTaking;
  // Everybody says Hello again, so that nothing learned under the lost term is believed.
  for (const auto& [stream, id] : core.streams) core.out.push_back(CloseStream{stream});
  core.streams.clear();
  for (auto& [id, m] : core.members) {
    m.stream.reset();
    m.hello = m.told = m.warm = m.ready = m.owed_interrupt = false;
  }
  core.NoteThat("lost a race for the record; begins again with term " +
                std::to_string(core.term.value));
}

}  // namespace

void Core::OnPersisted(const Persisted& persisted) {
  if (!in_flight) return;
  --unanswered_writes;
  const bool landed = persisted.outcome == api::PersistOutcome::kOk ||
                      (persisted.current && *persisted.current == in_flight->next);
  if (!landed) {
    const bool unchanged = persisted.current == in_flight->expected;
    if (persisted.outcome == api::PersistOutcome::kUnknown && (unchanged || !persisted.current)) {
      retry_at = now + std::chrono::milliseconds(50);
    } else if (persisted.current && persisted.current->term > term) {
      phase = Phase::kDeposed;
      in_flight.reset();
      // Members look for the one that reigns as soon as they are let go (M11).
      for (const auto& [stream, id] : streams) out.push_back(CloseStream{stream});
      streams.clear();
      for (auto& [id, m] : members) m.stream.reset();
      NoteThat("deposed: the record has term " + std::to_string(persisted.current->term.value) +
               ", mine is " + std::to_string(term.value));
    } else {
      LoseRace(*this, persisted.current);
    }
    return;
  }
  const Write::Kind kind = in_flight->kind;
  record = in_flight->next;
  in_flight.reset();
  retry_at.reset();
  switch (kind) {
    case Write::Kind::kTerm: {
      want_term = false;
      listening_since = now;
      phase = record->newest.members.empty() ? Phase::kWaiting : Phase::kKnowing;
      if (record->result) {
        result = record->result;
        out.push_back(JobSucceeded{*record->result});
        End(api::Finish{true, "Succeeded", "the job has its result"});
      } else if (config.ended) {
        End(*config.ended);
      }
      const std::vector<Received> waiting = std::exchange(deferred, {});
      for (const Received& received : waiting) OnReceived(received);
      break;
    }
    case Write::Kind::kView:
      if (formed) OnViewPersisted();
      // Either the record names it no more, or somebody had the state after all.
      if (phase == Phase::kAnnounced) damaged.reset();
      break;
    case Write::Kind::kCheckpoint:
      if (phase != Phase::kOver) OnCheckpointPersisted();
      break;
  }
}

}  // namespace muster::membership
