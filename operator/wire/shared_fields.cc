#include <cmath>
#include <string>

#include "operator/wire/fields.h"

namespace muster::wire {

void Check::Set(std::string_view field, const std::string& rest) {
  if (!status_.ok()) return;
  status_ = base::InvalidArgument(std::string(message_) + "." + std::string(field) + rest);
}

void Check::Complain(std::string_view field, std::int64_t value, const std::string& allowed) {
  Set(field, " is " + std::to_string(value) + "; " + allowed);
}

void Check::NonNegative(std::string_view field, std::int64_t value) {
  if (value < 0) Complain(field, value, "at least 0 is allowed");
}

void Check::Bounded(std::string_view field, std::int64_t count, std::int64_t limit) {
  if (count <= limit) return;
  Set(field, " has " + std::to_string(count) + " entries; at most " + std::to_string(limit) +
                 " are allowed");
}

void Check::AtMostBytes(std::string_view field, std::size_t size, std::size_t limit) {
  if (size <= limit) return;
  Set(field,
      " has " + std::to_string(size) + " bytes; at most " + std::to_string(limit) + " are allowed");
}

void Check::Present(std::string_view field, bool present) {
  if (!present) Set(field, " is missing");
}

void Check::Positive(std::string_view field, double value) {
  if (!(std::isfinite(value) && value > 0)) {
    Set(field, " is " + std::to_string(value) + "; a number above 0 is allowed");
  }
}

void Check::Nested(std::string_view field, const absl::Status& status) {
  if (!status.ok()) Set(field, ": " + base::Message(status));
}

void WriteSlots(const std::vector<api::Slot>& from, SlotField* to) {
  to->Assign(from.begin(), from.end());
}

void ReadSlots(std::string_view field, const SlotField& from, std::vector<api::Slot>* to,
               Check* check) {
  check->Bounded(field, from.size(), kMaxSlots);
  if (!check->ok()) return;
  for (api::Slot slot : from) check->NonNegative(field, slot);
  to->assign(from.begin(), from.end());
}

void WriteIds(const std::vector<base::MemberId>& from, IdField* to) {
  for (base::MemberId id : from) Write(id, to->Add());
}

void ReadIds(std::string_view field, const IdField& from, std::vector<base::MemberId>* to,
             Check* check) {
  check->Bounded(field, from.size(), kMaxMembers);
  if (!check->ok()) return;
  for (const v1::MemberId& id : from) check->Nested(field, Read(id, &to->emplace_back()));
}

base::Step ReadStep(std::string_view field, std::int64_t from, Check* check) {
  check->NonNegative(field, from);
  return base::Step(from);
}

void Write(base::MemberId from, v1::MemberId* to) {
  to->set_ordinal(from.ordinal);
  to->set_incarnation(from.incarnation);
}

absl::Status Read(const v1::MemberId& from, base::MemberId* to) {
  Check check("MemberId");
  check.NonNegative("ordinal", from.ordinal());
  check.NonNegative("incarnation", from.incarnation());
  *to = {from.ordinal(), from.incarnation()};
  return check.status();
}

void Write(const api::SumTag& from, v1::SumTag* to) {
  to->set_step(from.step.value);
  to->set_attempt(from.attempt);
  to->set_exponents(from.exponents);
}

absl::Status Read(const v1::SumTag& from, api::SumTag* to) {
  Check check("SumTag");
  to->step = ReadStep("step", from.step(), &check);
  check.NonNegative("attempt", from.attempt());
  to->attempt = from.attempt();
  to->exponents = from.exponents();
  return check.status();
}

void Write(const api::KeptSums& from, v1::KeptSums* to) {
  Write(from.tag, to->mutable_tag());
  WriteSlots(from.slots, to->mutable_slots());
}

absl::Status Read(const v1::KeptSums& from, api::KeptSums* to) {
  Check check("KeptSums");
  check.Present("tag", from.has_tag());
  check.Nested("tag", Read(from.tag(), &to->tag));
  ReadSlots("slots", from.slots(), &to->slots, &check);
  return check.status();
}

void Write(const api::CheckpointRef& from, v1::CheckpointRef* to) {
  to->set_step(from.step.value);
  to->set_epoch(from.epoch.value);
  to->set_digest(from.digest);
  to->set_time_unix_nanos(from.time.time_since_epoch().count());
}

absl::Status Read(const v1::CheckpointRef& from, api::CheckpointRef* to) {
  Check check("CheckpointRef");
  to->step = ReadStep("step", from.step(), &check);
  to->epoch = base::Epoch(from.epoch());
  to->digest = from.digest();
  to->time = base::WallTime(base::Duration(from.time_unix_nanos()));
  return check.status();
}

}  // namespace muster::wire
