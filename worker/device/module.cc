#include "worker/device/module.h"

#include "worker/loader/loader.h"

namespace muster::device {

std::string ExpectedModuleBuild() { return MUSTER_CUDA_BUILD; }

absl::StatusOr<const MusterCudaModule*> LoadModule(const std::string& path) {
  const auto opened = loader::Open(path);
  // Whether it is absent makes no difference here: in both cases no build can be compared.
  if (!opened.ok()) return base::NotFound(base::Message(opened.status()));
  MusterCudaEntry entry = nullptr;
  MUSTER_RETURN_IF_ERROR(base::Annotate(loader::Find(*opened, MUSTER_CUDA_ENTRY, entry),
                                        path + " is no CUDA module of Muster"));
  const MusterCudaModule* const module = entry();
  // Before anything else of the table is looked at.
  if (module->interface_version != MUSTER_CUDA_INTERFACE) {
    return base::FailedPrecondition(
        "the CUDA module has interface " + std::to_string(module->interface_version) +
        ", this program speaks " + std::to_string(MUSTER_CUDA_INTERFACE) + ": " + path);
  }
  if (module->build != ExpectedModuleBuild()) {
    return base::FailedPrecondition("the CUDA module is of build \"" + std::string(module->build) +
                                    "\", this program needs \"" + ExpectedModuleBuild() +
                                    "\": " + path);
  }
  return module;
}

ModuleFindings FindingOf(const absl::StatusOr<const MusterCudaModule*>& loaded) {
  if (loaded.ok()) return RightModule{(*loaded)->architectures};
  if (absl::IsNotFound(loaded.status())) return NoModule{base::Message(loaded.status())};
  return OtherModule{base::Message(loaded.status())};
}

}  // namespace muster::device
