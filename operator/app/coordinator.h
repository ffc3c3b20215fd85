// `muster coordinator`: the coordinator of a one-machine cluster, a child process of `muster run`.
//
// It is told everything by the cluster at the other end of the socket and keeps nothing that it
// could not lose: the record is on disk, the rest is seen again by its successor.
#pragma once

#include <string>

namespace muster::app {

struct CoordinatorOptions {
  std::string socket;               // --socket PATH, the cluster's
  std::string log_format = "text";  // until the cluster says otherwise: text | json
};

// Returns the exit status: 0 when it was told to stop or the cluster is gone, 1 when it cannot
// work, with a sentence on stderr.
int RunCoordinator(const CoordinatorOptions& options);

}  // namespace muster::app
