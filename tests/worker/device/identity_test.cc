#include "worker/device/identity.h"

#include <gtest/gtest.h>

namespace muster::device {
namespace {

const Identity kJob{"NVIDIA H200", 132, "13.0", "13.0.2", "9.13.0", "2.28.9", "abc"};

TEST(IdentityTest, EqualOnesHaveNoDifference) {
  EXPECT_EQ(FirstDifference(kJob, kJob), std::nullopt);
  EXPECT_EQ(FirstDifference({}, {}), std::nullopt);
}

TEST(IdentityTest, EveryFieldCountsAndIsNamed) {
  const auto says = [](auto change, const std::string& what) {
    Identity member = kJob;
    change(member);
    EXPECT_NE(member, kJob);
    EXPECT_EQ(FirstDifference(kJob, member),
              "this member's " + what + "; in exact mode they must be the same");
  };
  says([](Identity& i) { i.product = "NVIDIA H100"; },
       "GPU is \"NVIDIA H100\", the job's is \"NVIDIA H200\"");
  says([](Identity& i) { i.multiprocessors = 114; },
       "GPU's number of multiprocessors is 114, the job's is 132");
  says([](Identity& i) { i.cuda = "13.1"; }, "version of CUDA is \"13.1\", the job's is \"13.0\"");
  says([](Identity& i) { i.cublas = ""; }, "version of cuBLAS is none, the job's is \"13.0.2\"");
  says([](Identity& i) { i.cudnn = "9.14.0"; },
       "version of cuDNN is \"9.14.0\", the job's is \"9.13.0\"");
  says([](Identity& i) { i.nccl = "2.29.1"; },
       "version of NCCL is \"2.29.1\", the job's is \"2.28.9\"");
  says([](Identity& i) { i.build_id = "abd"; }, "build id is \"abd\", the job's is \"abc\"");
}

TEST(IdentityTest, TheFirstOfSeveralIsSaid) {
  EXPECT_EQ(
      FirstDifference(kJob, {"NVIDIA A100", 108, "12.0", "", "", "", "x"}),
      "this member's GPU is \"NVIDIA A100\", the job's is \"NVIDIA H200\"; in exact mode they "
      "must be the same");
}

}  // namespace
}  // namespace muster::device
