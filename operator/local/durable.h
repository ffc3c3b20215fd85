// Files that are on the disk when a call returns: what Persist and the state directory stand on
// (M1).
//
// No state; one thread at a time for one path.
#pragma once

#include <string>
#include <string_view>

#include "operator/base/status.h"

namespace muster::local {

// Makes `path`, or empties it, writes and syncs. A failure leaves what was written so far.
absl::Status WriteSynced(const std::string& path, std::string_view content);

// The names in it: a file that was linked, renamed or removed there survives a loss of power.
absl::Status SyncFolder(const std::string& folder);

// Whole or not at all: a temporary beside it, synced, renamed over it, and the folder synced.
absl::Status ReplaceFile(const std::string& path, std::string_view content);

}  // namespace muster::local
