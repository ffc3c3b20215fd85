#include "worker/cuda/fixed_point.h"

#include <gtest/gtest.h>

#include "tests/worker/cuda/edges.h"
#include "worker/exact/fixed_point.h"

namespace muster::cuda {
namespace {

constexpr std::int32_t kSlots[] = {1, 2, 3, 64, 100, 4096};
constexpr std::size_t kLengths[] = {0, 1, 31, 257, 4096 + 3};
constexpr std::int64_t kThreads[] = {1, 7, 256};
// The second makes the 32 bits of the weights run over.
constexpr std::uint64_t kIndices[] = {0, 0xfffffff0ull, 0x123456789abull};

struct Result {
  std::vector<std::int64_t> sums;
  std::uint64_t checksum = 0;
  bool not_finite = false, saturated = false;
  std::uint32_t max_abs = 0;
  friend bool operator==(const Result&, const Result&) = default;
};

template <typename Int>
std::vector<Int> StartOfSums(std::size_t n) {
  std::vector<Int> sums(n);
  for (std::size_t i = 0; i < n; ++i) sums[i] = static_cast<Int>(base::Mix64(i));
  return sums;
}

template <typename Int>
Result OnGpu(const std::vector<float>& g, std::uint64_t index, const Scale& to,
             std::int64_t threads) {
  std::vector<Int> sums = StartOfSums<Int>(g.size());
  Told told{};
  for (const Share& share : SharesOf(g.size(), threads)) {
    told = Merge(QuantiseAdd(g.data(), sums.data(), share, index, to), told);
  }
  return {{sums.begin(), sums.end()},
          told.checksum,
          (told.flags & kNotFinite) != 0,
          (told.flags & kSaturated) != 0,
          told.max_abs};
}

template <typename Int, typename Add>
Result OnCpu(const exact::Kernels& kernels, const std::vector<float>& g, const Add& add) {
  std::vector<Int> sums = StartOfSums<Int>(g.size());
  const exact::QuantiseFlags flags = add(std::span<const float>(g), std::span<Int>(sums));
  return {{sums.begin(), sums.end()},
          flags.checksum,
          flags.not_finite,
          flags.saturated,
          std::bit_cast<std::uint32_t>(kernels.max_abs(g))};
}

void Compare(const std::vector<float>& g, std::uint64_t index, std::int64_t threads) {
  const exact::Kernels& plain = *exact::SupportedKernels().front();
  for (const std::int32_t slots : kSlots) {
    const std::int64_t limit = exact::Limit64(slots);
    const Result cpu64 = OnCpu<std::int64_t>(plain, g, [&](auto from, auto sums) {
      return plain.quantise_add64(from, sums, index, limit);
    });
    EXPECT_EQ(OnGpu<std::int64_t>(g, index, {0x1p44, limit}, threads), cpu64) << slots;
    for (const std::int32_t exponent : {-32, -3, 0, 1, 40, 128}) {
      const double scale =
          1.0 / (exact::Factor32(exponent, 1) * std::bit_ceil(static_cast<std::uint32_t>(slots)));
      const Result cpu32 = OnCpu<std::int32_t>(plain, g, [&](auto from, auto sums) {
        return plain.quantise_add32(from, sums, index, exponent, slots);
      });
      EXPECT_EQ(OnGpu<std::int32_t>(g, index, {scale, exact::Limit32(slots)}, threads), cpu32)
          << slots << " " << exponent;
    }
  }
}

TEST(CudaFixedPointTest, EveryEdgeAloneAsOnTheCpu) {
  for (const float edge : EdgeFloats()) Compare({edge}, 5, 1);
}

TEST(CudaFixedPointTest, EveryLengthIndexAndNumberOfThreadsAsOnTheCpu) {
  for (const std::size_t n : kLengths) {
    for (const std::uint64_t index : kIndices) {
      for (const std::int64_t threads : kThreads) {
        Compare(RandomFloats(n, n + 1, false), index, threads);
      }
    }
  }
}

TEST(CudaFixedPointTest, AnyBitsAndAllEdgesAtOnceAsOnTheCpu) {
  Compare(RandomFloats(20000, 9, true), 77, 64);
  Compare(EdgeFloats(), 0xfffffff0ull, 32);
}

// Limits of many slots are floats themselves: the limit is not beyond it, the next number is.
TEST(CudaFixedPointTest, TheLimitItselfAsOnTheCpu) {
  constexpr std::int32_t kManySlots = 4096;  // 2^19 - 1, and the scale of exponent 0 is 2^18
  const auto limit = static_cast<float>(exact::Limit32(kManySlots));
  for (const float integer : {limit - 1, limit, limit + 0.25f, limit + 0.5f, limit + 1}) {
    Compare({integer * 0x1p-18f}, 0, 1);
    Compare({integer * -0x1p-18f}, 0, 1);
  }
  std::uint32_t flags = 0;
  EXPECT_EQ(Quantise(limit, {1, exact::Limit32(kManySlots)}, flags), exact::Limit32(kManySlots));
  EXPECT_EQ(flags, 0u);
}

template <typename Int>
std::vector<Int> EdgeIntegers() {
  std::vector<Int> q = {0, 1, -1, std::numeric_limits<Int>::max(), std::numeric_limits<Int>::min()};
  for (std::size_t i = 0; i < 5000; ++i) q.push_back(static_cast<Int>(base::Mix64(i) >> (i % 60)));
  return q;
}

TEST(CudaFixedPointTest, ChecksumsAsOnTheCpu) {
  const exact::Kernels& plain = *exact::SupportedKernels().front();
  const auto q64 = EdgeIntegers<std::int64_t>();
  const auto q32 = EdgeIntegers<std::int32_t>();
  for (const std::uint64_t index : kIndices) {
    for (const std::int64_t threads : kThreads) {
      std::uint64_t sum64 = 0, sum32 = 0;
      for (const Share& share : SharesOf(q64.size(), threads)) {
        sum64 += Checksum(q64.data(), share, index);
        sum32 += Checksum(q32.data(), share, index);
      }
      EXPECT_EQ(sum64, plain.checksum64(q64, index));
      EXPECT_EQ(sum32, plain.checksum32(q32, index));
    }
  }
}

template <typename Sum, typename OnCpu>
void CompareMeans(const std::vector<Sum>& q, double factor, const OnCpu& on_cpu) {
  std::vector<float> cpu(q.size());
  on_cpu(std::span<const Sum>(q), std::span<float>(cpu));
  for (std::size_t i = 0; i < q.size(); ++i) {
    // Bits, so that a negative zero counts; not those of NaNs, which a GPU does not keep.
    const float mean = Dequantise(q[i], factor);
    if (std::isnan(cpu[i]) && std::isnan(mean)) continue;
    ASSERT_EQ(FloatBits(mean), FloatBits(cpu[i])) << i << " " << factor;
  }
}

TEST(CudaFixedPointTest, MeansAsOnTheCpu) {
  const exact::Kernels& plain = *exact::SupportedKernels().front();
  for (const std::int32_t slots : kSlots) {
    const double factor64 = exact::Factor64(slots);
    CompareMeans(EdgeIntegers<std::int64_t>(), factor64,
                 [&](auto q, auto out) { plain.dequantise64(q, factor64, out); });
    for (const std::int32_t exponent : {-32, 0, 128}) {
      const double factor32 = exact::Factor32(exponent, slots);
      CompareMeans(EdgeIntegers<std::int32_t>(), factor32,
                   [&](auto q, auto out) { plain.dequantise32(q, factor32, out); });
    }
    CompareMeans(EdgeFloats(), 1.0f / static_cast<float>(slots), [&](auto q, auto out) {
      plain.scale_float(q, 1.0f / static_cast<float>(slots), out);
    });
  }
}

}  // namespace
}  // namespace muster::cuda
