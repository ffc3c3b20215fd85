#include "worker/app/accelerator.h"

#include <filesystem>
#include <utility>
#include <variant>

#include "operator/api/device_line.h"
#include "worker/device/driver.h"
#include "worker/device/identity.h"
#include "worker/device/memory.h"
#include "worker/device/module.h"
#include "worker/device/peak.h"
#include "worker/train/device_gpt.h"

namespace muster::app {
namespace {

using api::ExitCode;

device::Refusal Refuse(ExitCode code, const absl::Status& status) {
  return {code, base::Message(status)};
}

// The members of one job have one of these: other hardware or other libraries may give other bits.
// Without the contract only what they exchange has to fit.
std::string Describe(const device::Gpu& gpu, const MusterCudaModule& module,
                     const Accelerator& taken, api::Reduction reduction) {
  const std::string sums =
      ", " + (taken.link == nullptr ? "sums by ring" : std::string(api::kSumsByNccl));
  if (reduction == api::Reduction::kFloat) return "gpu" + sums;
  device::Identity identity;
  identity.product = gpu.product;
  identity.multiprocessors = gpu.multiprocessors;
  identity.cuda = std::to_string(module.cuda_version / 1000) + "." +
                  std::to_string(module.cuda_version % 1000 / 10);
  if (taken.library != nullptr) identity.nccl = taken.library->VersionText();
  identity.build_id = module.build;
  return device::ToText(identity) + sums;
}

// NCCL over a stream of its own: nothing else may be put on one while a group is being enqueued, and
// sums are reduced while slots are computed. Null and OK: `auto`, and there is no NCCL here.
absl::Status TakeNccl(const AcceleratorRequest& request, const MusterCudaModule& module,
                      Accelerator& taken, std::string& reason) {
  const api::Transport transport = request.spec.training.transport;
  if (transport == api::Transport::kRing) return absl::OkStatus();
  auto library = nccl::Library::Load({});
  if (!library.ok()) {
    if (transport == api::Transport::kNccl) return library.status();
    reason += "; sums go by the ring: " + base::Message(library.status());
    return absl::OkStatus();
  }
  taken.library = *std::move(library);
  const MusterCudaRuntime& r = module.runtime;
  taken.api = taken.library->MakeApi({r.event_record, r.event_query, r.stream_wait,
                                      r.device_synchronise, r.get_last_error, r.error_string});
  taken.reduces = device::Stream(*taken.context);
  taken.done = device::Event(*taken.context);
  nccl::NcclOptions options;
  options.api = taken.api.get();
  options.stream = {taken.reduces.value()};
  options.copies = {taken.context->copies()};
  options.done = {taken.done.value()};
  options.bind_device = [context = taken.context.get()] { return context->Bind(); };
  options.expired = [end = request.end](const std::string& sentence) {
    end(ExitCode::kWatchdog, sentence);
  };
  MUSTER_ASSIGN_OR_RETURN(auto communicator, nccl::NcclCommunicator::Create(std::move(options)));
  taken.link = std::make_unique<nccl::Link>(std::move(communicator));
  reason += "; sums go by NCCL " + taken.library->VersionText();
  return absl::OkStatus();
}

AcceleratorChoice TakeGpu(const AcceleratorRequest& request, const MusterCudaModule& module,
                          const device::Gpu& gpu, const std::string& reason) {
  AcceleratorChoice choice;
  choice.reason = reason;
  auto context = device::Context::Create(
      module, gpu.ordinal, [end = request.end](const auto& why) { end(ExitCode::kNoDevice, why); });
  if (!context.ok()) {
    choice.refusal = Refuse(ExitCode::kNoDevice, context.status());
    return choice;
  }
  choice.taken.context = *std::move(context);
  if (const auto status = TakeNccl(request, module, choice.taken, choice.reason); !status.ok()) {
    choice.refusal = Refuse(ExitCode::kNoDevice, status);
    return choice;
  }
  choice.taken.peak_flops = device::PeakFlops(gpu.product);
  choice.taken.description = Describe(gpu, module, choice.taken, request.spec.training.reduction);
  return choice;
}

// On the CPU; `nccl` cannot be had there.
AcceleratorChoice TakeCpu(const AcceleratorRequest& request, const std::string& reason) {
  AcceleratorChoice choice;
  choice.reason = reason;
  if (request.spec.training.transport == api::Transport::kNccl) {
    choice.refusal =
        device::Refusal{ExitCode::kNoDevice,
                        "spec.training.transport is nccl, which needs a GPU, and this member "
                        "computes on the CPU: " +
                            reason + "; allowed here: auto or ring"};
  }
  return choice;
}

}  // namespace

std::string ModulePath(const std::string& asked) {
  if (!asked.empty()) return asked;
  std::error_code failed;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed);
  return (program.parent_path().parent_path() / "lib" / "libmuster_cuda.so").string();
}

AcceleratorChoice TakeAccelerator(const AcceleratorRequest& request) {
  if (request.spec.program.config.device == api::DeviceRequest::kCpu) {
    return TakeCpu(request, "spec.program.config.device is cpu");
  }
  if (request.spec.program.builtin != api::Builtin::kGpt) {
    return TakeCpu(request, "only the builtin gpt runs on GPUs");
  }
  // Built or packed without CUDA: then a GPU of this machine is nothing that is broken.
  std::error_code unreadable;
  if (request.spec.program.config.device == api::DeviceRequest::kAuto && !request.module_named &&
      !std::filesystem::exists(request.module_path, unreadable)) {
    return TakeCpu(request,
                   "this installation has no CUDA module: there is no " + request.module_path);
  }
  const device::DriverFindings driver = device::LookForGpus();
  const auto loaded = device::LoadModule(request.module_path);
  device::Needs needs;
  needs.process = request.process;
  needs.share = request.share_gpus;
  absl::Status cannot_count;
  if (loaded.ok()) {
    const auto slot = train::DeviceGptBytes(**loaded, request.spec.program.config);
    cannot_count = slot.status();
    if (slot.ok()) {
      needs.bytes =
          device::CountDeviceBytes(request.parameters, request.spec.training.reduction, *slot)
              .total();
    }
  }
  const device::Choice choice =
      device::Choose(request.spec.program.config.device, driver, device::FindingOf(loaded), needs);
  if (const auto* refusal = std::get_if<device::Refusal>(&choice)) {
    AcceleratorChoice refused;
    refused.refusal = *refusal;
    return refused;
  }
  if (const auto* cpu = std::get_if<device::UseCpu>(&choice)) return TakeCpu(request, cpu->reason);
  if (!cannot_count.ok()) {
    AcceleratorChoice refused;
    refused.refusal = Refuse(ExitCode::kBadConfiguration, cannot_count);
    return refused;
  }
  const auto& use = std::get<device::UseGpu>(choice);
  for (const device::Gpu& gpu : std::get<device::WorkingDriver>(driver).gpus) {
    if (gpu.ordinal == use.ordinal) return TakeGpu(request, **loaded, gpu, use.reason);
  }
  return TakeCpu(request, use.reason);  // not reached: what was chosen is one of them
}

}  // namespace muster::app
