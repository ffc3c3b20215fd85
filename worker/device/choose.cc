#include "worker/device/choose.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace muster::device {
namespace {

using api::ExitCode;

// "13.0" of 13000.
std::string VersionText(int cuda_version) {
  return std::to_string(cuda_version / 1000) + "." + std::to_string(cuda_version % 1000 / 10);
}

std::string CapabilityText(const Gpu& gpu) {
  return std::to_string(gpu.major) + "." + std::to_string(gpu.minor);
}

// One decimal. What is needed is rounded up and what is there down, so that they never look equal
// when one is too little.
std::string GibText(std::int64_t bytes, bool up) {
  const std::int64_t gib = std::int64_t{1} << 30;
  const std::int64_t tenths = bytes / gib * 10 + (bytes % gib * 10 + (up ? gib - 1 : 0)) / gib;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GiB";
}

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

// The only one, or the one of several that comes nearest.
std::string Nearest(const std::vector<Gpu>& gpus, const Gpu& named, const std::string& which) {
  if (gpus.size() == 1) return "the GPU " + Quoted(named.product);
  return "the " + which + " of " + std::to_string(gpus.size()) + " GPUs, " + Quoted(named.product) +
         ",";
}

Choice SearchGpus(const std::vector<Gpu>& gpus, const ModuleFindings& module, const Needs& needs) {
  const auto newest = std::ranges::max_element(
      gpus, {}, [](const Gpu& gpu) { return std::pair(gpu.major, gpu.minor); });
  if (newest->major < kLeastMajor) {
    return Refusal{ExitCode::kNoDevice, Nearest(gpus, *newest, "newest") +
                                            " has compute capability " + CapabilityText(*newest) +
                                            "; " + std::to_string(kLeastMajor) +
                                            ".0 (A100) or newer is needed"};
  }
  if (const auto* none = std::get_if<NoModule>(&module)) {
    return Refusal{ExitCode::kNoDevice, "the CUDA module cannot be used: " + none->why};
  }
  if (const auto* other = std::get_if<OtherModule>(&module)) {
    return Refusal{ExitCode::kRefused, other->why};
  }
  std::vector<Gpu> able;
  std::ranges::copy_if(gpus, std::back_inserter(able),
                       [](const Gpu& gpu) { return gpu.major >= kLeastMajor; });
  const auto largest = std::ranges::max_element(able, {}, &Gpu::memory_bytes);
  if (largest->memory_bytes < needs.bytes) {
    return Refusal{ExitCode::kOutOfMemory, "the job needs " + GibText(needs.bytes, true) +
                                               " of GPU memory; " +
                                               Nearest(able, *largest, "largest") + " has " +
                                               GibText(largest->memory_bytes, false)};
  }
  std::erase_if(able, [&](const Gpu& gpu) { return gpu.memory_bytes < needs.bytes; });
  auto process = static_cast<std::size_t>(needs.process);
  if (needs.share && !able.empty()) process %= able.size();
  if (process >= able.size()) {
    return Refusal{ExitCode::kNoDevice, "process " + std::to_string(needs.process) +
                                            " of this pod (they count from 0) needs a GPU of its "
                                            "own; this pod has " +
                                            std::to_string(gpus.size()) + ", of which " +
                                            std::to_string(able.size()) + " can be used"};
  }
  const Gpu& gpu = able[process];
  return UseGpu{gpu.ordinal, "GPU " + std::to_string(gpu.ordinal) + ", " + Quoted(gpu.product) +
                                 " with " + GibText(gpu.memory_bytes, false) + ", of which " +
                                 GibText(needs.bytes, true) + " are needed"};
}

// UseCpu: there is no GPU here.
struct SearchDriver {
  const ModuleFindings& module;
  const Needs& needs;

  Choice operator()(const NoDriver& found) const {
    return UseCpu{"there is no NVIDIA driver: " + found.why};
  }
  Choice operator()(const BrokenDriver& found) const {
    return Refusal{ExitCode::kNoDevice, "the NVIDIA driver does not work: " + found.why};
  }
  Choice operator()(const WorkingDriver& found) const {
    if (found.cuda_version < kLeastCudaVersion) {
      return Refusal{ExitCode::kNoDevice, "the NVIDIA driver supports CUDA " +
                                              VersionText(found.cuda_version) + "; CUDA " +
                                              VersionText(kLeastCudaVersion) +
                                              " is needed, which drivers have from 580 on"};
    }
    if (found.gpus.empty()) {
      return UseCpu{
          "the NVIDIA driver shows no GPU: the pod may have asked for none, or "
          "CUDA_VISIBLE_DEVICES hides them"};
    }
    return SearchGpus(found.gpus, module, needs);
  }
};

}  // namespace

Choice Choose(DeviceRequest request, const DriverFindings& driver, const ModuleFindings& module,
              const Needs& needs) {
  if (request == DeviceRequest::kCpu) return UseCpu{"the job asks for the CPU"};
  Choice found = std::visit(SearchDriver{module, needs}, driver);
  const auto* none = std::get_if<UseCpu>(&found);
  if (none == nullptr || request == DeviceRequest::kAuto) return found;
  return Refusal{ExitCode::kNoDevice, none->reason};
}

}  // namespace muster::device
