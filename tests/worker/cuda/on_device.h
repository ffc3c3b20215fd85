// Arrays of the emulated device, and numbers for tests of kernels.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "operator/base/rng.h"
#include "tests/worker/cuda/simt/simt.h"
#include "worker/cuda/bf16.h"

namespace muster::cuda {

template <typename T>
class OnDevice {
 public:
  explicit OnDevice(std::size_t size) : OnDevice(std::vector<T>(size)) {}
  explicit OnDevice(const std::vector<T>& values) : size_(values.size()) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), (size_ + 1) * sizeof(T)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice() { EXPECT_EQ(cudaFree(data_), cudaSuccess); }

  T* data() { return data_; }
  std::size_t size() const { return size_; }
  std::vector<T> Read() const {
    std::vector<T> values(size_);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return values;
  }

 private:
  std::size_t size_;
  T* data_ = nullptr;
};

inline std::vector<float> RandomNumbers(std::size_t size, std::uint64_t seed, float range = 1) {
  base::SplitMix random(seed);
  std::vector<float> values(size);
  for (float& value : values) value = range * static_cast<float>(2 * random.Uniform() - 1);
  return values;
}
inline std::vector<Bf16> RoundAll(const std::vector<float>& values) {
  std::vector<Bf16> rounded;
  for (const float value : values) rounded.push_back(ToBf16(value));
  return rounded;
}
inline std::vector<float> FloatAll(const std::vector<Bf16>& values) {
  std::vector<float> floats;
  for (const Bf16 value : values) floats.push_back(ToFloat(value));
  return floats;
}
inline std::vector<Bf16> RandomBf16(std::size_t size, std::uint64_t seed, float range = 1) {
  return RoundAll(RandomNumbers(size, seed, range));
}
template <typename T>
std::vector<std::uint64_t> BitsOf(const std::vector<T>& values) {
  std::vector<std::uint64_t> bits;
  for (const T& value : values) {
    std::uint64_t word = 0;
    memcpy(&word, &value, sizeof value);
    bits.push_back(word);
  }
  return bits;
}

// Rounding to bfloat16 moves a number by at most this share of it.
inline constexpr double kBf16 = 1.0 / 256;

// |actual - expected| <= absolute + relative |expected|, number by number.
inline void ExpectNear(const std::vector<float>& actual, const std::vector<double>& expected,
                       double absolute, double relative, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double bound = absolute + relative * std::fabs(expected[i]);
    ASSERT_LE(std::fabs(static_cast<double>(actual[i]) - expected[i]), bound)
        << what << " " << i << ": " << actual[i] << " for " << expected[i];
  }
}

// What the emulator makes free, in four ways: a kernel without a race has the same bits in all.
inline std::vector<simt::Settings> Orders() {
  std::vector<simt::Settings> orders(4);
  orders[1].blocks = orders[1].threads = simt::Order::kDescending;
  orders[2].blocks = orders[2].threads = simt::Order::kShuffled;
  orders[2].seed = 7;
  orders[3].by_warps = true;
  return orders;
}

}  // namespace muster::cuda
