#include "worker/model/random.h"

#include <algorithm>
#include <array>

#include "operator/base/rng.h"
#include "worker/kernels/math.h"

namespace muster::model {
namespace {

// Keeps initial weights apart from every slot's randomness.
constexpr std::uint64_t kInitialise = 0x696e697469616c00ull;
constexpr std::uint64_t kSlot = 0x736c6f7400000000ull;
constexpr double kTwoToMinus32 = 0x1.0p-32;

}  // namespace

void FillNormal(std::uint64_t seed, std::uint64_t operation, std::int64_t first, double deviation,
                std::span<float> out) {
  const std::uint64_t key = base::Mix64(seed ^ kInitialise);
  for (std::size_t i = 0; i < out.size(); i += 4) {
    const std::uint64_t counter = (static_cast<std::uint64_t>(first) + i) / 4;
    const std::array<std::uint32_t, 4> words = base::Philox(key, operation, counter);
    std::array<double, 4> normal;
    for (std::size_t pair = 0; pair < 4; pair += 2) {  // Box and Muller
      const double u = (static_cast<double>(words[pair]) + 1.0) * kTwoToMinus32;
      const double radius = __builtin_sqrt(-2.0 * kernels::Log(u)) * deviation;
      const kernels::SinCos turn =
          kernels::SinCos2Pi(static_cast<double>(words[pair + 1]) * kTwoToMinus32);
      normal[pair] = radius * turn.cos;
      normal[pair + 1] = radius * turn.sin;
    }
    const std::size_t count = std::min<std::size_t>(4, out.size() - i);
    for (std::size_t j = 0; j < count; ++j) out[i + j] = static_cast<float>(normal[j]);
  }
}

SlotRandom::SlotRandom(const SlotKey& key, std::uint64_t operation)
    : key_(base::Mix64(base::Mix64(key.seed ^ kSlot) + static_cast<std::uint64_t>(key.step))),
      operation_((static_cast<std::uint64_t>(static_cast<std::uint32_t>(key.slot)) << 32) |
                 operation) {}

void SlotRandom::Fill(std::int64_t first, std::span<std::uint32_t> out) const {
  std::size_t i = 0;
  while (i < out.size()) {
    const std::uint64_t element = static_cast<std::uint64_t>(first) + i;
    const std::array<std::uint32_t, 4> words = base::Philox(key_, operation_, element / 4);
    for (std::size_t j = element % 4; j < 4 && i < out.size(); ++j) out[i++] = words[j];
  }
}

void Dropout(const SlotRandom& random, double rate, std::int64_t first, std::span<float> x) {
  const std::uint64_t threshold = static_cast<std::uint64_t>(rate * 4294967296.0);
  const float scale = static_cast<float>(1.0 / (1.0 - rate));
  std::array<std::uint32_t, 256> words;
  for (std::size_t begin = 0; begin < x.size(); begin += words.size()) {
    const std::size_t count = std::min(words.size(), x.size() - begin);
    random.Fill(first + static_cast<std::int64_t>(begin), std::span(words).first(count));
    for (std::size_t i = 0; i < count; ++i) {
      x[begin + i] = words[i] < threshold ? 0.0f : x[begin + i] * scale;
    }
  }
}

}  // namespace muster::model
