// What happens once the record names a checkpoint: a copy of that beside the data, and deletions.
//
// Blocking I/O. Several members may do it at once and a crash may cut it short at any point: the
// record stays the truth, and the next call completes it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/api/view.h"
#include "operator/base/status.h"

namespace muster::checkpoint {

// What latest.json says: the newest committed checkpoint and all that are kept, newest first.
struct Latest {
  api::CheckpointRef checkpoint;
  std::vector<api::CheckpointRef> kept;
  friend bool operator==(const Latest&, const Latest&) = default;
};

// Writes DIR/latest.json, then deletes the step folders that `kept` does not name and whose step is
// not above the committed one (a later one may be in the making). Everything that is not ours is
// untouched. `checkpoint` counts as kept whether `kept` names it or not.
absl::Status PublishCheckpoint(const std::string& dir, const api::CheckpointRef& checkpoint,
                               const std::vector<api::CheckpointRef>& kept);

// nullopt when DIR has no latest.json: no checkpoint was ever committed there.
absl::StatusOr<std::optional<Latest>> ReadLatest(const std::string& dir);

}  // namespace muster::checkpoint
