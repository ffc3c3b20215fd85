#include "worker/device/identity.h"

namespace muster::device {

std::string ToText(const Identity& identity) {
  std::string text = "gpu \"" + identity.product + "\" of " +
                     std::to_string(identity.multiprocessors) + " multiprocessors";
  const auto add = [&text](const char* name, const std::string& version) {
    if (!version.empty()) text += ", " + std::string(name) + " " + version;
  };
  add("CUDA", identity.cuda);
  add("cuBLAS", identity.cublas);
  add("cuDNN", identity.cudnn);
  add("NCCL", identity.nccl);
  add("build", identity.build_id);
  return text;
}

}  // namespace muster::device
