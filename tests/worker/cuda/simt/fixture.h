// What tests of kernels on the emulator share: device memory that frees itself, all orders, and that
// nothing was done wrong unless a test asked for it.
//
// Thread rule: one thread.
#pragma once

#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/worker/cuda/simt/simt.h"

namespace muster::simt {

// Blocks and threads in each direction and mixed, and warps that do not march evenly: what differs
// between them was a race.
inline std::vector<Settings> AllOrders() {
  std::vector<Settings> all(6);
  all[1].blocks = all[1].threads = Order::kDescending;
  all[2].blocks = all[2].threads = Order::kShuffled;
  all[3].by_warps = true;
  all[4].threads = Order::kDescending;
  all[4].by_warps = true;
  all[5].blocks = Order::kDescending;
  all[5].threads = Order::kShuffled;
  all[5].seed = 7;
  return all;
}

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : size_(values.size()) {
    EXPECT_EQ(cudaMalloc(&at_, size_ * sizeof(T)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(at_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  ~DeviceArray() { EXPECT_EQ(cudaFree(at_), cudaSuccess); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* get() const { return at_; }
  std::vector<T> Read() const {
    std::vector<T> values(size_);
    EXPECT_EQ(cudaMemcpy(values.data(), at_, size_ * sizeof(T), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return values;
  }

 private:
  std::size_t size_ = 0;
  T* at_ = nullptr;
};

class SimtTest : public testing::Test {
 protected:
  void SetUp() override { Configure({}); }
  void TearDown() override {
    EXPECT_THAT(TakeBreaches(), testing::IsEmpty());
    const Counts counts = CountAll();
    EXPECT_EQ(counts.allocated, 0);
    EXPECT_EQ(counts.page_locked, 0);
    EXPECT_EQ(counts.streams, 0);
    EXPECT_EQ(counts.events, 0);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    Configure({});
  }

  // That a launch or call failed with this error, and what it said.
  static void ExpectBreach(cudaError_t given, cudaError_t error, const std::string& pattern) {
    EXPECT_EQ(given, error) << cudaGetErrorString(given);
    cudaGetLastError();  // a launch asks for it, a call does not
    EXPECT_THAT(TakeBreaches(), testing::ElementsAre(testing::MatchesRegex(pattern))) << pattern;
  }
};

}  // namespace muster::simt
