// CHECK: a bug in Muster ends the process with a sentence. On in production, never used on outside
// input.
#pragma once

#include <string_view>

namespace muster::base {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              std::string_view message);

}  // namespace muster::base

#define MUSTER_CHECK(condition, message)                                    \
  do {                                                                      \
    if (!(condition)) [[unlikely]]                                          \
      ::muster::base::CheckFailed(__FILE__, __LINE__, #condition, message); \
  } while (false)
