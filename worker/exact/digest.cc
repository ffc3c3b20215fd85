#include "worker/exact/digest.h"

#include "operator/base/rng.h"
#include "worker/exact/fixed_point.h"

namespace muster::exact {

std::uint64_t DigestFold(std::span<const float> values, std::uint64_t index, std::uint32_t stream) {
  return SupportedKernels().back()->digest_fold(values, index, stream);
}

std::uint64_t CombineDigest(std::uint64_t weights, std::uint64_t m, std::uint64_t v,
                            std::span<const std::int32_t> exponents, std::int64_t step,
                            std::int64_t updates) {
  std::uint64_t d = base::Mix64(static_cast<std::uint64_t>(step));
  d = base::Mix64(d ^ static_cast<std::uint64_t>(updates));
  d = base::Mix64(d ^ weights);
  d = base::Mix64(d ^ m);
  d = base::Mix64(d ^ v);
  d = base::Mix64(d ^ exponents.size());
  for (std::int32_t e : exponents) d = base::Mix64(d ^ static_cast<std::uint32_t>(e));
  return d == 0 ? 1 : d;
}

std::string DigestHex(std::uint64_t digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; digest >>= 4) text[i] = kDigits[digest & 15];
  return text;
}

}  // namespace muster::exact
