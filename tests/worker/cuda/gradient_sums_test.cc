#include "worker/cuda/gradient_sums.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/worker/cuda/edges.h"
#include "worker/exact/norm.h"

namespace muster::cuda {
namespace {

constexpr std::int64_t kThreadCounts[] = {1, 7, 256};
constexpr std::size_t kSumLengths[] = {0, 1, 15, 16, 17, 4095, 4096, 4097, 3 * 4096 + 21};

struct FloatSums {
  std::vector<std::uint32_t> sums;  // bits: a NaN equals itself
  bool not_finite = false;
  std::uint32_t max_abs = 0;
  friend bool operator==(const FloatSums&, const FloatSums&) = default;
};

std::vector<std::uint32_t> PatternsOf(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  for (const float v : values) bits.push_back(FloatBits(v));
  return bits;
}

// Numbers only: of a NaN that is added a GPU keeps nothing, and a CPU its payload.
std::vector<float> Numbers(std::size_t count) {
  std::vector<float> all = EdgeFloats();
  std::erase_if(all, [](float g) { return (FloatBits(g) & 0x7fffffffu) >= 0x7f800000u; });
  const std::vector<float> more = RandomFloats(count, 5, false);
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(CudaGradientSums, FloatsAreAddedAsOnTheCpu) {
  const exact::Kernels& plain = *exact::SupportedKernels().front();
  for (const std::size_t length : kSumLengths) {
    const std::vector<float> g = Numbers(length);
    const std::vector<float> start = RandomFloats(g.size(), 9, false);
    std::vector<float> expected = start;
    const exact::QuantiseFlags flags = plain.add_float(g, expected);
    const FloatSums cpu = {PatternsOf(expected), flags.not_finite, FloatBits(plain.max_abs(g))};
    for (const std::int64_t threads : kThreadCounts) {
      std::vector<float> sums = start;
      Told told{};
      for (const Share& share : SharesOf(g.size(), threads)) {
        told = Merge(AddFloats(g.data(), sums.data(), share), told);
      }
      EXPECT_EQ((FloatSums{PatternsOf(sums), (told.flags & kNotFinite) != 0, told.max_abs}), cpu);
    }
  }
}

TEST(CudaGradientSums, LookingTellsWhatAddingTells) {
  const exact::Kernels& plain = *exact::SupportedKernels().front();
  std::vector<float> all = EdgeFloats();
  for (std::size_t length = 0; length <= all.size(); length += 13) {
    const std::vector<float> g(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(length));
    std::vector<float> unused(length);
    const bool not_finite = plain.add_float(g, unused).not_finite;
    for (const std::int64_t threads : kThreadCounts) {
      Told told{};
      for (const Share& share : SharesOf(length, threads)) {
        told = Merge(LookAtAll(g.data(), share), told);
      }
      EXPECT_EQ((told.flags & kNotFinite) != 0, not_finite) << length;
      EXPECT_EQ(told.max_abs, FloatBits(plain.max_abs(g))) << length;
    }
  }
}

// As the kernel and the host do it: lanes, the tree over them, the tree over blocks.
template <typename Sum>
double SquaresAsOnGpu(const std::vector<Sum>& q, double factor) {
  const auto n = static_cast<std::int64_t>(q.size());
  std::vector<double> blocks;
  for (std::int64_t first = 0; first < n; first += kSquareBlock) {
    const std::int64_t end = std::min(first + kSquareBlock, n);
    std::array<double, kSquareLanes> lanes;
    for (int lane = 0; lane < kSquareLanes; ++lane) {
      lanes[static_cast<std::size_t>(lane)] = SquareLane(q.data(), factor, first, end, lane);
    }
    for (int distance = 1; distance < kSquareLanes; distance *= 2) {
      for (int i = 0; i + distance < kSquareLanes; i += 2 * distance) {
        lanes[static_cast<std::size_t>(i)] += lanes[static_cast<std::size_t>(i + distance)];
      }
    }
    blocks.push_back(lanes[0]);
  }
  return exact::TreeSum(blocks);
}

TEST(CudaGradientSums, SquaresHaveTheShapeOfTheCpus) {
  for (const std::size_t length : kSumLengths) {
    std::vector<std::int64_t> wide(length);
    std::vector<std::int32_t> narrow(length);
    for (std::size_t i = 0; i < length; ++i) {
      wide[i] = static_cast<std::int64_t>(base::Mix64(i)) >> 8;
      narrow[i] = static_cast<std::int32_t>(base::Mix64(i + 77));
    }
    const std::vector<float> floats = RandomFloats(length, 3, false);
    const double factor64 = exact::Factor64(24), factor32 = exact::Factor32(-3, 24);
    EXPECT_EQ(SquaresAsOnGpu(wide, factor64), exact::SquareSum64(wide, factor64));
    EXPECT_EQ(SquaresAsOnGpu(narrow, factor32), exact::SquareSum32(narrow, factor32));
    EXPECT_EQ(SquaresAsOnGpu(floats, 1.0 / 24), exact::SquareSumFloat(floats, 1.0 / 24));
  }
}

}  // namespace
}  // namespace muster::cuda
