// The module's host code: contexts, memory, and what it says when something fails.
#include <cstring>
#include <limits>

#include "tests/worker/cuda/launched.h"

namespace muster::cuda {
namespace {

class LaunchedModuleTest : public LaunchedTest {};

TEST_F(LaunchedModuleTest, SaysWhatItIs) {
  EXPECT_EQ(module().interface_version, static_cast<std::uint32_t>(MUSTER_CUDA_INTERFACE));
  EXPECT_STREQ(module().build, MUSTER_CUDA_BUILD);
  if (OnEmulator()) {
    EXPECT_EQ(module().cuda_version, 13000);
    EXPECT_STREQ(module().architectures, "simt");
  } else {
    EXPECT_GE(module().cuda_version, 13000);
    EXPECT_THAT(module().architectures, testing::HasSubstr("sm_90"));
  }
}

TEST_F(LaunchedModuleTest, AContextOfADeviceThatIsNotThereIsRefusedAndLeavesNothing) {
  for (const std::int32_t ordinal : {-1, 1, 1 << 20}) {
    if (ordinal == 1 && !OnEmulator()) continue;  // this machine may have two
    auto* other = reinterpret_cast<MusterCudaContext*>(this);
    EXPECT_EQ(module().create(ordinal, &other, message()), 1);
    EXPECT_EQ(other, nullptr);
    EXPECT_EQ(text(), "cudaSetDevice: invalid device ordinal (cudaErrorInvalidDevice)");
    module().destroy(other);
  }
  EXPECT_EQ(simt::CountAll().streams, OnEmulator() ? 2 : 0) << "of the test's own context";
  EXPECT_EQ(simt::CountAll().events, OnEmulator() ? 2 : 0);
}

TEST_F(LaunchedModuleTest, ContextsOfTwoDevicesTakeTurns) {
  MUSTER_ON_EMULATOR_ONLY();
  simt::Settings two;
  two.devices = 2;
  simt::Configure(two);
  MusterCudaContext* other = nullptr;
  ASSERT_EQ(module().create(1, &other, message()), 0) << text();
  void *here = nullptr, *there = nullptr;
  for (int turn = 0; turn < 2; ++turn) {
    ASSERT_EQ(module().allocate(context(), 8, &here, message()), 0) << text();
    ASSERT_EQ(module().allocate(other, 8, &there, message()), 0) << text();
    const float values[2] = {1, 2};
    EXPECT_EQ(module().to_device(context(), values, here, 8, message()), 0) << text();
    EXPECT_EQ(module().to_device(other, values, there, 8, message()), 0) << text();
    const MusterCudaSums sums = {MUSTER_CUDA_FLOAT, here, 2, 0};
    const MusterCudaSums others = {MUSTER_CUDA_FLOAT, there, 2, 0};
    auto* const to = static_cast<float*>(here);
    EXPECT_EQ(module().dequantise(context(), &sums, 0.5, to, message()), 0) << text();
    EXPECT_EQ(module().dequantise(other, &others, 2, static_cast<float*>(there), message()), 0);
    EXPECT_THAT(Down(to, 2), testing::ElementsAre(0.5f, 1));
    module().release(other, there);
    module().release(context(), here);
  }
  module().destroy(other);
}

TEST_F(LaunchedModuleTest, AnAllocationThatIsTooLargeIsRefusedAndForgotten) {
  for (const std::int64_t bytes : {(std::int64_t{1} << (OnEmulator() ? 34 : 50)) + 1,
                                   std::numeric_limits<std::int64_t>::max(), std::int64_t{-1}}) {
    void* device = this;
    EXPECT_EQ(module().allocate(context(), bytes, &device, message()), 1);
    EXPECT_EQ(device, nullptr);
    EXPECT_EQ(text(), "cudaMalloc: out of memory (cudaErrorMemoryAllocation)");
    // A launch after it is not told of it.
    const std::vector<std::int32_t> q = {1, 2};
    const MusterCudaSums sums = {MUSTER_CUDA_INT32, Up(q), 2, 0};
    EXPECT_EQ(module().dequantise(context(), &sums, 1, Up(std::vector<float>(2)), message()), 0)
        << text();
  }
}

TEST_F(LaunchedModuleTest, TellsWhatIsLeftOfTheDevicesMemory) {
  std::int64_t free = 0, total = 0, then = 0;
  ASSERT_EQ(module().memory(context(), &free, &total, message()), 0) << text();
  if (OnEmulator()) {
    EXPECT_EQ(total, std::int64_t{16} << 30);
  }
  EXPECT_GT(free, 0);
  EXPECT_LE(free, total);
  void* device = nullptr;
  ASSERT_EQ(module().allocate(context(), 1 << 20, &device, message()), 0) << text();
  ASSERT_EQ(module().memory(context(), &then, &total, message()), 0) << text();
  // A GPU gives whole pages, perhaps of what the context holds already.
  EXPECT_GE(free, then);
  if (OnEmulator()) {
    EXPECT_EQ(free - then, 1 << 20);
  }
  module().release(context(), device);
}

TEST_F(LaunchedModuleTest, NoBytesAreNoMemory) {
  void* device = this;
  EXPECT_EQ(module().allocate(context(), 0, &device, message()), 0) << text();
  EXPECT_EQ(device, nullptr);
  EXPECT_EQ(module().to_device(context(), nullptr, device, 0, message()), 0) << text();
  EXPECT_EQ(module().to_host(context(), device, nullptr, 0, message()), 0) << text();
  module().release(context(), device);
}

TEST_F(LaunchedModuleTest, ACopyInTheWrongDirectionIsToldByName) {
  MUSTER_ON_EMULATOR_ONLY();
  float host[4] = {};
  float* const device = Up(std::vector<float>(2));
  EXPECT_EQ(module().to_device(context(), device, host, 8, message()), 1);
  EXPECT_EQ(text(), "cudaMemcpyAsync to the device: invalid argument (cudaErrorInvalidValue)");
  EXPECT_EQ(module().to_host(context(), host, device, 8, message()), 1);
  EXPECT_EQ(text(), "cudaMemcpyAsync to the host: invalid argument (cudaErrorInvalidValue)");
  EXPECT_EQ(module().to_host(context(), device, host, 16, message()), 1);
  EXPECT_EQ(simt::TakeBreaches().size(), 3U);
  module().release(context(), host);
  EXPECT_EQ(simt::TakeBreaches().size(), 1U);
}

TEST_F(LaunchedModuleTest, AKindThatIsNoneIsRefused) {
  const std::vector<std::int64_t> memory = {1, 2};
  float* const f = Up(std::vector<float>(6));
  std::uint64_t* const out = Up(std::vector<std::uint64_t>(3));
  MusterCudaSums sums = {3, Up(memory), 2, 0};
  const MusterCudaAdamW constants = {};
  const std::string invalid = ": invalid argument (cudaErrorInvalidValue)";
  EXPECT_EQ(module().dequantise(context(), &sums, 1, f, message()), 1);
  EXPECT_EQ(text(), "launch of dequantise" + invalid);
  EXPECT_EQ(module().update(context(), &sums, 1, &constants, f, f + 2, f + 4,
                            reinterpret_cast<MusterCudaFolds*>(out), message()),
            1);
  EXPECT_EQ(text(), "launch of update" + invalid);
  EXPECT_EQ(module().squares(context(), &sums, 1, reinterpret_cast<double*>(out), message()), 1);
  EXPECT_EQ(text(), "launch of squares" + invalid);
  EXPECT_EQ(module().quantise_add(context(), f, &sums, 1, 1, reinterpret_cast<MusterCudaTold*>(out),
                                  message()),
            1);
  EXPECT_EQ(text(), "launch of quantise_add" + invalid);
  // Floats have no checksum.
  for (sums.kind = MUSTER_CUDA_FLOAT; sums.kind <= 3; ++sums.kind) {
    EXPECT_EQ(module().checksum(context(), &sums, out, message()), 1);
    EXPECT_EQ(text(), "launch of checksum" + invalid);
  }
  EXPECT_EQ(Down(out, 3), std::vector<std::uint64_t>(3)) << "nothing was computed";
}

TEST_F(LaunchedModuleTest, MemoryOfTheHostInEachKernelIsFound) {
  MUSTER_ON_EMULATOR_ONLY();
  std::vector<float> host(4);
  float* const device = Up(host);
  std::uint64_t* const out = Up(std::vector<std::uint64_t>(3));
  const MusterCudaSums sums = {MUSTER_CUDA_FLOAT, host.data(), 4, 0};
  EXPECT_EQ(module().dequantise(context(), &sums, 1, device, message()), 1);
  EXPECT_THAT(text(),
              testing::MatchesRegex(
                  "launch of dequantise: unspecified launch failure: launch: parameter 1 "
                  "holds at byte 8 what is no device memory: .* [(]cudaErrorLaunchFailure[)]"));
  EXPECT_EQ(module().digest(context(), host.data(), 4, 0, 0, out, message()), 1);
  EXPECT_THAT(text(), testing::HasSubstr("launch: parameter 1 is no device memory"));
  MusterCudaNorm norm = {};
  norm.rows = 1;
  norm.width = 4;
  norm.stream = device;
  norm.branch = host.data();
  EXPECT_EQ(module().norm_forward(context(), &norm, message()), 1);
  EXPECT_EQ(module().norm_backward(context(), &norm, message()), 1);
  EXPECT_EQ(simt::TakeBreaches().size(), 4U);
}

TEST_F(LaunchedModuleTest, ASentenceIsCutToItsRoomAndNeedsNone) {
  std::array<char, 16> small;
  small.fill('x');
  MusterCudaContext* none = nullptr;
  constexpr std::int32_t kNone = 1 << 20;
  EXPECT_EQ(module().create(kNone, &none, {small.data(), 8}), 1);
  EXPECT_STREQ(small.data(), "cudaSet");
  EXPECT_EQ(small[8], 'x');
  EXPECT_EQ(module().create(kNone, &none, {nullptr, 0}), 1);
  EXPECT_EQ(module().create(kNone, &none, {small.data(), 0}), 1);
  EXPECT_STREQ(small.data(), "cudaSet");
}

}  // namespace
}  // namespace muster::cuda
