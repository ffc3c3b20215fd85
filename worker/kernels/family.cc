#include "worker/kernels/family.h"

#include <cblas.h>

#include <algorithm>

namespace muster::kernels {
namespace {

std::string Joined(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

// OpenBLAS spells some cores in capitals in one place and mixed in another.
std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

const std::vector<std::string>& KnownFamilies() {
  static const std::vector<std::string> known = {"SkylakeX", "Haswell", "Nehalem"};
  return known;
}

}  // namespace

std::vector<std::string> SupportedFamilies() {
  std::vector<std::string> families;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    families.push_back("SkylakeX");
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    families.push_back("Haswell");
  }
  if (__builtin_cpu_supports("sse4.2")) families.push_back("Nehalem");
#endif
  return families;
}

std::string ActiveCore() { return openblas_get_corename(); }

std::string BlasDescription() { return openblas_get_config(); }

void UseOneBlasThread() { openblas_set_num_threads(1); }

std::vector<std::string> FamilyEnvironment(std::string_view family) {
  return {"OPENBLAS_CORETYPE=" + std::string(family), "OPENBLAS_NUM_THREADS=1"};
}

absl::Status CheckFamily(std::string_view family, const std::vector<std::string>& supported,
                         std::string_view active) {
  const std::string name(family);
  if (std::ranges::find(KnownFamilies(), name) == KnownFamilies().end()) {
    return base::InvalidArgument("kernel family '" + name + "' is not known: it is one of " +
                                 Joined(KnownFamilies()));
  }
  if (std::ranges::find(supported, name) == supported.end()) {
    return base::FailedPrecondition("this CPU cannot run kernel family " + name +
                                    (supported.empty()
                                         ? ": it runs none of " + Joined(KnownFamilies())
                                         : ": it runs " + Joined(supported)));
  }
  if (Lower(active) != Lower(name)) {
    return base::FailedPrecondition(
        "OpenBLAS runs " + std::string(active) + " kernels where the job's family is " + name +
        ": the program has to be started with OPENBLAS_CORETYPE=" + name);
  }
  return absl::OkStatus();
}

absl::Status CheckFamily(std::string_view family) {
  MUSTER_RETURN_IF_ERROR(CheckFamily(family, SupportedFamilies(), ActiveCore()));
  if (const int threads = openblas_get_num_threads(); threads != 1) {
    return base::FailedPrecondition(
        "OpenBLAS would use " + std::to_string(threads) +
        " threads a call, which changes bits: start with OPENBLAS_NUM_THREADS=1");
  }
  return absl::OkStatus();
}

}  // namespace muster::kernels
