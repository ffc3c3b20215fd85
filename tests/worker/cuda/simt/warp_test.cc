// Exchanges within a warp: what each thread gets, and what is a breach.
#include <bit>
#include <numeric>

#include "tests/worker/cuda/simt/fixture.h"
#include "worker/cuda/launch.h"

namespace muster::simt {
namespace {

constexpr unsigned kAll = 0xffffffffu;

class SimtWarpTest : public SimtTest {};

template <typename Kernel, typename T>
std::vector<T> RunOn(Kernel kernel, const std::vector<T>& values, unsigned threads) {
  const DeviceArray<T> array(values);
  EXPECT_EQ(cuda::Launch(kernel, {1, threads}, nullptr, array.get()), cudaSuccess);
  return array.Read();
}

__global__ void ShuffleKernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32), mine = static_cast<int>(threadIdx.x) * 10;
  int* const at = out + threadIdx.x * 6;
  at[0] = __shfl_sync(kAll, mine, 5);
  at[1] = __shfl_sync(kAll, mine, lane + 1, 8);
  at[2] = __shfl_up_sync(kAll, mine, 3, 16);
  at[3] = __shfl_down_sync(kAll, mine, 3, 16);
  at[4] = __shfl_xor_sync(kAll, mine, 17);
  at[5] = __shfl_xor_sync(kAll, mine, 8, 8);
}

TEST_F(SimtWarpTest, EachThreadGetsWhatItAskedFor) {
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    const std::vector<int> got = RunOn(ShuffleKernel, std::vector<int>(64 * 6), 64);
    for (int thread = 0; thread < 64; ++thread) {
      const int lane = thread % 32, warp = thread - lane, half = lane % 16;
      const int expected[] = {warp + 5, warp + lane / 8 * 8 + (lane + 1) % 8,
                              half < 3 ? thread : thread - 3, half > 12 ? thread : thread + 3,
                              warp + (lane ^ 17),
                              // Past the end of its eight it keeps its own; before, it reads.
                              (lane ^ 8) > (lane | 7) ? thread : warp + (lane ^ 8)};
      for (int i = 0; i < 6; ++i) {
        EXPECT_EQ(got[static_cast<std::size_t>(thread * 6 + i)], expected[i] * 10)
            << thread << " " << i;
      }
    }
  }
}

__global__ void MergeKernel(unsigned* out) {
  const unsigned lane = threadIdx.x, odd = 0xaaaaaaaau;
  unsigned* const at = out + lane * 9;
  at[0] = __ballot_sync(kAll, lane % 3 == 0);
  at[1] = __reduce_or_sync(kAll, 1u << (lane / 2));
  at[2] = __reduce_and_sync(kAll, ~(1u << (lane / 2)));
  at[3] = __reduce_add_sync(kAll, 0x80000000u + lane);
  at[4] = static_cast<unsigned>(__reduce_max_sync(kAll, static_cast<int>(lane) - 40));
  at[5] = static_cast<unsigned>(__reduce_min_sync(kAll, static_cast<int>(lane) - 40));
  at[6] = static_cast<unsigned>(__any_sync(kAll, lane == 31) + 2 * __any_sync(kAll, 0));
  at[7] = static_cast<unsigned>(__all_sync(kAll, 1) + 2 * __all_sync(kAll, lane != 31));
  at[8] = 0;
  if (lane % 2 == 1) at[8] = __reduce_max_sync(odd, lane < 8 ? lane + 100 : 0u);
}

TEST_F(SimtWarpTest, WhatAllMakeOfWhatEachGives) {
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    const std::vector<unsigned> got = RunOn(MergeKernel, std::vector<unsigned>(32 * 9), 32);
    for (unsigned lane = 0; lane < 32; ++lane) {
      const auto first = got.begin() + lane * 9;
      EXPECT_THAT(
          std::vector<unsigned>(first, first + 9),
          testing::ElementsAre(0x49249249u, 0xffffu, 0xffff0000u, 496u, static_cast<unsigned>(-9),
                               static_cast<unsigned>(-40), 1u, 1u, lane % 2 == 1 ? 107u : 0u));
    }
  }
}

__global__ void WideKernel(double* out) {
  const double mine = 1.0 / (threadIdx.x + 1);
  out[threadIdx.x] = __shfl_xor_sync(kAll, mine, 1);
}

TEST_F(SimtWarpTest, EightBytesGoWhole) {
  const std::vector<double> got = RunOn(WideKernel, std::vector<double>(32), 32);
  for (unsigned lane = 0; lane < 32; ++lane) EXPECT_EQ(got[lane], 1.0 / ((lane ^ 1u) + 1));
}

// Two halves of a warp in two branches, each for itself: allowed.
__global__ void HalvesKernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  if (lane < 16) {
    out[lane] = __reduce_add_sync(0xffffu, lane);
  } else {
    __syncwarp(0xffff0000u);
    out[lane] = __shfl_down_sync(0xffff0000u, lane, 1, 16);
  }
}

TEST_F(SimtWarpTest, PartsOfAWarpMayMeetEachForItself) {
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    const std::vector<int> got = RunOn(HalvesKernel, std::vector<int>(32), 32);
    EXPECT_EQ(got[0], 120);
    EXPECT_EQ(got[15], 120);
    EXPECT_EQ(got[16], 17);
    EXPECT_EQ(got[31], 31);
  }
}

__global__ void DivergentKernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  if (lane == 7) {
    out[lane] = __shfl_sync(kAll, lane, 0);
  } else {
    out[lane] = __shfl_sync(kAll, lane, 0);
  }
}
__global__ void OtherExchangeKernel(int* out) {
  out[threadIdx.x] = threadIdx.x < 4 ? __any_sync(kAll, 1) : __all_sync(kAll, 1);
}
__global__ void OtherMaskKernel(int* out) {
  out[threadIdx.x] = __any_sync(threadIdx.x == 0 ? 0xfu : kAll, 1);
}
__global__ void NotNamedKernel(int* out) { out[threadIdx.x] = __any_sync(0xfffffffeu, 1); }
__global__ void LeavesFirstKernel(int* out) {
  if (threadIdx.x == 3) return;
  out[threadIdx.x] = __any_sync(kAll, 1);
}
__global__ void ReadsOfOthersKernel(int* out) {
  if (threadIdx.x < 4) out[threadIdx.x] = __shfl_down_sync(0xfu, 1, 1);
}
__global__ void OddWidthKernel(int* out) { out[threadIdx.x] = __shfl_down_sync(kAll, 1, 1, 12); }
__global__ void WarpAndBlockKernel(int* out) {
  if (threadIdx.x < 31) {
    __syncwarp();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

TEST_F(SimtWarpTest, WhatAGpuWouldHangOnOrAnswerWithAnythingIsABreach) {
  const struct {
    void (*kernel)(int*);
    unsigned threads;
    const char* says;
  } cases[] = {
      {DivergentKernel, 32,
       "block .0,0,0.: none goes on; (1|31) wait at __shfl_sync .warp_test.cc:[0-9]+. with mask "
       "0xffffffff, (1|31) wait at __shfl_sync .warp_test.cc:[0-9]+. with mask 0xffffffff"},
      {OtherExchangeKernel, 32,
       "block .*: none goes on; 28 wait at __all_sync .* with mask 0xffffffff, 4 wait at "
       "__any_sync .*"},
      {OtherMaskKernel, 32, "block .*: none goes on; 1 wait at .* 0x0000000f, 31 wait at .*"},
      {NotNamedKernel, 32,
       "thread .0,0,0. of block .0,0,0. at __any_sync .warp_test.cc:[0-9]+.: the mask 0xfffffffe "
       "does not name the caller, lane 0"},
      {LeavesFirstKernel, 32, "(thread .* names lane 3, which has left|.*; 1 left, 3 wait at .*)"},
      {NotNamedKernel, 16, "thread .* does not name the caller, lane 0"},
      {OtherExchangeKernel, 31, "thread .* names lane 31, which the block does not have"},
      {ReadsOfOthersKernel, 32, "thread .*: lane 3 reads of lane 4, which the mask does not name"},
      {OddWidthKernel, 32, "thread .*: the width is 12; 1, 2, 4, 8, 16 and 32 are allowed"},
      {WarpAndBlockKernel, 32,
       "block .*; 1 wait at __syncthreads .*, 31 wait at __syncwarp .* with mask 0xffffffff"},
  };
  for (const auto& each : cases) {
    const DeviceArray<int> out(std::vector<int>(32));
    ExpectBreach(cuda::Launch(each.kernel, {1, each.threads}, nullptr, out.get()),
                 cudaErrorLaunchFailure, each.says);
  }
  // And one that keeps to the rules runs after all of them.
  EXPECT_EQ(RunOn(HalvesKernel, std::vector<int>(32), 32)[0], 120);
}

// A warp's threads do not march in step: what one writes, another reads only after __syncwarp.
template <bool Waits>
__global__ void NeighbourKernel(int* out) {
  __shared__ int values[32];
  values[threadIdx.x] = static_cast<int>(threadIdx.x) + 1;
  if (Waits) __syncwarp();
  out[threadIdx.x] = values[(threadIdx.x + 1) % 32];
}

TEST_F(SimtWarpTest, AMissingSyncwarpIsSeenInTheOrder) {
  std::vector<std::vector<int>> with, without;
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    with.push_back(RunOn(NeighbourKernel<true>, std::vector<int>(32), 32));
    without.push_back(RunOn(NeighbourKernel<false>, std::vector<int>(32), 32));
  }
  std::vector<int> right(32);
  std::iota(right.begin(), right.end(), 2);
  right.back() = 1;
  EXPECT_THAT(with, testing::Each(right));
  EXPECT_NE(without[0], without[1]);
}

}  // namespace
}  // namespace muster::simt
