// Shared libraries that this program looks for at run time instead of being linked with them.
//
// An absent library is no fault, and one that is there and of no use is: the status code tells the
// two apart. Thread rule: any thread; a library is closed by one, and not used after that.
#pragma once

#include <string>

#include "operator/base/status.h"

namespace muster::loader {

// With the loader's own sentence. NotFound: there is no such file. FailedPrecondition: there is one
// and it cannot be loaded: it is for another machine, say, or what it needs is absent.
absl::StatusOr<void*> Open(const std::string& library);
// Only of a library of which nothing has run that goes on.
void Close(void* library);

// Null when the library has no such function.
void* Address(void* library, const char* function);

// FailedPrecondition, "it has no function NAME".
template <typename Function>
absl::Status Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(Address(library, name));
  if (function != nullptr) return absl::OkStatus();
  return base::FailedPrecondition(std::string("it has no function ") + name);
}

}  // namespace muster::loader
