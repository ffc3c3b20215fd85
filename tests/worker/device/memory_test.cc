#include "worker/device/memory.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "worker/model/gpt_memory.h"

namespace muster::device {
namespace {

const ActivationShape kTiny{
    .layers = 1, .heads = 2, .width = 16, .context = 8, .batch = 1, .vocabulary = 256};

TEST(MemoryTest, BytesOfAParameter) {
  const DeviceBytes exact64 = CountDeviceBytes(1000, api::Reduction::kExact64, kTiny);
  EXPECT_EQ(exact64.state, 12000);
  EXPECT_EQ(exact64.gradient, 4000);
  EXPECT_EQ(exact64.sum, 8000);
  EXPECT_EQ(exact64.reduced, 8000);
  for (const auto reduction : {api::Reduction::kExact32, api::Reduction::kFloat}) {
    const DeviceBytes narrow = CountDeviceBytes(1000, reduction, kTiny);
    EXPECT_EQ(narrow.state + narrow.gradient + narrow.sum + narrow.reduced, 24000);
    EXPECT_EQ(narrow.activations, exact64.activations);
  }
}

TEST(MemoryTest, TheTotalIsTheSumOfItsParts) {
  const DeviceBytes bytes = CountDeviceBytes(1000, api::Reduction::kExact64, kTiny);
  EXPECT_EQ(bytes.reserved, std::int64_t{1} << 30);
  EXPECT_EQ(bytes.total(), 32000 + bytes.activations + (std::int64_t{1} << 30));
}

TEST(MemoryTest, BytesOfATokenByHand) {
  // A layer 16 x 16 + 4 + 2 x 8 = 276 floats; shared 12 x 16 + 2 + 256 + 16 = 466; a double.
  EXPECT_EQ(CountDeviceBytes(1, api::Reduction::kFloat, kTiny).activations,
            8 * (4 * (276 + 466) + 8));
}

// The same tensors as on the CPU. Its gradients of tensors are not activations here; it rounds each
// tensor up to a cache line, which shapes of multiples of 16 do not show.
TEST(MemoryTest, CountsWhatTheCpuKeeps) {
  const ActivationShape shapes[] = {
      {.layers = 2, .heads = 2, .width = 32, .context = 16, .batch = 3, .vocabulary = 272},
      {.layers = 3, .heads = 4, .width = 64, .context = 48, .batch = 2, .vocabulary = 261},
      {.layers = 12, .heads = 12, .width = 768, .context = 1024, .batch = 4, .vocabulary = 50257},
  };
  for (const ActivationShape& s : shapes) {
    const model::GptMemory cpu({s.layers, s.heads, s.width, s.context, s.batch, s.vocabulary});
    const std::int64_t gradients =
        4 * (std::max(4 * s.width, s.context) * s.width + 8 * s.width + s.vocabulary * s.width);
    EXPECT_EQ(CountDeviceBytes(1, api::Reduction::kExact64, s).activations, cpu.bytes() - gradients)
        << s.width;
  }
}

}  // namespace
}  // namespace muster::device
