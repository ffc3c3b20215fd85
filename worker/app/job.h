// Everything a worker has once it knows its job: data, program, state, and where others reach it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "operator/api/messages.h"
#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "operator/runtime/log.h"
#include "worker/app/accelerator.h"
#include "worker/app/options.h"
#include "worker/app/start_weights.h"
#include "worker/app/step_lines.h"
#include "worker/app/test_hooks.h"
#include "worker/comm/listener.h"
#include "worker/comm/state_transfer.h"
#include "worker/data/dataset.h"
#include "worker/model/flops.h"
#include "worker/model/program.h"
#include "worker/train/trainer.h"

namespace muster::app {

// Members are destroyed from the last to the first: who uses comes after what it uses.
struct Job {
  api::Welcome welcome;
  api::TrainingJobSpec spec;
  std::string kernel_family;
  std::string build_id;
  model::ModelFlops flops_per_slot;
  std::unique_ptr<data::Dataset> dataset;
  Accelerator accelerator;
  std::unique_ptr<train::Trainer> trainer;
  StartWeights start_weights;
  std::unique_ptr<StepLines> step_lines;  // null without a checkpoint path
  std::unique_ptr<comm::DataListener> listener;
  std::unique_ptr<comm::StateServer> server;
  api::Warm warm;
};

// Opens the data, counts the memory, makes program and buffers, reads the weights to start from,
// listens: with `tls`, which outlives the job, or in plain text where it is null. Blocking, and
// `progress` grows; null with `failure` filled when it cannot.
// Hears of a peer that was refused, from any thread, one at a time.
using OnRefused = std::function<void(const std::string& sentence)>;

std::unique_ptr<Job> OpenJob(const api::Welcome& welcome, const WorkerOptions& options,
                             const TestHooks& hooks, const std::string& build_id, comm::Tls* tls,
                             const OnRefused& on_refused, std::atomic<std::uint64_t>* progress,
                             const runtime::Logger& log, OpenFailure& failure);

// Bytes that this process may still take: the machine's available memory or what its cgroup has
// left, whichever is less; nullopt when neither can be read. The page cache counts as free: the
// kernel gives it back before it kills anybody.
std::optional<std::int64_t> AvailableMemory(const std::string& proc = "/proc",
                                            const std::string& cgroup = "/sys/fs/cgroup");

// The sentence for a program that needs more bytes than there are; OK when it fits or nothing is
// known.
absl::Status CheckMemory(const api::TrainingJobSpec& spec, const model::Program& program,
                         std::optional<std::int64_t> available);

// The same for the host's memory of a member on a GPU (worker/device/memory.h).
absl::Status CheckHostMemory(std::int64_t needed, std::optional<std::int64_t> available);

}  // namespace muster::app
