#include "worker/app/job.h"

#include <algorithm>
#include <fstream>

#include "operator/api/training_job_json.h"
#include "worker/checkpoint/durable_file.h"
#include "worker/data/trigram.h"
#include "worker/kernels/family.h"
#include "worker/model/program.h"

namespace muster::app {
namespace {

OpenFailure Fail(api::ExitCode code, const char* reason, const absl::Status& status) {
  return {code, reason, base::Message(status)};
}

std::int64_t ReadNumber(const std::string& path) {
  std::ifstream in(path);
  std::int64_t value = 0;
  return in >> value ? value : 0;
}

std::int64_t MemAvailable() {
  std::ifstream in("/proc/meminfo");
  std::string key, unit;
  for (std::int64_t kib = 0; in >> key >> kib;) {
    std::getline(in, unit);
    if (key == "MemAvailable:") return kib * 1024;
  }
  return 0;
}

// 6 N + 6 L C T a token, N counting all parameters (llm.c's formula); 0 for programs without
// tokens.
double FlopsPerSlot(const api::ProgramSpec& program, std::int64_t parameters) {
  if (program.builtin != api::Builtin::kGpt) return 0;
  const auto& c = program.config;
  const double tokens = static_cast<double>(c.batch) * c.context;
  return tokens * (6.0 * static_cast<double>(parameters) +
                   6.0 * static_cast<double>(c.layers) * c.width * c.context);
}

absl::Status CheckMemory(const api::TrainingJobSpec& spec, const model::Program& program) {
  const std::int64_t needed = train::Trainer::BytesNeeded(spec, program);
  const std::int64_t available = AvailableMemory();
  if (available == 0 || needed <= available) return absl::OkStatus();
  return base::ResourceExhausted(
      "the model does not fit in memory: " + std::to_string(program.layout().parameters) +
      " parameters need " + std::to_string(needed >> 20) + " MiB (state, sums, activations), " +
      std::to_string(available >> 20) +
      " MiB are available; make spec.program.config smaller, or use reduction Exact32 (24 instead "
      "of 32 "
      "bytes a parameter)");
}

absl::Status OpenData(Job& job, const model::Program& program) {
  if (program.sample_tokens() == 0) {
    job.dataset = data::Dataset::WithoutTokens();
    return absl::OkStatus();
  }
  MUSTER_ASSIGN_OR_RETURN(job.dataset, data::Dataset::Open(job.spec.data, program.sample_tokens(),
                                                           job.spec.program.config.vocabulary));
  job.warm.baseline_loss = data::BaselineLoss(*job.dataset);
  return absl::OkStatus();
}

absl::Status Listen(Job& job, const WorkerOptions& options, const runtime::Logger& log) {
  comm::ListenerOptions listen;
  listen.job_uid = options.job_uid;
  listen.token = options.token;
  listen.bind_host = options.bind_host;
  listen.on_refused = [&log](const std::string& sentence) { log.Warning("data-plane", sentence); };
  MUSTER_ASSIGN_OR_RETURN(job.listener, comm::DataListener::Create(std::move(listen)));
  comm::StateServerOptions serve;
  serve.listener = job.listener.get();
  job.server = std::make_unique<comm::StateServer>(serve);
  return absl::OkStatus();
}

}  // namespace

std::int64_t AvailableMemory() {
  std::int64_t available = MemAvailable();
  const std::int64_t limit = ReadNumber("/sys/fs/cgroup/memory.max");
  if (limit > 0) {
    const std::int64_t left = limit - ReadNumber("/sys/fs/cgroup/memory.current");
    available = available == 0 ? left : std::min(available, left);
  }
  return available;
}

std::unique_ptr<Job> OpenJob(const api::Welcome& welcome, const WorkerOptions& options,
                             const TestHooks& hooks, const std::string& build_id,
                             const runtime::Logger& log, OpenFailure& failure) {
  using Code = api::ExitCode;
  auto job = std::make_unique<Job>();
  job->welcome = welcome;
  job->build_id = build_id;
  job->kernel_family = welcome.kernel_family;
  auto spec = api::ParseTrainingJobSpec(welcome.spec_json);
  if (!spec.ok()) {
    failure = Fail(Code::kBadConfiguration, "BadConfiguration", spec.status());
    return nullptr;
  }
  job->spec = *std::move(spec);
  if (auto status = kernels::CheckFamily(welcome.kernel_family); !status.ok()) {
    failure = Fail(Code::kRefused, "KernelFamily", status);
    return nullptr;
  }
  auto program = model::MakeProgram(job->spec.program, options.threads);
  if (!program.ok()) {
    failure = Fail(Code::kBadConfiguration, "BadConfiguration", program.status());
    return nullptr;
  }
  if (auto status = CheckMemory(job->spec, **program); !status.ok()) {
    failure = Fail(Code::kOutOfMemory, "OutOfMemory", status);
    return nullptr;
  }
  if (auto status = OpenData(*job, **program); !status.ok()) {
    failure = Fail(Code::kData, "BadData", status);
    return nullptr;
  }
  if (auto status = Listen(*job, options, log); !status.ok()) {
    failure = Fail(Code::kInternal, "Network", status);
    return nullptr;
  }
  job->warm.parameters = (*program)->layout().parameters;
  job->flops_per_slot = FlopsPerSlot(job->spec.program, job->warm.parameters);
  train::TrainerOptions trainer;
  trainer.spec = job->spec;
  trainer.program = *std::move(program);
  trainer.dataset = job->dataset.get();
  trainer.kernel_family = job->kernel_family;
  trainer.saturate = hooks.saturate_once;
  trainer.audit = welcome.audit;
  if (!welcome.checkpoint_path.empty()) {
    if (auto status = checkpoint::MakeFolder(welcome.checkpoint_path); !status.ok()) {
      failure = Fail(Code::kBadConfiguration, "CheckpointPath", status);
      return nullptr;
    }
    job->step_lines = std::make_unique<StepLines>(welcome.checkpoint_path + "/steps.jsonl");
  }
  job->trainer = std::make_unique<train::Trainer>(std::move(trainer));
  job->warm.address = job->listener->address();
  job->warm.kernel_family = job->kernel_family;
  job->warm.data_digest = job->dataset->digest();
  return job;
}

}  // namespace muster::app
