// Who computes a device's attention: of the build and the job's shape, and of nothing else.
#include "worker/train/device_gpt.h"

#include <gtest/gtest.h>

namespace muster::train {
namespace {

TEST(DeviceGptTest, TakesCudnnWhereTheBuildSaysSoAndTheContextIsOfWholeBlocks) {
  for (const std::int64_t context : {128, 256, 1024, 1152}) {
    EXPECT_EQ(AttentionFor(true, context), MUSTER_CUDA_ATTENTION_CUDNN) << context;
    EXPECT_EQ(AttentionFor(false, context), MUSTER_CUDA_ATTENTION_OWN) << context;
  }
  for (const std::int64_t context : {1, 16, 127, 129, 192, 1000}) {
    EXPECT_EQ(AttentionFor(true, context), MUSTER_CUDA_ATTENTION_OWN) << context;
    EXPECT_EQ(AttentionFor(false, context), MUSTER_CUDA_ATTENTION_OWN) << context;
  }
}

}  // namespace
}  // namespace muster::train
