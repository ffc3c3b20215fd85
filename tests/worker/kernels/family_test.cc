#include "worker/kernels/family.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::kernels {
namespace {

using testing::HasSubstr;

TEST(FamilyTest, ListsWhatThisCpuRunsBestFirst) {
  const std::vector<std::string> families = SupportedFamilies();
  ASSERT_FALSE(families.empty());
  const std::vector<std::string> order = {"SkylakeX", "Haswell", "Nehalem"};
  // Each family's CPUs run the lesser ones too, so the list is an end of the order.
  EXPECT_TRUE(std::equal(families.rbegin(), families.rend(), order.rbegin()));
  EXPECT_FALSE(ActiveCore().empty());
  EXPECT_THAT(BlasDescription(), HasSubstr("OpenBLAS"));
}

TEST(FamilyTest, AcceptsTheFamilyThatRunsHoweverOpenBlasSpellsIt) {
  EXPECT_TRUE(CheckFamily("SkylakeX", {"SkylakeX", "Haswell"}, "SkylakeX").ok());
  EXPECT_TRUE(CheckFamily("Haswell", {"SkylakeX", "Haswell"}, "haswell").ok());
}

TEST(FamilyTest, RefusesWithASentence) {
  const absl::Status unknown = CheckFamily("Zen9", {"Haswell"}, "Haswell");
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(base::Message(unknown),
            "kernel family 'Zen9' is not known: it is one of SkylakeX, Haswell, Nehalem");
  const absl::Status lacking = CheckFamily("SkylakeX", {"Haswell", "Nehalem"}, "Haswell");
  EXPECT_EQ(lacking.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(base::Message(lacking),
            "this CPU cannot run kernel family SkylakeX: it runs Haswell, Nehalem");
  const absl::Status other = CheckFamily("Haswell", {"SkylakeX", "Haswell"}, "Cooperlake");
  EXPECT_EQ(other.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(base::Message(other),
            "OpenBLAS runs Cooperlake kernels where the job's family is Haswell: the program has "
            "to be started with OPENBLAS_CORETYPE=Haswell");
}

TEST(FamilyTest, ChecksTheProcessItself) {
  UseOneBlasThread();
  const std::vector<std::string> families = SupportedFamilies();
  for (const std::string& family : families) {
    // Exactly the family that OpenBLAS runs passes; its own choice may be a core that we do not
    // pin.
    const bool runs = ActiveCore() == family;
    EXPECT_EQ(CheckFamily(family).ok(), runs) << family << " on " << ActiveCore();
  }
}

TEST(FamilyTest, NamesTheEnvironmentThatPins) {
  EXPECT_THAT(FamilyEnvironment("Haswell"),
              testing::ElementsAre("OPENBLAS_CORETYPE=Haswell", "OPENBLAS_NUM_THREADS=1"));
}

}  // namespace
}  // namespace muster::kernels
