// See disk.h.
#include "tests/sim/disk.h"

#include <algorithm>

namespace muster::sim {

bool Names(const api::RecordedView& view, base::MemberId member) {
  return std::find(view.members.begin(), view.members.end(), member) != view.members.end();
}

bool Disk::Land(const std::optional<api::Record>& expected, const api::Record& next) {
  if (record_ != expected) return false;
  if (record_) {
    if (next.term < record_->term) world_.Violation("the record's term went back (M1)");
    if (next.newest.epoch < record_->newest.epoch)
      world_.Violation("the record's epoch went back (M1)");
    const auto& before = record_->checkpoint;
    const bool back = before && (!next.checkpoint || next.checkpoint->step < before->step);
    if (back && !Damaged(before->digest)) {
      world_.Violation("the record's checkpoint went back (M14)");
    }
    if (record_->result && next.result != record_->result)
      world_.Violation("the result changed (M12)");
    for (const api::RecordedView* view : {&record_->newest, &record_->previous}) {
      for (base::MemberId m : view->members) {
        if (!Names(next.newest, m) && !Names(next.previous, m)) unnamed_.emplace(m, world_.now());
      }
    }
  }
  record_ = next;
  world_.Trace([&] {
    std::string text = "disk: term " + std::to_string(next.term.value) + " epoch " +
                       std::to_string(next.newest.epoch.value) + " [";
    for (base::MemberId m : next.newest.members) text += " " + base::ToString(m);
    text += " ] before [";
    for (base::MemberId m : next.previous.members) text += " " + base::ToString(m);
    text += " ]";
    if (next.checkpoint) text += " checkpoint " + std::to_string(next.checkpoint->step.value);
    return text;
  });
  return true;
}

void Disk::DamageNewest() {
  if (record_ && record_->checkpoint) damaged_.insert(record_->checkpoint->digest);
}

void Disk::AppendLines(const std::set<std::int64_t>& remembered, std::int64_t step) {
  const std::int64_t last = lines_.empty() ? 0 : lines_.back();
  for (auto it = remembered.upper_bound(last); it != remembered.end() && *it <= step; ++it) {
    lines_.push_back(*it);
  }
}

void Disk::Written(const std::string& digest, const ModelState& state) {
  manifests[digest] = state;
  damaged_.erase(digest);
}

std::optional<base::Time> Disk::UnnamedSince(base::MemberId member) const {
  auto it = unnamed_.find(member);
  if (it == unnamed_.end()) return std::nullopt;
  return it->second;
}

void Disk::Persist(std::optional<api::Record> expected, api::Record next, Answer answer) {
  world_.AfterMicros(
      500, 8000,
      [this, expected = std::move(expected), next = std::move(next), answer = std::move(answer)] {
        using api::PersistOutcome;
        if (!world_.Chance(0.03)) {
          const bool ok = Land(expected, next);
          world_.AfterMicros(100, 2000, [this, ok, answer] {
            answer(ok ? PersistOutcome::kOk : PersistOutcome::kConflict, record_);
          });
          return;
        }
        // The answer is lost; the write has landed, never lands, or lands after the question was
        // given up.
        const std::uint64_t fate = world_.Below(3);
        if (fate == 0) Land(expected, next);
        if (fate == 1)
          world_.AfterMicros(1000, 300000, [this, expected, next] { Land(expected, next); });
        world_.AfterMicros(1000, 50000,
                           [this, answer] { answer(PersistOutcome::kUnknown, record_); });
      });
}

}  // namespace muster::sim
