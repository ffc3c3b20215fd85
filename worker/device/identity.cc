#include "worker/device/identity.h"

namespace muster::device {
namespace {

std::string Shown(const std::string& value) { return value.empty() ? "none" : "\"" + value + "\""; }

}  // namespace

std::optional<std::string> FirstDifference(const Identity& job, const Identity& member) {
  struct Field {
    const char* name;
    std::string job, member;
  };
  const Field fields[] = {
      {"GPU", Shown(job.product), Shown(member.product)},
      {"GPU's number of multiprocessors", std::to_string(job.multiprocessors),
       std::to_string(member.multiprocessors)},
      {"version of CUDA", Shown(job.cuda), Shown(member.cuda)},
      {"version of cuBLAS", Shown(job.cublas), Shown(member.cublas)},
      {"version of cuDNN", Shown(job.cudnn), Shown(member.cudnn)},
      {"version of NCCL", Shown(job.nccl), Shown(member.nccl)},
      {"build id", Shown(job.build_id), Shown(member.build_id)},
  };
  for (const Field& field : fields) {
    if (field.job == field.member) continue;
    return "this member's " + std::string(field.name) + " is " + field.member + ", the job's is " +
           field.job + "; in exact mode they must be the same";
  }
  return std::nullopt;
}

}  // namespace muster::device
