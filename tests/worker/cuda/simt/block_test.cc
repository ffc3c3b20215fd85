// Blocks: barriers, shared memory, shapes of launches, orders.
#include "tests/worker/cuda/simt/block.h"

#include <numeric>

#include "tests/worker/cuda/simt/fixture.h"
#include "worker/cuda/launch.h"

namespace muster::simt {
namespace {

class SimtBlockTest : public SimtTest {};

// The sum of a block's threads over a tree in shared memory; without the barriers it is a race.
template <bool Waits>
__global__ void TreeKernel(const int* in, int* out) {
  __shared__ int sums[256];
  const unsigned i = threadIdx.x;
  sums[i] = in[blockIdx.x * blockDim.x + i];
  for (unsigned width = blockDim.x / 2; width > 0; width /= 2) {
    if (Waits) __syncthreads();
    if (i < width) sums[i] += sums[i + width];
  }
  if (i == 0) out[blockIdx.x] = sums[0];
}

std::vector<int> Sums(void (*kernel)(const int*, int*)) {
  std::vector<int> values(3 * 256);
  std::iota(values.begin(), values.end(), 0);
  const DeviceArray<int> in(values), out(std::vector<int>(3));
  EXPECT_EQ(cuda::Launch(kernel, {3, 256}, nullptr, in.get(), out.get()), cudaSuccess);
  return out.Read();
}

TEST_F(SimtBlockTest, ABarrierHoldsAndAMissingOneIsSeenInTheOrder) {
  std::vector<std::vector<int>> with, without;
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    with.push_back(Sums(TreeKernel<true>));
    without.push_back(Sums(TreeKernel<false>));
  }
  EXPECT_THAT(with, testing::Each(testing::ElementsAre(32640, 98176, 163712)));
  EXPECT_THAT(without, testing::Contains(testing::Ne(with[0])));
  EXPECT_NE(without[0], without[1]);
}

// A tile that is filled, read by all and filled again: the second barrier keeps who is done from
// filling it while others read.
template <bool Waits>
__global__ void RefillKernel(const int* in, int* out) {
  __shared__ int tile[64];
  unsigned sum = 0;  // wraps
  for (int round = 0; round < 3; ++round) {
    tile[threadIdx.x] = in[round * 64 + static_cast<int>(threadIdx.x)];
    __syncthreads();
    for (int i = 0; i < 64; ++i) {
      __syncwarp();
      sum = sum * 3 + static_cast<unsigned>(tile[i]);
    }
    if (Waits) __syncthreads();
  }
  out[threadIdx.x] = static_cast<int>(sum);
}

std::vector<int> Refilled(void (*kernel)(const int*, int*)) {
  std::vector<int> values(3 * 64);
  std::iota(values.begin(), values.end(), 1);
  const DeviceArray<int> in(values), out(std::vector<int>(64));
  EXPECT_EQ(cuda::Launch(kernel, {1, 64}, nullptr, in.get(), out.get()), cudaSuccess);
  return out.Read();
}

TEST_F(SimtBlockTest, ABarrierThatKeepsALeaderBackIsMissed) {
  const std::vector<int> right = Refilled(RefillKernel<true>);
  std::vector<std::vector<int>> with, without;
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    with.push_back(Refilled(RefillKernel<true>));
    if (settings.by_warps) without.push_back(Refilled(RefillKernel<false>));
  }
  EXPECT_THAT(with, testing::Each(testing::Eq(right)));
  EXPECT_THAT(without, testing::Each(testing::Ne(right)));
}

__global__ void LeavesKernel() {
  if (threadIdx.x == 5) return;
  __syncthreads();
}
__global__ void TwoBarriersKernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void LeavesLateKernel() {
  __syncthreads();
  if (blockIdx.x == 1 && threadIdx.x % 2 == 0) __syncthreads();
}

TEST_F(SimtBlockTest, ThreadsThatDoNotMeetAreABreach) {
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    ExpectBreach(cuda::Launch(LeavesKernel, {1, 64}, nullptr), cudaErrorLaunchFailure,
                 "block .0,0,0.: none goes on; 1 left, 63 wait at __syncthreads "
                 ".block_test.cc:[0-9]+.");
    ExpectBreach(cuda::Launch(TwoBarriersKernel, {1, 64}, nullptr), cudaErrorLaunchFailure,
                 "thread .[0-9]+,0,0. of block .0,0,0. at __syncthreads .block_test.cc:[0-9]+.: "
                 "another thread of the block waits at __syncthreads .block_test.cc:[0-9]+.");
    ExpectBreach(cuda::Launch(LeavesLateKernel, {3, 64}, nullptr), cudaErrorLaunchFailure,
                 "block .1,0,0.: none goes on; 32 left, 32 wait at .*");
  }
}

__global__ void WhereKernel(unsigned* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] += block * 1000 + thread;
}

TEST_F(SimtBlockTest, EveryThreadOfEveryBlockRunsOnceAndKnowsWhereItIs) {
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    const DeviceArray<unsigned> out(std::vector<unsigned>(24 * 30));
    EXPECT_EQ(cuda::Launch(WhereKernel, {{2, 3, 4}, {5, 3, 2}}, nullptr, out.get()), cudaSuccess);
    const std::vector<unsigned> got = out.Read();
    for (unsigned i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], i / 30 * 1000 + i % 30);
  }
}

__global__ void OrderKernel(unsigned* next, unsigned* out) {
  const unsigned turn = atomicAdd(next, 1u);
  out[turn] = blockIdx.x * 4 + threadIdx.x;
}

TEST_F(SimtBlockTest, OrdersAreWhatTheyAreCalled) {
  std::vector<std::vector<unsigned>> got;
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    const DeviceArray<unsigned> next({0}), out(std::vector<unsigned>(12));
    EXPECT_EQ(cuda::Launch(OrderKernel, {3, 4}, nullptr, next.get(), out.get()), cudaSuccess);
    got.push_back(out.Read());
  }
  EXPECT_THAT(got[0], testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(got[1], testing::ElementsAre(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  EXPECT_THAT(got[2], testing::UnorderedElementsAreArray(got[0]));
  EXPECT_NE(got[2], got[0]);
  EXPECT_NE(got[3], got[1]);
}

__global__ void DynamicKernel(float* out, int n) {
  float* const values = cuda::SharedMemory<float>();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
    if (threadIdx.x == 0 && i == 0) out[0] = values[i];
    values[i] = static_cast<float>(i);
  }
  __syncthreads();
  if (threadIdx.x == 1) out[1] = values[n - 1];
}
__global__ void OtherDynamicKernel(float* out, int) { out[0] = out[1] = 0; }

TEST_F(SimtBlockTest, SharedMemoryMustBeAskedForBeyond48KiB) {
  const auto launch = [](void (*kernel)(float*, int), std::size_t bytes) {
    const DeviceArray<float> out({0, 0});
    const cudaError_t error = cuda::Launch(kernel, {2, 64, bytes}, nullptr, out.get(),
                                           static_cast<int>(bytes / sizeof(float)));
    if (error == cudaSuccess && kernel == DynamicKernel) {
      EXPECT_EQ(out.Read()[1], static_cast<float>(bytes / sizeof(float) - 1));
      EXPECT_LT(out.Read()[0], 0) << "what a block finds there is not what another left";
    }
    return error;
  };
  EXPECT_EQ(launch(DynamicKernel, 48 << 10), cudaSuccess);
  EXPECT_EQ(launch(DynamicKernel, (48 << 10) + 4), cudaErrorInvalidValue);
  const auto attribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
  EXPECT_EQ(cudaFuncSetAttribute(DynamicKernel, attribute, 163 << 10), cudaSuccess);
  EXPECT_EQ(cudaFuncSetAttribute(DynamicKernel, attribute, (163 << 10) + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(launch(DynamicKernel, 163 << 10), cudaSuccess);
  EXPECT_EQ(launch(DynamicKernel, (163 << 10) + 4), cudaErrorInvalidValue);
  EXPECT_EQ(launch(OtherDynamicKernel, 49 << 10), cudaErrorInvalidValue) << "each kernel by itself";
  Settings hopper;
  hopper.most_shared_bytes = 227 << 10;
  Configure(hopper);
  EXPECT_EQ(cudaFuncSetAttribute(DynamicKernel, attribute, 227 << 10), cudaSuccess);
  EXPECT_EQ(launch(DynamicKernel, 227 << 10), cudaSuccess);
}

__global__ void NothingKernel() {}

TEST_F(SimtBlockTest, AShapeThatNoGpuTakesIsAnError) {
  const struct {
    cuda::Grid grid;
    cudaError_t error;
  } cases[] = {
      {{0, 32}, cudaErrorInvalidConfiguration},
      {{1, 0}, cudaErrorInvalidConfiguration},
      {{1, 1024}, cudaSuccess},
      {{1, 1025}, cudaErrorInvalidConfiguration},
      {{1, {32, 32}}, cudaSuccess},
      {{1, {32, 33}}, cudaErrorInvalidConfiguration},
      {{1, {1, 1, 64}}, cudaSuccess},
      {{1, {1, 1, 65}}, cudaErrorInvalidConfiguration},
      {{{1, 65535}, 1}, cudaSuccess},
      {{{1, 65536}, 1}, cudaErrorInvalidConfiguration},
      {{{1, 1, 65536}, 1}, cudaErrorInvalidConfiguration},
      {{{0x80000000u}, 1}, cudaErrorInvalidConfiguration},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(cuda::Launch(NothingKernel, each.grid, nullptr), each.error);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "a launch asks, and asking forgets";
  }
}

TEST_F(SimtBlockTest, ALaunchIsToldOfAFailureBeforeItThatNobodyAskedFor) {
  void* none = nullptr;
  EXPECT_EQ(cudaMalloc(&none, ~std::size_t{0}), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cuda::Launch(NothingKernel, {1, 1}, nullptr), cudaErrorMemoryAllocation);
  EXPECT_EQ(cuda::Launch(NothingKernel, {1, 1}, nullptr), cudaSuccess);
}

template <std::size_t kBytes>
__global__ void DeepKernel(char* out) {
  volatile char local[kBytes];
  local[0] = 3;
  local[kBytes - 1] = 4;
  *out = static_cast<char>(local[0] + local[kBytes - 1]);
}

TEST_F(SimtBlockTest, AThreadHasAStackAndDoesNotReachOverIt) {
  const DeviceArray<char> out({0});
  EXPECT_EQ(cuda::Launch(DeepKernel<kStackBytes / 2>, {1, 2}, nullptr, out.get()), cudaSuccess);
  EXPECT_THAT(out.Read(), testing::ElementsAre(7));
  EXPECT_DEATH((void)cuda::Launch(DeepKernel<kStackBytes * 2>, {1, 2}, nullptr, out.get()), "");
}

__global__ void AtomicsKernel(int* i, unsigned* u, unsigned long long* l) {
  const int mine = static_cast<int>(threadIdx.x) - 10;
  atomicAdd(&i[0], mine);
  atomicMax(&i[1], mine);
  atomicMin(&i[2], mine);
  atomicOr(&u[0], 1u << (threadIdx.x % 32));
  atomicMax(&u[1], threadIdx.x);
  atomicAdd(&l[0], 0x8000000000000001ull);
}

TEST_F(SimtBlockTest, AtomicsAddUp) {
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    const DeviceArray<int> i({5, -100, 100});
    const DeviceArray<unsigned> u({0, 0});
    const DeviceArray<unsigned long long> l({3});
    EXPECT_EQ(cuda::Launch(AtomicsKernel, {2, 64}, nullptr, i.get(), u.get(), l.get()),
              cudaSuccess);
    EXPECT_THAT(i.Read(), testing::ElementsAre(5 + 2 * (2016 - 640), 53, -10));
    EXPECT_THAT(u.Read(), testing::ElementsAre(0xffffffffu, 63u));
    EXPECT_THAT(l.Read(), testing::ElementsAre(3u + 128u));
  }
}

}  // namespace
}  // namespace muster::simt
