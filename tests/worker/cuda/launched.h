// The module's table on the emulator (simt/simt.h): its kernels as they are launched, and its host
// code, in every build; or on a GPU (tested_module.h).
//
// Thread rule: one thread.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/worker/cuda/simt/fixture.h"
#include "tests/worker/cuda/tested_module.h"
#include "worker/cuda/module.h"
#include "worker/cuda/portable.h"

namespace muster::cuda {

// Around a warp and a block.
inline constexpr std::size_t kShapes[] = {0, 1, 31, 32, 33, 255, 256, 257};
// A second element for the first thread and no other: the grid has at most 1,024 blocks of 256.
// That many fibers take a quarter of a second, so they run in one order, the mixed one.
inline constexpr std::size_t kMoreThanTheGrid = 1024 * 256 + 1;
// The second runs past the 32nd bit within 16 elements, the third is beyond it.
inline constexpr std::uint64_t kIndices[] = {0, 0xfffffff0ull, 0x123456789abull};

class LaunchedTest : public simt::SimtTest {
 protected:
  void SetUp() override {
    SimtTest::SetUp();
    ASSERT_EQ(module().create(0, &context_, message()), 0) << text();
  }
  void TearDown() override {
    Release();
    module().destroy(context_);
    SimtTest::TearDown();
  }

  static const MusterCudaModule& module() { return TestedModule(); }
  MusterCudaContext* context() const { return context_; }
  MusterCudaText message() {
    text_.fill('\0');
    return {text_.data(), static_cast<std::int32_t>(text_.size())};
  }
  std::string text() const { return text_.data(); }

  static void MixOrders() { simt::Configure(simt::AllOrders().back()); }

  // Stays until Release.
  template <typename T>
  T* Up(const std::vector<T>& values) {
    void* device = nullptr;
    const auto bytes = static_cast<std::int64_t>(values.size() * sizeof(T));
    EXPECT_EQ(module().allocate(context_, bytes, &device, message()), 0) << text();
    EXPECT_EQ(module().to_device(context_, values.data(), device, bytes, message()), 0) << text();
    EXPECT_EQ(module().synchronise(context_, message()), 0) << text();
    allocated_.push_back(device);
    return static_cast<T*>(device);
  }
  template <typename T>
  std::vector<T> Down(const T* device, std::size_t count) {
    std::vector<T> values(count);
    const auto bytes = static_cast<std::int64_t>(count * sizeof(T));
    EXPECT_EQ(module().to_host(context_, device, values.data(), bytes, message()), 0) << text();
    EXPECT_EQ(module().synchronise(context_, message()), 0) << text();
    return values;
  }
  void Release() {
    for (void* device : allocated_) module().release(context_, device);
    allocated_.clear();
  }

 private:
  MusterCudaContext* context_ = nullptr;
  std::array<char, 512> text_{};
  std::vector<void*> allocated_;
};

// Bits, so that a negative zero counts. NaNs lose sign and payload on a GPU: all count as one.
inline std::vector<std::uint32_t> BitsOf(std::span<const float> values) {
  std::vector<std::uint32_t> bits;
  bits.reserve(values.size());
  for (const float value : values) {
    bits.push_back(std::isnan(value) ? 0x7fffffffu : FloatBits(value));
  }
  return bits;
}

}  // namespace muster::cuda
