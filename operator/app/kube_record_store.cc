#include "operator/app/kube_record_store.h"

#include <utility>

namespace muster::app {

using api::PersistOutcome;
using api::Record;

absl::StatusOr<kube::StoredRecord> KubeRecordStore::ReadStored() const {
  MUSTER_ASSIGN_OR_RETURN(const std::string json, client_.Get(kube::kTrainingJobs, job_, call_));
  MUSTER_ASSIGN_OR_RETURN(kube::StoredRecord stored, kube::ReadStoredRecord(json));
  if (stored.uid != uid_) {
    return base::NotFound("job " + kube::ToString(job_) + " has uid " + stored.uid + ", not " +
                          uid_ + ": it was deleted, and another has its name");
  }
  return stored;
}

absl::StatusOr<std::optional<Record>> KubeRecordStore::Read() {
  MUSTER_ASSIGN_OR_RETURN(kube::StoredRecord stored, ReadStored());
  shape_ = stored.shape;
  return std::move(stored.record);
}

PersistOutcome KubeRecordStore::NotKnown(const absl::Status& why) {
  const std::string text = base::Message(why);
  if (log_ != nullptr && text != told_) {
    log_->Warning("record", "cannot tell whether it is written",
                  {{"job", kube::ToString(job_)}, {"error", text}});
  }
  told_ = text;
  return PersistOutcome::kUnknown;
}

PersistOutcome KubeRecordStore::Persist(const std::optional<Record>& expected, const Record& next,
                                        std::optional<Record>* current) {
  absl::Status refused = base::Unavailable("somebody else writes the status all the time");
  for (int tries = 0; tries < kTries; ++tries) {
    if (shape_) {
      const auto patch = kube::MakeRecordPatch(uid_, expected, next, *shape_);
      const auto answer = client_.PatchJson(kube::kTrainingJobs, job_, "status", patch, call_);
      if (kube::OutcomeOf(answer.status()) == PersistOutcome::kOk) {
        // The answer is the whole job: what it holds now is what the next patch meets.
        const auto written = kube::ReadStoredRecord(*answer);
        shape_ = written.ok() ? std::optional(written->shape) : std::nullopt;
        told_.clear();
        return PersistOutcome::kOk;
      }
      refused = answer.status();
      if (kube::OutcomeOf(answer.status()) == PersistOutcome::kUnknown) tries = kTries;
    }
    // Not written, or perhaps: what is there decides. A consistent read.
    const auto stored = ReadStored();
    if (!stored.ok()) {
      *current = std::nullopt;
      return NotKnown(stored.status());
    }
    shape_ = stored->shape;
    // This write, or the first of a retried one, has landed.
    if (stored->record == next) return PersistOutcome::kOk;
    *current = stored->record;
    if (stored->record != expected) return PersistOutcome::kConflict;
  }
  return NotKnown(refused);
}

}  // namespace muster::app
