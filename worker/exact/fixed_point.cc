#include "worker/exact/fixed_point.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "operator/base/check.h"
#include "worker/exact/table.h"

namespace muster::exact {
namespace {

// ceil(log2 M) for M >= 1.
int HeadroomBits(std::int32_t slots) {
  return std::bit_width(static_cast<std::uint32_t>(slots) - 1u);
}

struct Supported {
  std::array<const Kernels*, 3> tables{};
  std::size_t count = 0;
};

Supported Detect() {
  Supported s;
  s.tables[s.count++] = &kScalarKernels;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    s.tables[s.count++] = &kAvx2Kernels;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
      s.tables[s.count++] = &kAvx512Kernels;
    }
  }
#endif
  return s;
}

}  // namespace

std::int64_t Limit64(std::int32_t slots) {
  MUSTER_CHECK(slots >= 1, "a step has at least one slot");
  return std::numeric_limits<std::int64_t>::max() / slots;
}

std::int32_t Limit32(std::int32_t slots) {
  MUSTER_CHECK(slots >= 1, "a step has at least one slot");
  return std::numeric_limits<std::int32_t>::max() / slots;
}

std::int32_t ExponentFor(float max_abs) {
  if (!std::isfinite(max_abs)) return kMaxExponent;
  if (max_abs == 0) return kMinExponent;
  int exponent = 0;
  std::frexp(max_abs, &exponent);  // max_abs = f * 2^exponent, f in [0.5, 1)
  return std::clamp<std::int32_t>(exponent, kMinExponent, kMaxExponent);
}

std::int32_t MaxAbsBits(float max_abs) { return std::bit_cast<std::int32_t>(max_abs); }
float MaxAbsFromBits(std::int32_t bits) { return std::bit_cast<float>(bits); }

double Scale64() { return std::ldexp(1.0, kFractionBits); }

double Scale32(std::int32_t exponent, std::int32_t slots) {
  MUSTER_CHECK(slots >= 1, "a step has at least one slot");
  return std::ldexp(1.0, 30 - HeadroomBits(slots) - exponent);
}

double Factor64(std::int32_t slots) {
  MUSTER_CHECK(slots >= 1, "a step has at least one slot");
  return 1.0 / Scale64() / slots;
}

double Factor32(std::int32_t exponent, std::int32_t slots) {
  MUSTER_CHECK(slots >= 1, "a step has at least one slot");
  return 1.0 / Scale32(exponent, slots) / slots;
}

std::span<const Kernels* const> SupportedKernels() {
  static const Supported supported = Detect();
  return {supported.tables.data(), supported.count};
}

const Kernels& KernelsFor(std::string_view family) {
  constexpr std::string_view kAvx512Families[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
  constexpr std::string_view kAvx2Families[] = {"Haswell", "Zen"};
  const auto named = [&](std::span<const std::string_view> names) {
    return std::find(names.begin(), names.end(), family) != names.end();
  };
  const std::size_t wanted = named(kAvx512Families) ? 2 : named(kAvx2Families) ? 1 : 0;
  const auto supported = SupportedKernels();
  return *supported[std::min(wanted, supported.size() - 1)];
}

}  // namespace muster::exact
