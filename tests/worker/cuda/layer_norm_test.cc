#include "worker/cuda/layer_norm.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/worker/cuda/edges.h"
#include "worker/kernels/table.h"

namespace muster::cuda {
namespace {

constexpr std::int64_t kWidths[] = {1, 3, 16, 17, 100, 1023, 1024, 1025, 2500};

const kernels::Kernels& Plain() { return *kernels::SupportedKernels().front(); }

// One row as the threads of half a warp do it: each lane's part, then the tree.
template <typename Part>
float SumOverLanes(const Part& part) {
  std::array<float, kNormLanes> lanes{};
  for (int lane = kNormLanes; lane-- > 0;) lanes[static_cast<std::size_t>(lane)] = part(lane);
  return TreeOfLanes(lanes.data());
}

void ExpectSame(const std::vector<float>& gpu, const std::vector<float>& cpu, const char* what) {
  ASSERT_EQ(gpu.size(), cpu.size());
  for (std::size_t i = 0; i < gpu.size(); ++i) {
    if (std::isnan(gpu[i]) && std::isnan(cpu[i])) continue;
    ASSERT_EQ(FloatBits(gpu[i]), FloatBits(cpu[i])) << what << " " << i << " of " << gpu.size();
  }
}

std::vector<float> Row(std::int64_t n, std::uint64_t seed, bool edges) {
  std::vector<float> row = RandomFloats(static_cast<std::size_t>(n), seed, false);
  const std::vector<float> values = EdgeFloats();
  for (std::size_t i = 0; edges && i < row.size(); i += 3) {
    row[i] = values[(i * 7 + seed * 31) % values.size()];
  }
  return row;
}

void CompareRow(std::int64_t n, std::uint64_t seed, bool edges, bool with_branch) {
  const auto size = static_cast<std::size_t>(n);
  const std::vector<float> branch = Row(n, seed + 1, edges);
  const std::vector<float> gain = Row(n, 91, false), bias = Row(n, 92, false);
  std::vector<float> gpu_x = Row(n, seed, edges), cpu_x = gpu_x;
  std::vector<float> gpu_y(size), cpu_y(size);
  const float* const added = with_branch ? branch.data() : nullptr;

  const float mean = SumOverLanes([&](int lane) { return AddLane(lane, n, added, gpu_x.data()); }) /
                     static_cast<float>(n);
  const float rstd = NormRstd(
      SumOverLanes([&](int lane) { return VarianceLane(lane, n, gpu_x.data(), mean); }), n);
  for (int lane = 0; lane < kNormLanes; ++lane) {
    NormLane(lane, n, gpu_x.data(), {gain.data(), bias.data()}, mean, rstd, gpu_y.data());
  }
  float cpu_mean = 0, cpu_rstd = 0;
  if (with_branch) Plain().add(branch.data(), cpu_x.data(), n);
  Plain().layer_norm(cpu_x.data(), gain.data(), bias.data(), cpu_y.data(), &cpu_mean, &cpu_rstd, n);
  ExpectSame(gpu_x, cpu_x, "stream");
  ExpectSame({mean, rstd}, {cpu_mean, cpu_rstd}, "mean and rstd");
  ExpectSame(gpu_y, cpu_y, "y");

  const std::vector<float> dy = Row(n, seed + 2, edges);
  const NormRow row{gpu_x.data(), gain.data(), dy.data(), mean, rstd};
  const float a =
      SumOverLanes([&](int lane) { return ScaledLane(lane, n, row); }) / static_cast<float>(n);
  const float b =
      SumOverLanes([&](int lane) { return ProductLane(lane, n, row); }) / static_cast<float>(n);
  std::vector<float> gpu_dx = Row(n, seed + 3, edges), cpu_dx = gpu_dx;
  for (int lane = 0; lane < kNormLanes; ++lane) {
    BackwardLane(lane, n, row, a, b, gpu_dx.data());
  }
  Plain().layer_norm_backward(cpu_x.data(), gain.data(), dy.data(), cpu_mean, cpu_rstd,
                              cpu_dx.data(), n);
  ExpectSame(gpu_dx, cpu_dx, "dx");
}

TEST(CudaLayerNormTest, RowsForwardAndBackwardAsOnTheCpu) {
  for (const std::int64_t n : kWidths) {
    for (const bool with_branch : {false, true}) {
      for (std::uint64_t seed = 1; seed <= 5; ++seed) CompareRow(n, seed * 10, false, with_branch);
    }
  }
}

TEST(CudaLayerNormTest, EdgesAsOnTheCpu) {
  for (const std::int64_t n : {1, 2, 3, 100, 1025}) {
    for (std::uint64_t seed = 0; seed < 40; ++seed) CompareRow(n, seed, true, true);
  }
}

TEST(CudaLayerNormTest, GainsAndBiasesAsOnTheCpu) {
  for (const std::int64_t rows : {1, 31, 32, 33, 100}) {
    constexpr std::int64_t kWidth = 19;
    const std::vector<float> x = Row(rows * kWidth, 5, false), dy = Row(rows * kWidth, 6, false);
    const std::vector<float> mean = Row(rows, 7, false), rstd = Row(rows, 8, false);
    std::vector<float> gpu_gain(kWidth), gpu_bias(kWidth), cpu_gain(kWidth), cpu_bias(kWidth);
    const NormColumns all{x.data(), dy.data(), mean.data(), rstd.data(), rows, kWidth};
    for (std::int64_t column = 0; column < kWidth; ++column) {
      NormColumn(all, column, gpu_gain.data(), gpu_bias.data());
    }
    Plain().layer_norm_columns(x.data(), dy.data(), kWidth, mean.data(), rstd.data(), rows,
                               cpu_gain.data(), cpu_bias.data(), kWidth);
    ExpectSame(gpu_gain, cpu_gain, "dgain");
    ExpectSame(gpu_bias, cpu_bias, "dbias");
  }
}

}  // namespace
}  // namespace muster::cuda
