// The one-machine cluster: holds the job object, the processes and the state directory, and decides
// nothing.
//
// It is what Kubernetes is to the operator: pods are processes, nodes are groups of them, and the
// coordinator (a child of its own, restarted when it dies) reaches it by list, watch, create,
// delete and status writes over a Unix socket. Create() does all that can be refused with a
// sentence; Run() blocks on the caller's thread, which must outlive it because children die with
// the thread that started them (PR_SET_PDEATHSIG). on_event is called on that thread and must not
// block. Drain() and EndNow() may be called from any thread and from signal handlers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "operator/local/events.h"
#include "operator/local/fault.h"

namespace muster::local {

struct Programs {
  std::string muster;         // absolute path; run as `muster coordinator --socket PATH`
  std::string muster_worker;  // absolute path
};

struct ClusterOptions {
  api::TrainingJob job;   // validated; the uid is taken from the state directory or made new
  std::string state_dir;  // created when absent
  // True: --state-dir was given, so a relative or absolute checkpoint.path is inside it. False: an
  // absolute checkpoint.path is used as it is.
  bool state_dir_wins = true;
  Programs programs;
  std::int32_t nodes = 1;     // --nodes K: pods are spread over node-0 .. node-(K-1) by ordinal
  std::vector<Fault> faults;  // --kill, --stop, --term, --join, --scale
  std::string audit_file;     // empty: none
  int metrics_port = -1;      // of the coordinator's HTTP endpoint; -1: none, 0: any free one
  std::string log_format = "text";  // text | json; passed on to coordinator and workers
  std::function<void(const LocalEvent&)> on_event;
};

enum class Ending {
  kSucceeded,
  kFailed,   // the Failed condition of `status` has reason and message
  kDrained,  // Drain() was asked for and the state is committed; the same command resumes
  kEnded,    // EndNow() was asked for
};

struct Outcome {
  Ending ending = Ending::kEnded;
  api::TrainingJobStatus status;            // the last one written; all rescales
  std::vector<std::string> unfired_faults;  // texts of faults that never fired
};

class LocalCluster {
 public:
  // FailedPrecondition: in use by a live run (names its pid), or the directory of another job
  // (names what differs). InvalidArgument: what one machine cannot do. Otherwise a sentence about
  // the system call.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Create(ClusterOptions options);
  ~LocalCluster();
  LocalCluster(const LocalCluster&) = delete;
  LocalCluster& operator=(const LocalCluster&) = delete;

  // Trains until the job has ended; no process of it is left when this returns.
  absl::StatusOr<Outcome> Run();

  // Finish the step, commit the state, stop. Returns at once; Run() returns kDrained.
  void Drain();
  // Kill everything now. Run() returns kEnded.
  void EndNow();

  const std::string& state_dir() const;
  const std::string& checkpoint_dir() const;
  // True when the state directory already held a committed checkpoint of this job.
  bool resumes() const;

 private:
  class Impl;
  explicit LocalCluster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::local
