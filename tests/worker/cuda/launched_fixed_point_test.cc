// Quantising, dequantising and checksums as launched: the bits of worker/exact.
#include "tests/worker/cuda/edges.h"
#include "tests/worker/cuda/launched.h"
#include "worker/cuda/fixed_point.h"
#include "worker/exact/fixed_point.h"

namespace muster::cuda {
namespace {

const exact::Kernels& Plain() { return *exact::SupportedKernels().front(); }

template <typename Int>
std::vector<Int> Integers(std::size_t n) {
  std::vector<Int> q = {std::numeric_limits<Int>::min(), std::numeric_limits<Int>::max(), 0, -1};
  for (std::size_t i = 0; q.size() < n; ++i) {
    q.push_back(static_cast<Int>(base::Mix64(i) >> (i % 60)));
  }
  q.resize(n);
  return q;
}

class LaunchedFixedPointTest : public LaunchedTest {
 protected:
  template <typename Int>
  MusterCudaSums Sums(const std::vector<Int>& sums, std::uint64_t index) {
    return {std::is_same_v<Int, std::int64_t>   ? MUSTER_CUDA_INT64
            : std::is_same_v<Int, std::int32_t> ? MUSTER_CUDA_INT32
                                                : MUSTER_CUDA_FLOAT,
            Up(sums), static_cast<std::int64_t>(sums.size()), index};
  }

  // Quantises and adds on the emulator, and holds sums and what was told against what
  // `on_cpu(gradient, sums)` did and told. What the caller's memory held before is merged with.
  template <typename Int, typename OnCpu>
  void CompareAdd(const std::vector<float>& g, std::uint64_t index, double scale,
                  std::int64_t limit, const OnCpu& on_cpu) {
    std::vector<Int> cpu(g.size());
    for (std::size_t i = 0; i < g.size(); ++i) cpu[i] = static_cast<Int>(base::Mix64(i));
    const MusterCudaSums sums = Sums(cpu, index);
    const exact::QuantiseFlags flags = on_cpu(std::span<const float>(g), std::span<Int>(cpu));
    constexpr std::uint32_t kBefore = 4;
    MusterCudaTold* const told = Up(std::vector<MusterCudaTold>{{77, kBefore, 0}});
    ASSERT_EQ(module().quantise_add(context(), Up(g), &sums, scale, limit, told, message()), 0)
        << text();
    ASSERT_EQ(Down(static_cast<const Int*>(sums.device_sums), g.size()), cpu);
    const MusterCudaTold got = Down(told, 1).front();
    EXPECT_EQ(got.checksum, 77 + flags.checksum);
    EXPECT_EQ(got.flags,
              kBefore | (flags.not_finite ? kNotFinite : 0) | (flags.saturated ? kSaturated : 0));
    EXPECT_EQ(got.max_abs, FloatBits(Plain().max_abs(g)));
    Release();
  }

  void CompareAdds(const std::vector<float>& g, std::uint64_t index, std::int32_t slots,
                   std::int32_t exponent) {
    const std::int64_t limit = exact::Limit64(slots);
    CompareAdd<std::int64_t>(g, index, 0x1p44, limit, [&](auto from, auto sums) {
      return Plain().quantise_add64(from, sums, index, limit);
    });
    const double scale =
        1.0 / (exact::Factor32(exponent, 1) * std::bit_ceil(static_cast<std::uint32_t>(slots)));
    CompareAdd<std::int32_t>(g, index, scale, exact::Limit32(slots), [&](auto from, auto sums) {
      return Plain().quantise_add32(from, sums, index, exponent, slots);
    });
  }

  template <typename Sum, typename OnCpu>
  void CompareMeans(const std::vector<Sum>& q, double factor, const OnCpu& on_cpu) {
    std::vector<float> cpu(q.size());
    on_cpu(std::span<const Sum>(q), std::span<float>(cpu));
    const MusterCudaSums sums = Sums(q, 0);
    float* const out = Up(std::vector<float>(q.size(), 3));
    ASSERT_EQ(module().dequantise(context(), &sums, factor, out, message()), 0) << text();
    ASSERT_EQ(BitsOf(Down(out, q.size())), BitsOf(cpu));
    Release();
  }

  template <typename Int>
  void CompareChecksum(const std::vector<Int>& q, std::uint64_t index, std::uint64_t cpu) {
    const MusterCudaSums sums = Sums(q, index);
    std::uint64_t* const checksum = Up(std::vector<std::uint64_t>{5});
    ASSERT_EQ(module().checksum(context(), &sums, checksum, message()), 0) << text();
    EXPECT_EQ(Down(checksum, 1).front(), cpu + 5) << q.size() << " " << index;
    Release();
  }

  void CompareChecksums(std::size_t n, std::uint64_t index) {
    const auto q64 = Integers<std::int64_t>(n);
    const auto q32 = Integers<std::int32_t>(n);
    CompareChecksum(q64, index, Plain().checksum64(q64, index));
    CompareChecksum(q32, index, Plain().checksum32(q32, index));
  }

  void CompareMeansOfAllKinds(std::size_t n) {
    const double factor64 = exact::Factor64(100), factor32 = exact::Factor32(-5, 100);
    CompareMeans(Integers<std::int64_t>(n), factor64,
                 [&](auto q, auto out) { Plain().dequantise64(q, factor64, out); });
    CompareMeans(Integers<std::int32_t>(n), factor32,
                 [&](auto q, auto out) { Plain().dequantise32(q, factor32, out); });
    CompareMeans(RandomFloats(n, 3, true), 1.0f / 100,
                 [&](auto q, auto out) { Plain().scale_float(q, 1.0f / 100, out); });
  }
};

TEST_F(LaunchedFixedPointTest, AddsGradientsOfEveryShapeAsOnTheCpu) {
  for (const simt::Settings& settings : simt::AllOrders()) {
    simt::Configure(settings);
    for (const std::size_t n : kShapes) {
      for (const std::uint64_t index : kIndices) {
        CompareAdds(RandomFloats(n, n + 1, false), index, 64, -3);
      }
    }
  }
}

TEST_F(LaunchedFixedPointTest, AddsWhatIsNotFiniteOrTooGreatAsOnTheCpu) {
  for (const simt::Settings& settings : simt::AllOrders()) {
    simt::Configure(settings);
    for (const std::int32_t slots : {1, 3, 4096}) {
      for (const std::int32_t exponent : {-32, 0, 128}) {
        CompareAdds(EdgeFloats(), 0xfffffff0ull, slots, exponent);
      }
    }
    // Each alone, in the midst of a block: it is told by its warp.
    for (const float edge : {std::bit_cast<float>(0x7fc00001u), HUGE_VALF, -0.0f, 3e38f, 1e-45f}) {
      std::vector<float> g(300, 0.5f);
      g[170] = edge;
      CompareAdds(g, 0, 64, 0);
    }
  }
}

TEST_F(LaunchedFixedPointTest, AddsMoreElementsThanTheGridHasThreadsAsOnTheCpu) {
  MixOrders();
  CompareAdds(RandomFloats(kMoreThanTheGrid, 9, true), 0xffff0000ull, 100, 1);
}

TEST_F(LaunchedFixedPointTest, MeansOfAllKindsAsOnTheCpu) {
  for (const simt::Settings& settings : simt::AllOrders()) {
    simt::Configure(settings);
    for (const std::size_t n : kShapes) CompareMeansOfAllKinds(n);
    CompareMeans(EdgeFloats(), 1.0f / 3,
                 [&](auto q, auto out) { Plain().scale_float(q, 1.0f / 3, out); });
  }
  MixOrders();
  CompareMeansOfAllKinds(kMoreThanTheGrid);
}

TEST_F(LaunchedFixedPointTest, ChecksumsAsOnTheCpu) {
  for (const simt::Settings& settings : simt::AllOrders()) {
    simt::Configure(settings);
    for (const std::size_t n : kShapes) {
      for (const std::uint64_t index : kIndices) CompareChecksums(n, index);
    }
  }
  MixOrders();
  CompareChecksums(kMoreThanTheGrid, 0xffff0000ull);
}

}  // namespace
}  // namespace muster::cuda
