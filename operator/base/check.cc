#include "operator/base/check.h"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace muster::base {

void CheckFailed(const char* file, int line, const char* condition, std::string_view message) {
  const std::string text = std::string("CHECK failed at ") + file + ":" + std::to_string(line) +
                           ": " + condition + ": " + std::string(message) + "\n";
  std::fputs(text.c_str(), stderr);
  std::abort();
}

}  // namespace muster::base
