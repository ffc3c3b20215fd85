// Steps that all members of the view in force have committed: compared (E8), told, acknowledged.
#include <algorithm>
#include <map>

#include "operator/membership/assign.h"
#include "operator/membership/state.h"

namespace muster::membership {

// Whose word about `step` is awaited: the members of the view in which it was committed (leavers of
// a later change are among them) and those of the view in force.
std::vector<base::MemberId> Core::Accountable(base::Step step) const {
  base::Epoch epoch;
  for (const auto& [id, report] : reports.at(step)) epoch = std::max(epoch, report.epoch);
  std::vector<base::MemberId> ids = ForceMembers();
  const auto view = views.find(epoch);
  if (view != views.end()) {
    for (const base::MemberId id : view->second) {
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    }
  }
  std::erase_if(ids, [&](base::MemberId id) {
    const Member* m = Find(id);
    return m == nullptr || m->dead || m->released;
  });
  return ids;
}

// `acked_before`: the member has it and reports it no more, so a coordinator before this one has
// told it.
bool Core::Accounts(const Member& m, base::Step step, bool* acked_before) const {
  const auto& of_step = reports.at(step);
  if (of_step.contains(m.id) || m.covered >= step) return true;
  // Reports come in order after a Hello; one of a later step means that this one was acknowledged.
  const bool skipped_over = m.reported > step;
  // Who has begun to report goes on to the step, however long that takes: some at a time.
  const bool silent = m.stream && m.committed >= step && m.reported == base::Step() &&
                      now - m.hello_at >= config.spec.elasticity.heartbeat_timeout;
  if (!skipped_over && !silent) return false;
  *acked_before = true;
  return true;
}

bool Core::CompareDigests(base::Step step) {
  std::map<std::uint64_t, std::vector<base::MemberId>> by_digest;
  std::size_t votes = 0;
  for (const auto& [id, report] : reports.at(step)) {
    const Member* m = Find(id);
    if (m == nullptr || m->dead || report.digest == 0) continue;
    by_digest[report.digest].push_back(id);
    ++votes;
  }
  // E8: in Float a recorded digest is void after a redo.
  const auto before = digests.find(step);
  const bool exact = config.spec.training.reduction != api::Reduction::kFloat;
  const bool as_recorded =
      !exact || before == digests.end() || by_digest.empty() || by_digest.contains(before->second);
  if (by_digest.size() < 2 && as_recorded) {
    if (!by_digest.empty()) digests[step] = by_digest.begin()->first;
    while (digests.size() > 4096) digests.erase(digests.begin());
    return true;
  }
  std::string what = "step " + std::to_string(step.value) + ": ";
  what += as_recorded ? std::to_string(by_digest.size()) + " different states"
                      : "not the state recorded for it";
  out.push_back(DigestMismatch{step, what});
  std::vector<base::MemberId> differ;
  for (const auto& [digest, ids] : by_digest) {
    if (ids.size() * 2 <= votes) continue;
    for (const auto& [other, others] : by_digest) {
      if (other != digest) differ.insert(differ.end(), others.begin(), others.end());
    }
  }
  RollBackAll(what);
  for (const base::MemberId id : differ) Evict(*Find(id), "DigestMismatch", what, now);
  BeginRound("DigestMismatch", now);
  return false;
}

namespace {

// Whose slot it was in the view that committed the step.
std::map<api::Slot, base::MemberId> Owners(const Core& core, base::Epoch epoch, base::Step step) {
  std::map<api::Slot, base::MemberId> owners;
  const auto layout = core.layouts.find(epoch);
  if (layout == core.layouts.end()) {
    // The newest view of the coordinator before this one, when it was not adopted: the record has
    // its members in rank order, and only in a failure view's first step did they hold other slots.
    const api::RecordedView& newest = core.record->newest;
    if (newest.epoch != epoch || newest.members.empty()) return owners;
    const auto slots = AssignRegular(static_cast<std::int32_t>(newest.members.size()),
                                     core.config.spec.training.slots);
    for (std::size_t rank = 0; rank < slots.size(); ++rank) {
      for (const api::Slot slot : slots[rank]) owners[slot] = newest.members[rank];
    }
    return owners;
  }
  const bool first = step == layout->second.resume_step;
  for (const api::ViewMember& m : layout->second.members) {
    for (const api::Slot slot : first ? m.resume_slots : m.slots) owners[slot] = m.id;
  }
  return owners;
}

// Every slot once, its samples from any report that has them: a member that died after the
// reduction computed its slots, and the others know what they read.
std::vector<StepCommitted::Slots> Audit(const Core& core, base::Epoch epoch, base::Step step) {
  std::map<api::Slot, base::MemberId> owners = Owners(core, epoch, step);
  std::map<base::MemberId, std::map<api::Slot, api::SlotSamples>> by_member;
  for (const auto& [id, report] : core.reports.at(step)) {
    for (const api::SlotSamples& samples : report.samples) {
      // Nobody knows whose it was: the first that reports it.
      const base::MemberId whose = owners.emplace(samples.slot, id).first->second;
      by_member[whose].emplace(samples.slot, samples);
    }
  }
  std::vector<StepCommitted::Slots> audit;
  for (const auto& [id, slots] : by_member) {
    StepCommitted::Slots of_member{id, {}};
    for (const auto& [slot, samples] : slots) of_member.slots.push_back(samples);
    audit.push_back(std::move(of_member));
  }
  return audit;
}

}  // namespace

void Core::EmitStep(base::Step step) {
  const auto& of_step = reports.at(step);
  StepCommitted said;
  const api::Committed* any = nullptr;
  for (const auto& [id, report] : of_step) {
    const Member* m = Find(id);
    if (any == nullptr || (m != nullptr && !m->dead && report.epoch >= any->epoch)) any = &report;
    said.slots_computed += report.slots_computed;
    if (rescaling && step == force->resume_step) {
      double& r = rescaling->rescale.recompute_seconds;
      r = std::max(r, report.recompute_seconds);
    }
  }
  said.step = step;
  said.epoch = any->epoch;
  said.loss = any->loss;
  said.grad_norm = any->grad_norm;
  said.learning_rate = any->learning_rate;
  said.clipped = any->clipped;
  said.skipped = any->skipped;
  said.tokens = any->tokens;
  const auto view = views.find(any->epoch);
  said.members =
      static_cast<std::int32_t>(view != views.end() ? view->second.size() : of_step.size());
  if (config.audit) {
    said.audit = Audit(*this, any->epoch, step);
    awaiting_audit.insert(step);
  }
  out.push_back(std::move(said));
}

// Up to where members may forget their reports: what is said, and with audit written.
base::Step Core::Acknowledged() const {
  base::Step upto = acked;
  if (!awaiting_audit.empty()) upto = base::Step(awaiting_audit.begin()->value - 1);
  // The last step's reports are kept by the members until the result is in the record, so that a
  // new coordinator can still say with what the job ended (M12).
  if (!result) upto = std::min(upto, base::Step(LastStep().value - 1));
  return upto;
}

void Core::SendAcks() {
  const base::Step upto = Acknowledged();
  if (upto.value <= 0) return;
  for (const base::MemberId id : Participants()) Say(*Find(id), api::CommitAck{upto});
}

void Core::AdvanceCommits() {
  const base::Step before = acked;
  while (!reports.empty() && (phase == Phase::kSettled || phase == Phase::kAnnounced)) {
    const base::Step step = reports.begin()->first;
    if (step <= acked) {
      reports.erase(reports.begin());
      continue;
    }
    bool told_before = false;
    const std::vector<base::MemberId> ids = Accountable(step);
    const bool all = std::all_of(ids.begin(), ids.end(), [&](base::MemberId id) {
      return Accounts(*Find(id), step, &told_before);
    });
    if (!all || ids.empty()) break;
    if (!CompareDigests(step)) return;
    last_report = reports.begin()->second.begin()->second;
    if (!told_before) EmitStep(step);
    skipped_in_row = last_report->skipped ? skipped_in_row + 1 : 0;
    acked = step;
    roll_backs = 0;
    checksum_rounds = 0;
    breaks = Breaks{};
    if (step_at) step_times.Add(now - *step_at);
    step_at = now;
    reports.erase(step);
    NoteResumed(step);
    if (skipped_in_row >= 3) {
      std::string message =
          "three steps in a row had a gradient that is not finite or saturated, the last one is "
          "step " +
          std::to_string(step.value);
      if (!last_report->offence.empty()) message += ": " + last_report->offence;
      Fail("NonFiniteGradient", message);
      return;
    }
  }
  if (acked != before) SendAcks();
}

}  // namespace muster::membership
