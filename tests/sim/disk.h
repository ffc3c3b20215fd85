// What survives everybody: the record, written by compare-and-swap (M1) with answers that may be
// lost and writes that may land late; and the checkpoints' manifests.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operator/api/view.h"
#include "tests/sim/numbers.h"
#include "tests/sim/world.h"

namespace muster::sim {

class Disk {
 public:
  using Answer = std::function<void(api::PersistOutcome, std::optional<api::Record>)>;

  explicit Disk(World& world) : world_(world) {}

  void Persist(std::optional<api::Record> expected, api::Record next, Answer answer);
  const std::optional<api::Record>& record() const { return record_; }
  // When a member was last named by the record; none: it still is, or never was.
  std::optional<base::Time> UnnamedSince(base::MemberId member) const;

  // What the newest checkpoint of the record names cannot be read until it is written again.
  void DamageNewest();
  bool Damaged(const std::string& digest) const { return damaged_.contains(digest); }
  void Written(const std::string& digest, const ModelState& state);

  // steps.jsonl (worker/app/step_lines.h): the remembered lines up to `step` that come after its last.
  void AppendLines(const std::set<std::int64_t>& remembered, std::int64_t step);
  const std::vector<std::int64_t>& lines() const { return lines_; }

  std::map<std::string, ModelState> manifests;  // by digest

 private:
  bool Land(const std::optional<api::Record>& expected, const api::Record& next);

  World& world_;
  std::optional<api::Record> record_;
  std::map<base::MemberId, base::Time> unnamed_;
  std::set<std::string> damaged_;  // digests
  std::vector<std::int64_t> lines_;
};

bool Names(const api::RecordedView& view, base::MemberId member);

}  // namespace muster::sim
