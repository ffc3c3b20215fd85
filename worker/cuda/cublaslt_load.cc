// How cuBLASLt is found at run time, and its functions in it.
#include <dlfcn.h>

#include <cstdio>

#include "worker/cuda/cublaslt.h"
#include "worker/cuda/cublaslt_abi.h"

namespace muster::cuda::cublaslt {
namespace {

template <typename F>
void FindFunction(void* library, const char* name, F& function, const char*& missing) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (function == nullptr && missing == nullptr) missing = name;
}

// Null, or the name of a function that the library lacks.
const char* FindFunctions(void* library, Functions& f) {
  const char* missing = nullptr;
#define FIND(name) FindFunction(library, "cublasLt" #name, f.name, missing)
  FIND(GetVersion);
  FIND(Create);
  FIND(Destroy);
  FIND(MatmulDescCreate);
  FIND(MatmulDescDestroy);
  FIND(MatmulDescSetAttribute);
  FIND(MatrixLayoutCreate);
  FIND(MatrixLayoutDestroy);
  FIND(MatmulPreferenceCreate);
  FIND(MatmulPreferenceDestroy);
  FIND(MatmulPreferenceSetAttribute);
  FIND(MatmulAlgoGetHeuristic);
  FIND(MatmulAlgoInit);
  FIND(MatmulAlgoConfigSetAttribute);
  FIND(MatmulAlgoConfigGetAttribute);
  FIND(MatmulAlgoCheck);
  FIND(Matmul);
#undef FIND
  return missing;
}

}  // namespace

std::int32_t Load(const char* name, Functions& call, void** handle, MusterCudaText message) {
  void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    return Complain(message, "cuBLASLt", why != nullptr ? why : name);
  }
  char why[256] = "";
  if (const char* missing = FindFunctions(library, call)) {
    std::snprintf(why, sizeof why, "%s has no function %s", name, missing);
  } else if (const std::size_t version = call.GetVersion();
             version < static_cast<std::size_t>(kCublasLtOldest)) {
    std::snprintf(why, sizeof why, "%s has version %zu, %lld or newer is needed", name, version,
                  static_cast<long long>(kCublasLtOldest));
  } else if (const int status = call.Create(handle); status != kSuccess) {
    std::snprintf(why, sizeof why, "cublasLtCreate returned status %d", status);
  }
  if (why[0] == '\0') return 0;
  (void)dlclose(library);
  return Complain(message, "cuBLASLt", why);
}

}  // namespace muster::cuda::cublaslt
