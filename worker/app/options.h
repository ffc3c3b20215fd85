// How a worker is told who it is: environment variables only, set by whoever started the pod.
// All of the job's settings come later, in the coordinator's welcome: one source of truth.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/status.h"

namespace muster::app {

struct WorkerOptions {
  std::string job_uid;                    // MUSTER_JOB_UID
  std::string job_name;                   // MUSTER_JOB_NAME
  base::MemberId member;                  // MUSTER_MEMBER, ORDINAL.INCARNATION
  std::string token;                      // MUSTER_TOKEN, or:
  std::string token_file;                 // MUSTER_TOKEN_FILE, read anew for each stream
  std::string ca_file;                    // MUSTER_CA_FILE: TLS, and whom to believe; empty: none
  std::vector<std::string> coordinators;  // MUSTER_COORDINATOR, comma-separated HOST:PORT
  std::string node;                       // MUSTER_NODE
  std::string bind_host = "127.0.0.1";    // MUSTER_BIND: where the data plane listens
  int metrics_port = -1;                  // MUSTER_METRICS_PORT; -1: none, 0: any free one
  int threads = 1;                        // MUSTER_THREADS: for the program's kernels
  int process = 0;                        // MUSTER_PROCESS: of the pod's, from 0; each has its GPU
  int parent_fd = -1;                     // MUSTER_PARENT_FD (worker/parent/children.h); -1: none
  std::string cuda_module;                // MUSTER_CUDA_MODULE; empty: beside the program
  bool cuda_graphs = true;                // MUSTER_CUDA_GRAPHS=0: each kernel is launched by itself
  bool share_gpus = false;  // MUSTER_SHARE_GPUS=1: several processes on one, for tests
  std::string test_hooks;   // MUSTER_TEST_HOOKS (test_hooks.h); empty in production
};

// `get` returns the variable's value, or null when it is not set. InvalidArgument names the
// variable, its value and what is allowed.
absl::StatusOr<WorkerOptions> ReadWorkerOptions(const std::function<const char*(const char*)>& get);

}  // namespace muster::app
