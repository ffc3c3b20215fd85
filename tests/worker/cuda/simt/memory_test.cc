// Memory of devices and the runtime's functions: whose pointer is whose, and what CUDA answers.
#include "tests/worker/cuda/simt/memory.h"

#include "tests/worker/cuda/simt/fixture.h"
#include "worker/cuda/launch.h"

namespace muster::simt {
namespace {

class SimtMemoryTest : public SimtTest {};

struct InStructure {
  bool flag;  // and then bytes of no meaning
  std::int64_t length;
  float* at;
};
__global__ void PlainKernel(float* at) { *at = 1; }
__global__ void StructureKernel(InStructure in) { *in.at = static_cast<float>(in.length); }
__global__ void NumbersKernel(std::int64_t, std::uint64_t, double) {}

TEST_F(SimtMemoryTest, MemoryOfTheHostInAKernelIsABreach) {
  const DeviceArray<float> array({0, 0});
  float on_stack = 0;
  std::vector<float> on_heap(1);
  static float in_program = 0;
  EXPECT_EQ(cuda::Launch(PlainKernel, {1, 1}, nullptr, array.get() + 1), cudaSuccess);
  EXPECT_EQ(cuda::Launch(StructureKernel, {1, 1}, nullptr, InStructure{true, 7, array.get()}),
            cudaSuccess);
  EXPECT_THAT(array.Read(), testing::ElementsAre(7, 1));
  for (float* const wrong : {&on_stack, on_heap.data(), &in_program}) {
    ExpectBreach(cuda::Launch(PlainKernel, {1, 1}, nullptr, wrong), cudaErrorLaunchFailure,
                 "launch: parameter 1 is no device memory: it is the host's, or was freed");
    ExpectBreach(cuda::Launch(StructureKernel, {1, 1}, nullptr, InStructure{true, 7, wrong}),
                 cudaErrorLaunchFailure,
                 "launch: parameter 1 holds at byte 16 what is no device memory: .*");
  }
  // No number is taken for a pointer that is none.
  EXPECT_EQ(cuda::Launch(NumbersKernel, {1, 1}, nullptr, std::int64_t{1} << 44, ~0ull, 1e300),
            cudaSuccess);
}

TEST_F(SimtMemoryTest, WhatWasFreedIsNoDevicesMemory) {
  float* freed = nullptr;
  ASSERT_EQ(cudaMalloc(&freed, 4), cudaSuccess);
  ASSERT_EQ(cudaFree(freed), cudaSuccess);
  ExpectBreach(cuda::Launch(PlainKernel, {1, 1}, nullptr, freed), cudaErrorLaunchFailure,
               "launch: parameter 1 is no device memory: .*");
  ExpectBreach(cudaFree(freed), cudaErrorInvalidValue, "cudaFree: it was not allocated, .*");
  float host = 0;
  ExpectBreach(cudaMemcpy(&host, freed, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue,
               "cudaMemcpy of 4 bytes: its source is no device memory of that length");
}

TEST_F(SimtMemoryTest, ACopyInTheWrongDirectionIsABreach) {
  const DeviceArray<float> array({1, 2}), other({3, 4});
  float host[3] = {5, 6, 7};
  const struct {
    void* to;
    const void* from;
    std::size_t bytes;
    cudaMemcpyKind kind;
    const char* why;
  } cases[] = {
      {array.get(), host, 12, cudaMemcpyHostToDevice, "target is no device memory of that length"},
      {array.get() + 1, host, 8, cudaMemcpyHostToDevice, "target is no device .*"},
      {host, array.get(), 8, cudaMemcpyHostToDevice, "target is no device memory .*"},
      {host, array.get(), 12, cudaMemcpyDeviceToHost, "source is no device memory .*"},
      {array.get(), host, 8, cudaMemcpyDeviceToHost, "source is no device memory .*"},
      {array.get(), other.get(), 8, cudaMemcpyHostToDevice, "source is device memory"},
      {array.get(), other.get(), 8, cudaMemcpyDeviceToHost, "target is device memory"},
      {array.get(), host, 8, cudaMemcpyDeviceToDevice, "source is no device memory .*"},
      {host, array.get(), 8, cudaMemcpyHostToHost, "source is device memory"},
  };
  for (const auto& each : cases) {
    ExpectBreach(cudaMemcpyAsync(each.to, each.from, each.bytes, each.kind), cudaErrorInvalidValue,
                 std::string("cudaMemcpyAsync of [0-9]+ bytes: its ") + each.why);
  }
  EXPECT_EQ(cudaMemcpy(host, host, 4, static_cast<cudaMemcpyKind>(9)),
            cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(cudaMemcpy(nullptr, nullptr, 0, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_THAT(array.Read(), testing::ElementsAre(1, 2)) << "nothing of it was done";
  EXPECT_EQ(cudaMemcpy(array.get(), other.get() + 1, 4, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemset(array.get() + 1, 0, 4), cudaSuccess);
  EXPECT_THAT(array.Read(), testing::ElementsAre(4, 0));
  ExpectBreach(cudaMemset(array.get() + 1, 0, 8), cudaErrorInvalidValue,
               "cudaMemset of 8 bytes: it fills no device memory of that length");
}

#if !defined(__SANITIZE_ADDRESS__)
__global__ void OverrunKernel(float* at, int by) { at[by] = 1; }

// AddressSanitizer ends the process at once: below.
TEST_F(SimtMemoryTest, WritesAroundAnAllocationAreABreach) {
  const DeviceArray<float> array({1, 2, 3});
  ExpectBreach(cuda::Launch(OverrunKernel, {1, 1}, nullptr, array.get(), 3), cudaErrorLaunchFailure,
               "something was written after an allocation of 12 bytes");
  ExpectBreach(cuda::Launch(OverrunKernel, {1, 1}, nullptr, array.get(), -1),
               cudaErrorLaunchFailure, "something was written before an allocation of 12 bytes");
  EXPECT_EQ(cuda::Launch(OverrunKernel, {1, 1}, nullptr, array.get(), 2), cudaSuccess);
}
#else
__global__ void ReadKernel(const float* at, float* out, int by) { *out = at[by]; }
__global__ void ReadSharedKernel(float* out, int by) { *out = cuda::SharedMemory<float>()[by]; }

TEST_F(SimtMemoryTest, AddressSanitizerSeesEveryAccessAroundAnAllocation) {
  const DeviceArray<float> array({1, 2, 3}), out({0});
  const auto read = [&](int by) {
    (void)cuda::Launch(ReadKernel, {1, 1}, nullptr, array.get(), out.get(), by);
  };
  EXPECT_DEATH(read(3), "use-after-poison");
  EXPECT_DEATH(read(-1), "use-after-poison");
  const auto read_shared = [&](int by) {
    (void)cuda::Launch(ReadSharedKernel, {1, 1, 12}, nullptr, out.get(), by);
  };
  EXPECT_DEATH(read_shared(3), "use-after-poison");
  EXPECT_DEATH(read_shared(-1), "use-after-poison");
  EXPECT_DEATH(static_cast<volatile float*>(array.get())[0] = 1, "use-after-poison")
      << "the host has no way to a device's memory";
  read(2);
  EXPECT_THAT(out.Read(), testing::ElementsAre(3));
}
#endif

TEST_F(SimtMemoryTest, ADeviceHasNoMoreMemoryThanItHas) {
  Settings small;
  small.device_bytes = 1000;
  small.devices = 2;
  Configure(small);
  void *first = nullptr, *second = nullptr, *none = nullptr;
  EXPECT_EQ(cudaMalloc(&first, 600), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&none, 401), cudaErrorMemoryAllocation);
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(cudaMalloc(&none, ~std::size_t{0}), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&none, 0), cudaSuccess);
  EXPECT_EQ(none, nullptr);
  std::size_t free_bytes = 0, total_bytes = 0;
  EXPECT_EQ(cudaMemGetInfo(&free_bytes, &total_bytes), cudaSuccess);
  EXPECT_EQ(free_bytes, 400U);
  EXPECT_EQ(total_bytes, 1000U);
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 1000), cudaSuccess) << "another device has its own";
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaFree(second), cudaSuccess);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
}

TEST_F(SimtMemoryTest, StreamsAndEventsAreKnownUntilTheyAreDestroyed) {
  Settings two;
  two.devices = 2;
  Configure(two);
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream, event), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  const DeviceArray<float> array({0});
  ExpectBreach(cuda::Launch(PlainKernel, {1, 1}, stream, array.get()),
               cudaErrorInvalidResourceHandle, "launch: its stream is none of this device");
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  ExpectBreach(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle, "cudaStreamDestroy: .*");
  ExpectBreach(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle, "cudaStream.*: .*");
  ExpectBreach(cudaEventRecord(event, nullptr), cudaErrorInvalidResourceHandle,
               "cudaEventRecord: there is no such event");
  ExpectBreach(cuda::Launch(PlainKernel, {1, 1}, stream, array.get()),
               cudaErrorInvalidResourceHandle, "launch: .*");
}

TEST_F(SimtMemoryTest, PageLockedMemoryIsTheHosts) {
  void* host = nullptr;
  ASSERT_EQ(cudaMallocHost(&host, 8), cudaSuccess);
  const DeviceArray<float> array({1, 2});
  EXPECT_EQ(cudaMemcpy(host, array.get(), 8, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(static_cast<float*>(host)[1], 2);
  EXPECT_EQ(CountAll().page_locked, 1);
  EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
  ExpectBreach(cudaFreeHost(host), cudaErrorInvalidValue, "cudaFreeHost: .*");
}

// CUDA may do such a copy at any time until its stream is past it; a late stream does it as late as
// that.
TEST_F(SimtMemoryTest, ACopyToPageLockedMemoryIsDoneWhenItIsWaitedFor) {
  Settings settings;
  settings.late = true;
  Configure(settings);
  void* locked = nullptr;
  ASSERT_EQ(cudaMallocHost(&locked, 8), cudaSuccess);
  float* const host = static_cast<float*>(locked);
  cudaStream_t copies = nullptr, other = nullptr;
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync),
            cudaSuccess);
  const DeviceArray<float> array({0, 0});
  const auto copy = [&] {
    host[0] = host[1] = -1;
    return cudaMemcpyAsync(host, array.get(), 8, cudaMemcpyDeviceToHost, copies) == cudaSuccess &&
           cudaEventRecord(event, copies) == cudaSuccess && host[0] == -1;
  };
  const auto set = [&](float to) {
    const float values[] = {to, to};
    return cudaMemcpy(array.get(), values, 8, cudaMemcpyHostToDevice) == cudaSuccess;
  };
  // Who does not hold the other stream back has the source overwritten under the copy.
  ASSERT_TRUE(set(1) && copy() && set(2));
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(host[0], 2);
  // Who does has what was there.
  ASSERT_TRUE(set(1) && copy());
  const float twos[] = {2, 2};
  EXPECT_EQ(cudaStreamWaitEvent(other, event), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(array.get(), twos, 8, cudaMemcpyHostToDevice, other), cudaSuccess);
  EXPECT_EQ(host[0], -1);
  EXPECT_EQ(cudaStreamSynchronize(other), cudaSuccess);
  EXPECT_EQ(host[0], 1);
  EXPECT_THAT(array.Read(), testing::ElementsAre(2, 2));
  // Another stream that does not wait for it is nothing to it.
  ASSERT_TRUE(copy());
  EXPECT_EQ(cudaStreamSynchronize(other), cudaSuccess);
  EXPECT_EQ(host[0], -1);
  EXPECT_EQ(cudaStreamSynchronize(copies), cudaSuccess);
  EXPECT_EQ(host[0], 2);
  // What comes behind it on its stream waits for it too, and all of it for the device's end.
  ASSERT_TRUE(copy());
  EXPECT_EQ(cuda::Launch(PlainKernel, {1, 1}, copies, array.get()), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(host[0], 2);
  ASSERT_TRUE(copy());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(host[0], 1);
  // From it as well: its bytes are read late.
  host[0] = 5;
  EXPECT_EQ(cudaMemcpyAsync(array.get(), host, 8, cudaMemcpyHostToDevice, copies), cudaSuccess);
  host[0] = 6;
  EXPECT_EQ(cudaStreamDestroy(copies), cudaSuccess);
  EXPECT_THAT(array.Read(), testing::ElementsAre(6, 2));
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(locked), cudaSuccess);
}

TEST_F(SimtMemoryTest, FreshMemoryHoldsNoZeros) {
  float* at = nullptr;
  ASSERT_EQ(cudaMalloc(&at, 8), cudaSuccess);
  float host[2] = {0, 0};
  EXPECT_EQ(cudaMemcpy(host, at, 8, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_NE(host[1], 0);
  EXPECT_EQ(cudaFree(at), cudaSuccess);
}

TEST_F(SimtMemoryTest, AFailedLaunchSaysWhy) {
  float host = 0;
  const cudaError_t error = cuda::Launch(PlainKernel, {1, 1}, nullptr, &host);
  EXPECT_STREQ(cudaGetErrorName(error), "cudaErrorLaunchFailure");
  EXPECT_THAT(cudaGetErrorString(error),
              testing::StartsWith("unspecified launch failure: launch: parameter 1 is no device"));
  ExpectBreach(error, cudaErrorLaunchFailure, "launch: .*");
  EXPECT_STREQ(cudaGetErrorString(error), "unspecified launch failure");
  EXPECT_STREQ(cudaGetErrorString(static_cast<cudaError_t>(12345)), "unrecognized error code");
}

}  // namespace
}  // namespace muster::simt
