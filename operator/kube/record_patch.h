// The record's compare-and-swap on Kubernetes: a JSON Patch on the status subresource, and what the
// answer means (M1, design: the record on Kubernetes). Pure.
//
// The record lives in status.membership, status.checkpoint, status.result and status.kernelFamily;
// nothing else writes these. The patch tests the job's UID (a job that was deleted and made again
// is another job) and the term, epoch and nonce of the record that is expected; a nonce is new with
// each write. So it neither needs nor changes what else the status says, and a status written in
// between by the reconcile does not disturb it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/api/view.h"
#include "operator/base/status.h"
#include "operator/kube/client.h"

namespace muster::kube {

// What the job looked like when it was read last: a patch that adds needs to know what is there.
struct StatusShape {
  bool has_status = false;
  bool has_checkpoint = false;
  bool has_result = false;
  bool has_kernel_family = false;
  friend bool operator==(const StatusShape&, const StatusShape&) = default;
};

struct StoredRecord {
  std::string uid;                    // of the job
  std::optional<api::Record> record;  // none: nothing is persisted yet
  StatusShape shape;
  friend bool operator==(const StoredRecord&, const StoredRecord&) = default;
};
// From a whole TrainingJob. FailedPrecondition: a record of another protocol version, by name.
absl::StatusOr<StoredRecord> ReadStoredRecord(std::string_view job_json);

// All or nothing: `next` in place of `expected`, on the job of this UID. `shape` is of the same
// read as `expected`; a wrong one fails the patch and does no harm.
std::vector<PatchOperation> MakeRecordPatch(const std::string& uid,
                                            const std::optional<api::Record>& expected,
                                            const api::Record& next, const StatusShape& shape);

// What an answer to the patch says before anything is read again.
//   kOk        it is written
//   kConflict  it is not: a test did not hold, or the job is gone
//   kUnknown   it may be written, now or later; or it was refused for a reason that is no conflict
api::PersistOutcome OutcomeOf(const absl::Status& answer);

}  // namespace muster::kube
