#include "operator/base/status.h"

#include <cstring>

namespace muster::base {

std::string ErrnoText(int error) {
  return std::string(std::strerror(error)) + " (errno " + std::to_string(error) + ")";
}

}  // namespace muster::base
