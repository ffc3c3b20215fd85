#include "worker/device/identity.h"

#include <gtest/gtest.h>

#include <set>

namespace muster::device {
namespace {

const Identity kJob{"NVIDIA H200", 132, "13.0", "13.0.2", "9.13.0", "2.28.9", "abc"};

TEST(IdentityTest, IsALineThatAPersonReads) {
  EXPECT_EQ(ToText(kJob),
            "gpu \"NVIDIA H200\" of 132 multiprocessors, CUDA 13.0, cuBLAS 13.0.2, cuDNN 9.13.0, "
            "NCCL 2.28.9, build abc");
  EXPECT_EQ(ToText({"NVIDIA A100", 108, "13.0", "", "", "", "x"}),
            "gpu \"NVIDIA A100\" of 108 multiprocessors, CUDA 13.0, build x");
}

TEST(IdentityTest, EveryFieldMakesAnotherLine) {
  std::set<std::string> lines = {ToText(kJob)};
  const auto other = [&](auto change) {
    Identity member = kJob;
    change(member);
    EXPECT_TRUE(lines.insert(ToText(member)).second) << ToText(member);
  };
  other([](Identity& i) { i.product = "NVIDIA H100"; });
  other([](Identity& i) { i.multiprocessors = 114; });
  other([](Identity& i) { i.cuda = "13.1"; });
  other([](Identity& i) { i.cublas = ""; });
  other([](Identity& i) { i.cudnn = "9.14.0"; });
  other([](Identity& i) { i.nccl = "2.29.1"; });
  other([](Identity& i) { i.build_id = "abd"; });
}

}  // namespace
}  // namespace muster::device
