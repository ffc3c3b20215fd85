#include "worker/cuda/cudnn_library.h"

#include <dlfcn.h>

#include <cstdio>
#include <type_traits>

#include "worker/cuda/matmul.h"

namespace muster::cuda::cudnn {
namespace {

// Null, or the name of a function that the library lacks.
const char* FindAll(void* library, Functions& f) {
  const char* missing = nullptr;
  const auto find = [&](const char* name, auto& function) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr && missing == nullptr) missing = name;
  };
  find("cudnnGetVersion", f.GetVersion);
  find("cudnnGetLastErrorString", f.GetLastErrorString);
  find("cudnnCreate", f.Create);
  find("cudnnDestroy", f.Destroy);
  find("cudnnSetStream", f.SetStream);
  find("cudnnBackendCreateDescriptor", f.BackendCreateDescriptor);
  find("cudnnBackendDestroyDescriptor", f.BackendDestroyDescriptor);
  find("cudnnBackendSetAttribute", f.BackendSetAttribute);
  find("cudnnBackendGetAttribute", f.BackendGetAttribute);
  find("cudnnBackendFinalize", f.BackendFinalize);
  find("cudnnBackendExecute", f.BackendExecute);
  return missing;
}

}  // namespace

bool Open(const char* library, Functions& functions, MusterCudaText message) {
  void* const opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) {
    const char* const why = dlerror();
    Complain(message, "cuDNN", why != nullptr ? why : library);
    return false;
  }
  char why[256] = "";
  if (const char* missing = FindAll(opened, functions)) {
    std::snprintf(why, sizeof why, "%s has no function %s", library, missing);
  } else if (const auto version = static_cast<std::int64_t>(functions.GetVersion());
             version < kOldest || version >= kNextMajor) {
    std::snprintf(why, sizeof why, "%s has version %lld, %lld or a newer 9 is needed", library,
                  static_cast<long long>(version), static_cast<long long>(kOldest));
  }
  if (why[0] == '\0') return true;
  Complain(message, "cuDNN", why);
  (void)dlclose(opened);
  return false;
}

}  // namespace muster::cuda::cudnn
