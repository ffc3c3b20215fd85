#include "worker/loader/loader.h"

#include <dlfcn.h>

namespace muster::loader {
namespace {

// Only the sentence tells, since the loader alone knows where it looked. It begins with the file
// that is absent: where that is another one, this one needs it.
bool IsAbsent(const std::string& library, const std::string& sentence) {
  return sentence.starts_with(library + ": ") && sentence.ends_with("No such file or directory");
}

}  // namespace

absl::StatusOr<void*> Open(const std::string& library) {
  void* const handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle != nullptr) return handle;
  const char* const error = ::dlerror();
  const std::string sentence = error == nullptr ? library + " cannot be loaded" : error;
  if (IsAbsent(library, sentence)) return base::NotFound(sentence);
  return base::FailedPrecondition(sentence);
}

void Close(void* library) { (void)::dlclose(library); }

void* Address(void* library, const char* function) { return ::dlsym(library, function); }

}  // namespace muster::loader
