#include "worker/device/module.h"

#include <dlfcn.h>

namespace muster::device {

std::string ExpectedModuleBuild() { return MUSTER_CUDA_BUILD; }

absl::StatusOr<const MusterCudaModule*> LoadModule(const std::string& path) {
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const error = dlerror();
    return base::NotFound(error == nullptr ? path + " cannot be loaded" : error);
  }
  const auto entry = reinterpret_cast<MusterCudaEntry>(dlsym(handle, MUSTER_CUDA_ENTRY));
  const MusterCudaModule* const module = entry == nullptr ? nullptr : entry();
  if (module == nullptr) {
    return base::FailedPrecondition(path + " is no CUDA module of Muster: it has no function " +
                                    MUSTER_CUDA_ENTRY);
  }
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
