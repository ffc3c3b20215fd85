// Streams that are captured, and streams that are late.
#include <array>

#include "tests/worker/cuda/simt/fixture.h"
#include "worker/cuda/launch.h"

namespace muster::simt {
namespace {

__global__ void AddKernel(int* at, const int* what) { *at += *what; }

class SimtGraphTest : public SimtTest {
 protected:
  void SetUp() override {
    SimtTest::SetUp();
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    EXPECT_EQ(CountAll().graphs, 0);
    SimtTest::TearDown();
  }
  cudaError_t Begin() { return cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal); }
  cudaError_t Add(int* at, const int* what) {
    cuda::Grid grid;
    grid.blocks = grid.threads = 1;
    return cuda::Launch(AddKernel, grid, stream_, at, what);
  }
  cudaStream_t stream_ = nullptr;
};

TEST_F(SimtGraphTest, WhatIsCapturedIsDoneByEachLaunchWithWhatIsThereThen) {
  DeviceArray<int> sum({1}), what({10});
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(Begin(), cudaSuccess);
  EXPECT_EQ(Add(sum.get(), what.get()), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(what.get(), 0, sizeof(int), stream_), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(sum.Read(), std::vector<int>{1});
  std::size_t nodes = 0;
  EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &nodes), cudaSuccess);
  EXPECT_EQ(nodes, 2u);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(sum.Read(), std::vector<int>{11});
  EXPECT_EQ(what.Read(), std::vector<int>{0});
  const int next = 5;
  EXPECT_EQ(cudaMemcpy(what.get(), &next, sizeof next, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(sum.Read(), std::vector<int>{16});
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

TEST_F(SimtGraphTest, MemoryThatWasFreedIsMissedWhenTheGraphIsLaunched) {
  DeviceArray<int> sum({1});
  int* what = nullptr;
  ASSERT_EQ(cudaMalloc(&what, sizeof(int)), cudaSuccess);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(Begin(), cudaSuccess);
  EXPECT_EQ(Add(sum.get(), what), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaFree(what), cudaSuccess);
  ExpectBreach(cudaGraphLaunch(exec, stream_), cudaErrorLaunchFailure, "launch: parameter 2 .*");
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

TEST_F(SimtGraphTest, WhatNoCaptureAllowsEndsIt) {
  void* memory = nullptr;
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(Begin(), cudaSuccess);
  ExpectBreach(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported, "cudaMalloc: .*");
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaGetLastError(), cudaErrorStreamCaptureInvalidated);
  ASSERT_EQ(Begin(), cudaSuccess);
  ExpectBreach(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported, "cudaStreamS.*");
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
  ExpectBreach(cudaStreamEndCapture(stream_, &graph), cudaErrorInvalidValue, ".*not captured");
  ASSERT_EQ(Begin(), cudaSuccess);
  ExpectBreach(Begin(), cudaErrorInvalidValue, "cudaStreamBeginCapture: .*");
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  ExpectBreach(cudaGraphDestroy(graph), cudaErrorInvalidResourceHandle, "cudaGraphDestroy: .*");
}

TEST_F(SimtGraphTest, FailsWhereATestWantsIt) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  Settings settings;
  settings.captures_fail = true;
  Configure(settings);
  ASSERT_EQ(Begin(), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  settings = {};
  settings.instantiations_fail = true;
  Configure(settings);
  ASSERT_EQ(Begin(), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  cudaGetLastError();
}

TEST_F(SimtGraphTest, ALateStreamReadsPageLockedMemoryWhenSomebodyWaits) {
  Settings settings;
  settings.late = true;
  Configure(settings);
  DeviceArray<int> sum({1}), what({10});
  void* host = nullptr;
  ASSERT_EQ(cudaMallocHost(&host, sizeof(int)), cudaSuccess);
  auto* const locked = static_cast<int*>(host);
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);

  *locked = 2;
  int pageable = 3;
  EXPECT_EQ(cudaMemcpyAsync(what.get(), locked, sizeof(int), cudaMemcpyHostToDevice, stream_),
            cudaSuccess);
  EXPECT_EQ(Add(sum.get(), what.get()), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(what.get(), &pageable, sizeof(int), cudaMemcpyHostToDevice, stream_),
            cudaSuccess);
  pageable = 1000;  // it was read when the call returned
  EXPECT_EQ(Add(sum.get(), what.get()), cudaSuccess);
  EXPECT_EQ(sum.Read(), std::vector<int>{1}) << "nobody has waited";
  *locked = 20;  // too early: this is what is read
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(sum.Read(), std::vector<int>{21}) << "as far as the event";
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(sum.Read(), std::vector<int>{24});

  int read = 0;
  EXPECT_EQ(Add(sum.get(), what.get()), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(&read, sum.get(), sizeof(int), cudaMemcpyDeviceToHost, stream_),
            cudaSuccess);
  EXPECT_EQ(read, 27) << "pageable: it waits";
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
}

}  // namespace
}  // namespace muster::simt
