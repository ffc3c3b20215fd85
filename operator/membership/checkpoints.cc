// Checkpoints (M14): parts from all, digests that agree, a manifest, and the record's word as the
// commit.
#include <algorithm>

#include "operator/membership/state.h"

namespace muster::membership {

void Core::Abandon(base::Step step, const std::string& why, bool refused) {
  checkpoints.erase(step);
  const bool no_space = why.find("No space left") != std::string::npos;
  out.push_back(CheckpointAbandoned{step, why, no_space, refused});
  request.reset();
  checkpoint_due = now + std::chrono::seconds(1);
}

// A fault breaks those that lack a part; one whose manifest is being written goes on.
void Core::AbandonCheckpoints(const std::string& why) {
  std::vector<base::Step> broken;
  for (const auto& [step, pending] : checkpoints) {
    const Member* writer = pending.writer ? Find(*pending.writer) : nullptr;
    const bool goes_on = pending.manifest || (writer != nullptr && !writer->dead);
    if (!goes_on) broken.push_back(step);
  }
  for (const base::Step step : broken) Abandon(step, why);
}

bool Core::PartsAgree(PendingCheckpoint& pending) {
  const std::uint64_t digest = pending.parts.begin()->second.state_digest;
  const bool agree = std::all_of(pending.parts.begin(), pending.parts.end(),
                                 [&](const auto& p) { return p.second.state_digest == digest; });
  if (agree) return true;
  const base::Step step = pending.step;
  const std::string what =
      "checkpoint of step " + std::to_string(step.value) + ": members copied different states";
  out.push_back(DigestMismatch{step, what});
  RollBackAll(what);
  BeginRound("DigestMismatch", now);
  return false;
}

void Core::OrderManifest(PendingCheckpoint& pending) {
  api::WriteManifest order;
  order.step = pending.step;
  order.final = pending.step == LastStep();
  for (const base::MemberId id : pending.members) {
    order.parts_json.push_back(pending.parts.at(id).part_json);
    const Member* m = Find(id);
    if (!pending.writer && m != nullptr && !m->dead && !m->released && m->stream) {
      pending.writer = id;
    }
  }
  if (pending.writer) Say(*Find(*pending.writer), std::move(order));
}

void Core::SendRequest(bool stop) {
  CheckpointRequest asked;
  // Only grows, also over the coordinators of one epoch.
  asked.id = (term.value << 32) + ++request_count;
  asked.stop = stop;
  asked.base = HighestCommitted();
  request = asked;
  checkpoint_due.reset();
  for (const base::MemberId id : ForceMembers()) {
    Say(*Find(id), api::RequestCheckpoint{asked.id, asked.stop});
  }
}

void Core::AdvanceCheckpoints() {
  if (!HasCheckpoints() || phase == Phase::kKnowing) return;
  std::vector<base::Step> broken;
  for (const auto& [step, pending] : checkpoints) {
    if (pending.manifest) continue;
    bool lost = false, somebody = false;
    for (const base::MemberId id : pending.members) {
      const Member* m = Find(id);
      const bool gone = m == nullptr || m->dead || m->released;
      somebody = somebody || !gone;
      lost = lost || (gone && (!pending.parts.contains(id) || pending.writer == id));
    }
    if (lost || !somebody) broken.push_back(step);
  }
  for (const base::Step step : broken) Abandon(step, "a member was lost before it was complete");
  bool writing = false;
  for (auto& [step, pending] : checkpoints) {
    if (pending.writer || writing) {
      writing = true;
      continue;
    }
    if (pending.parts.size() < pending.members.size()) continue;
    if (!PartsAgree(pending)) return;  // everybody goes back: the table is empty now
    OrderManifest(pending);
    writing = true;
  }
  const bool going_back = formed && formed->rolled_back;
  for (auto& [step, pending] : checkpoints) {
    if (!pending.manifest || checkpoint_to_write || result_to_write || going_back) continue;
    std::optional<api::JobResult> ended;
    if (!FinishStep(pending, &ended)) continue;
    checkpoint_to_write =
        api::CheckpointRef{step, pending.epoch, pending.manifest->manifest_digest, Wall(now)};
    result_to_write = ended;
  }
  if ((phase != Phase::kSettled && !AnnouncedTooLate()) || request || !force) return;
  const bool due = checkpoint_due && now >= *checkpoint_due;
  const bool stop = draining && force->goal == api::ViewGoal::kTrain && !checkpoint_due &&
                    HighestCommitted() < LastStep();
  if (due || stop) SendRequest(draining);
}

void Core::OnCheckpointPersisted() {
  const bool with_checkpoint = checkpoint_to_write.has_value();
  checkpoint_to_write.reset();
  if (with_checkpoint) {
    const api::CheckpointRef done = *record->checkpoint;
    std::erase_if(checkpoints, [&](const auto& c) { return c.first <= done.step; });
    std::erase_if(digests, [&](const auto& d) { return d.first <= done.step; });
    out.push_back(CheckpointDone{done});
    std::vector<api::CheckpointRef> kept = record->kept_checkpoints;
    kept.insert(kept.begin(), done);
    for (const base::MemberId id : Participants()) {
      Say(*Find(id), api::CheckpointCommitted{done, kept});
    }
    if (request && !request->stop && done.step >= request->base) request.reset();
  }
  if (result_to_write) {
    result = std::exchange(result_to_write, std::nullopt);
    Succeed();
  }
}

}  // namespace muster::membership
