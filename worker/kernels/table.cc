#include "worker/kernels/table.h"

#include <array>

#include "worker/kernels/variants.h"

namespace muster::kernels {
namespace {

#if defined(__x86_64__)
constexpr std::array<const Kernels*, 3> kTables = {&kScalarKernels, &kAvx2Kernels, &kAvx512Kernels};

std::size_t CountSupported() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2")) return 1;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx512 ? 3 : 2;
}
#else
constexpr std::array<const Kernels*, 1> kTables = {&kScalarKernels};

std::size_t CountSupported() { return 1; }
#endif

}  // namespace

std::span<const Kernels* const> SupportedKernels() {
  static const std::size_t count = CountSupported();
  return std::span<const Kernels* const>(kTables.data(), count);
}

const Kernels& BestKernels() { return *SupportedKernels().back(); }

}  // namespace muster::kernels
