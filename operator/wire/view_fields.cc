#include "operator/wire/fields.h"

namespace muster::wire {
namespace {

void Write(const api::ViewMember& from, v1::ViewMember* to) {
  wire::Write(from.id, to->mutable_id());
  to->set_address(from.address);
  to->set_node(from.node);
  to->set_has_state(from.has_state);
  WriteSlots(from.slots, to->mutable_slots());
  WriteSlots(from.resume_slots, to->mutable_resume_slots());
  WriteSlots(from.kept_slots, to->mutable_kept_slots());
}

absl::Status Read(const v1::ViewMember& from, api::ViewMember* to) {
  Check check("ViewMember");
  check.Present("id", from.has_id());
  check.Nested("id", wire::Read(from.id(), &to->id));
  to->address = from.address();
  to->node = from.node();
  to->has_state = from.has_state();
  ReadSlots("slots", from.slots(), &to->slots, &check);
  ReadSlots("resume_slots", from.resume_slots(), &to->resume_slots, &check);
  ReadSlots("kept_slots", from.kept_slots(), &to->kept_slots, &check);
  return check.status();
}

void Write(const api::Leaver& from, v1::Leaver* to) {
  wire::Write(from.id, to->mutable_id());
  to->set_address(from.address);
}

absl::Status Read(const v1::Leaver& from, api::Leaver* to) {
  Check check("Leaver");
  check.Present("id", from.has_id());
  check.Nested("id", wire::Read(from.id(), &to->id));
  to->address = from.address();
  return check.status();
}

}  // namespace

void Write(const api::View& from, v1::View* to) {
  to->set_term(from.term.value);
  to->set_epoch(from.epoch.value);
  to->set_voluntary(from.voluntary);
  to->set_goal(static_cast<v1::ViewGoal>(WireEnumerator(from.goal)));
  for (const api::ViewMember& member : from.members) Write(member, to->add_members());
  for (const api::Leaver& leaver : from.leavers) Write(leaver, to->add_leavers());
  to->set_resume_step(from.resume_step.value);
  Write(from.resume_tag, to->mutable_resume_tag());
  to->set_state_digest(from.state_digest);
  if (from.restore) Write(*from.restore, to->mutable_restore());
  to->set_fresh(from.fresh);
  to->set_evaluate(from.evaluate);
}

absl::Status Read(const v1::View& from, api::View* to) {
  Check check("View");
  to->term = base::Term(from.term());
  to->epoch = base::Epoch(from.epoch());
  to->voluntary = from.voluntary();
  to->goal = check.Enumerator("goal", from.goal(), api::ViewGoal::kFinish);
  check.Bounded("members", from.members_size(), kMaxMembers);
  check.Bounded("leavers", from.leavers_size(), kMaxMembers);
  if (!check.ok()) return check.status();
  for (const v1::ViewMember& member : from.members()) {
    check.Nested("members", Read(member, &to->members.emplace_back()));
  }
  for (const v1::Leaver& leaver : from.leavers()) {
    check.Nested("leavers", Read(leaver, &to->leavers.emplace_back()));
  }
  to->resume_step = ReadStep("resume_step", from.resume_step(), &check);
  check.Present("resume_tag", from.has_resume_tag());
  check.Nested("resume_tag", Read(from.resume_tag(), &to->resume_tag));
  to->state_digest = from.state_digest();
  if (from.has_restore()) check.Nested("restore", Read(from.restore(), &to->restore.emplace()));
  to->fresh = from.fresh();
  to->evaluate = from.evaluate();
  return check.status();
}

}  // namespace muster::wire
