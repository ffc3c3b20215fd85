#include "worker/app/job.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "operator/api/training_job_json.h"
#include "worker/checkpoint/durable_file.h"
#include "worker/data/trigram.h"
#include "worker/device/memory.h"
#include "worker/kernels/family.h"
#include "worker/train/device_gpt.h"
#include "worker/train/host_engine.h"

namespace muster::app {
namespace {

OpenFailure Fail(api::ExitCode code, const char* reason, const absl::Status& status) {
  return {code, reason, base::Message(status)};
}

// The number after `key` in a file of "key value" lines; of the file's first word without a key.
std::optional<std::int64_t> ReadNumber(const std::string& path, const std::string& key = "") {
  std::ifstream in(path);
  std::string rest;
  for (std::string word; key.empty() || in >> word; std::getline(in, rest)) {
    if (word != key) continue;
    std::int64_t value = 0;
    return in >> value ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

// Every slot is a whole one: batch x context tokens.
model::ModelFlops FlopsPerSlot(const api::ProgramSpec& program) {
  const model::ModelFlops token = model::FlopsPerToken(program);
  const double tokens = static_cast<double>(program.config.batch) * program.config.context;
  return {tokens * token.llmc, tokens * token.palm};
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

absl::Status Listen(Job& job, const WorkerOptions& options, comm::Tls* tls,
                    const OnRefused& on_refused) {
  comm::ListenerOptions listen;
  listen.job_uid = options.job_uid;
  listen.token = options.token;
  listen.bind_host = options.bind_host;
  listen.tls = tls;
  listen.on_refused = on_refused;
  MUSTER_ASSIGN_OR_RETURN(job.listener, comm::DataListener::Create(std::move(listen)));
  comm::StateServerOptions serve;
  serve.listener = job.listener.get();
  job.server = std::make_unique<comm::StateServer>(serve);
  return absl::OkStatus();
}

// What the job computes on, with memory enough there. False with `failure` filled.
bool TakeDevice(Job& job, const model::Program& program, const WorkerOptions& options,
                const runtime::Logger& log, OpenFailure& failure) {
  AcceleratorRequest request;
  request.spec = job.spec;
  request.parameters = program.layout().parameters;
  request.process = options.process;
  request.share_gpus = options.share_gpus;
  request.module_path = ModulePath(options.cuda_module);
  request.module_named = !options.cuda_module.empty();
  request.end = [&log](api::ExitCode code, const std::string& sentence) {
    log.Error("device", sentence);
    _exit(static_cast<int>(code));  // destructors would wait for a device that does not answer
  };
  AcceleratorChoice choice = TakeAccelerator(request);
  if (choice.refusal) {
    failure = {choice.refusal->code, "NoDevice", choice.refusal->sentence};
    return false;
  }
  job.accelerator = std::move(choice.taken);
  job.accelerator.reason = choice.reason;
  const absl::Status fits =
      job.accelerator.context == nullptr
          ? CheckMemory(job.spec, program, AvailableMemory())
          : CheckHostMemory(
                device::CountHostBytes(program.layout().parameters, job.spec.training.reduction,
                                       job.accelerator.link == nullptr),
                AvailableMemory());
  if (!fits.ok()) failure = Fail(api::ExitCode::kOutOfMemory, "OutOfMemory", fits);
  return fits.ok();
}

std::unique_ptr<train::Engine> MakeEngine(Job& job, std::unique_ptr<model::Program> program,
                                          const WorkerOptions& options, const runtime::Logger& log,
                                          OpenFailure& failure) {
  if (job.accelerator.context == nullptr) {
    return train::MakeHostEngine(job.spec, std::move(program), job.kernel_family);
  }
  device::Context& context = *job.accelerator.context;
  std::string products;
  train::DeviceGptOptions of_gpt;
  of_gpt.graphs = options.cuda_graphs;
  of_gpt.warn = [&log](const std::string& sentence) { log.Warning("device", sentence); };
  auto gpt =
      train::MakeDeviceGpt(context, job.spec.program.config, std::move(program), of_gpt, &products);
  if (!gpt.ok()) {
    const bool asked_wrongly = absl::IsInvalidArgument(gpt.status());
    failure = asked_wrongly
                  ? Fail(api::ExitCode::kBadConfiguration, "BadConfiguration", gpt.status())
                  : Fail(api::ExitCode::kNoDevice, "NoDevice", gpt.status());
    return nullptr;
  }
  if (job.spec.training.reduction != api::Reduction::kFloat) {
    job.accelerator.description += ", " + products;
  }
  return train::MakeDeviceEngine(job.spec, context, *std::move(gpt));
}

}  // namespace

std::optional<std::int64_t> AvailableMemory(const std::string& proc, const std::string& cgroup) {
  std::optional<std::int64_t> available = ReadNumber(proc + "/meminfo", "MemAvailable:");
  if (available) *available *= 1024;
  // "max" is no number: then the group has no limit of its own.
  const auto limit = ReadNumber(cgroup + "/memory.max");
  const auto current = ReadNumber(cgroup + "/memory.current");
  if (limit && current) {
    const std::int64_t cache = ReadNumber(cgroup + "/memory.stat", "inactive_file").value_or(0) +
                               ReadNumber(cgroup + "/memory.stat", "active_file").value_or(0);
    const std::int64_t left = std::max<std::int64_t>(*limit - *current + cache, 0);
    available = std::min(available.value_or(left), left);
  }
  return available;
}

absl::Status CheckMemory(const api::TrainingJobSpec& spec, const model::Program& program,
                         std::optional<std::int64_t> available) {
  const std::int64_t needed = train::HostBytesNeeded(spec, program);
  if (!available || needed <= *available) return absl::OkStatus();
  const std::string smaller =
      spec.training.reduction == api::Reduction::kExact64
          ? ", or use reduction Exact32 (24 instead of 32 bytes a parameter)"
          : "";
  return base::ResourceExhausted(
      "the model does not fit in memory: " + std::to_string(program.layout().parameters) +
      " parameters need " + std::to_string(needed >> 20) + " MiB (state, sums, activations), " +
      std::to_string(*available >> 20) + " MiB are available; make spec.program.config smaller" +
      smaller);
}

absl::Status CheckHostMemory(std::int64_t needed, std::optional<std::int64_t> available) {
  if (!available || needed <= *available) return absl::OkStatus();
  return base::ResourceExhausted(
      "the state does not fit in the memory beside the GPU: copies of it and of the ring's sums "
      "need " +
      std::to_string(needed >> 20) + " MiB, " + std::to_string(*available >> 20) +
      " MiB are available; give the worker more memory, or use spec.training.transport nccl, "
      "which needs no copies of the sums");
}

std::unique_ptr<Job> OpenJob(const api::Welcome& welcome, const WorkerOptions& options,
                             const TestHooks& hooks, const std::string& build_id, comm::Tls* tls,
                             const OnRefused& on_refused, std::atomic<std::uint64_t>* progress,
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
  if (!TakeDevice(*job, **program, options, log, failure)) return nullptr;
  if (auto status = OpenData(*job, **program); !status.ok()) {
    failure = Fail(Code::kData, "BadData", status);
    return nullptr;
  }
  if (auto status = Listen(*job, options, tls, on_refused); !status.ok()) {
    failure = Fail(Code::kInternal, "Network", status);
    return nullptr;
  }
  job->warm.parameters = (*program)->layout().parameters;
  job->flops_per_slot = FlopsPerSlot(job->spec.program);
  auto engine = MakeEngine(*job, *std::move(program), options, log, failure);
  if (engine == nullptr) return nullptr;
  train::TrainerOptions trainer;
  trainer.spec = job->spec;
  trainer.engine = std::move(engine);
  trainer.dataset = job->dataset.get();
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
  job->start_weights = StartWeights(job->spec.program, welcome.start_weights_digest);
  if (!job->start_weights.Agree(*job->trainer, progress, failure)) return nullptr;
  log.Info("device", "computes on " + job->accelerator.description,
           {{"why", job->accelerator.reason}});
  job->warm.address = job->listener->address();
  job->warm.kernel_family = job->kernel_family;
  job->warm.data_digest = job->dataset->digest();
  job->warm.device = job->accelerator.description;
  job->warm.start_weights_digest = job->start_weights.told();
  return job;
}

}  // namespace muster::app
