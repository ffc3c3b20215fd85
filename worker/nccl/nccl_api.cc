#include "worker/nccl/nccl_api.h"

namespace muster::nccl {

const char* Name(Code code) {
  switch (code) {
    case Code::kSuccess:
      return "success";
    case Code::kInProgress:
      return "in progress";
    case Code::kRemoteError:
      return "remote error";
    case Code::kSystemError:
      return "system error";
    case Code::kCudaError:
      return "CUDA error";
    case Code::kInternalError:
      return "internal error";
    case Code::kInvalidArgument:
      return "invalid argument";
    case Code::kInvalidUsage:
      return "invalid usage";
    case Code::kTimeout:
      return "timeout";
    case Code::kUnknown:
      return "unknown error";
  }
  return "unknown error";
}

absl::Status ToStatus(const Result& result, const std::string& call) {
  if (result.ok()) return absl::OkStatus();
  std::string text = call + ": " + Name(result.code);
  if (!result.detail.empty()) text += " (" + result.detail + ")";
  switch (result.code) {
    // Another attempt may fare better. NCCL does not say which peer it was.
    case Code::kRemoteError:
    case Code::kSystemError:
    case Code::kTimeout:
    case Code::kInProgress:
      return base::Unavailable(text);
    default:
      return base::Internal(text);
  }
}

}  // namespace muster::nccl
