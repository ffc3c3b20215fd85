#include "worker/app/step_lines.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace muster::app {
namespace {

class StepLinesTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/steps-" +
            testing::UnitTest::GetInstance()->current_test_info()->name() + ".jsonl";
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string Content() const {
    std::stringstream out;
    out << std::ifstream(path_).rdbuf();
    return out.str();
  }
  static StepLine Line(std::int64_t step) {
    return {base::Step(step), 2.5, 0.5, 1e-3, 1000, 4, true, false};
  }
  std::string path_;
};

TEST_F(StepLinesTest, WritesEachStepOnceInOrder) {
  StepLines lines(path_);
  for (int s = 1; s <= 5; ++s) lines.Remember(Line(s));
  ASSERT_TRUE(lines.WriteThrough(base::Step(2)).ok());
  ASSERT_TRUE(lines.WriteThrough(base::Step(2)).ok());
  ASSERT_TRUE(lines.WriteThrough(base::Step(4)).ok());
  EXPECT_EQ(Content(), ToJson(Line(1)) + "\n" + ToJson(Line(2)) + "\n" + ToJson(Line(3)) + "\n" +
                           ToJson(Line(4)) + "\n");
}

TEST_F(StepLinesTest, ANewWriterGoesOnWhereTheFileEndsAndCutsATornLine) {
  std::ofstream(path_) << ToJson(Line(1)) << "\n" << ToJson(Line(2)) << "\n{\"step\":3,\"lo";
  StepLines lines(path_);
  for (int s = 1; s <= 4; ++s) lines.Remember(Line(s));
  ASSERT_TRUE(lines.WriteThrough(base::Step(4)).ok());
  EXPECT_EQ(Content(), ToJson(Line(1)) + "\n" + ToJson(Line(2)) + "\n" + ToJson(Line(3)) + "\n" +
                           ToJson(Line(4)) + "\n");
}

TEST_F(StepLinesTest, WhoeverReceivedTheStateWritesTheLineOfAStepItNeverCommitted) {
  StepLines ahead(path_), behind(path_);
  for (int s = 1; s <= 3; ++s) ahead.Remember(Line(s));
  for (int s = 1; s <= 2; ++s) behind.Remember(Line(s));
  ASSERT_TRUE(behind.WriteThrough(base::Step(2)).ok());
  behind.RememberOf(ahead.Newest());
  behind.Remember(Line(4));
  ASSERT_TRUE(behind.WriteThrough(base::Step(4)).ok());
  EXPECT_EQ(Content(), ToJson(Line(1)) + "\n" + ToJson(Line(2)) + "\n" + ToJson(Line(3)) + "\n" +
                           ToJson(Line(4)) + "\n");
}

TEST_F(StepLinesTest, OwnLinesAreKeptAndWhatIsNoLineIsLeftOut) {
  StepLines lines(path_);
  lines.Remember(Line(2));
  StepLine other = Line(2);
  other.tokens_per_second = 7;
  lines.RememberOf("nonsense\n\n{\"step\":x}\n" + ToJson(Line(1)) + "\n" + ToJson(other) + "\n" +
                   ToJson(Line(3)));
  EXPECT_EQ(lines.Newest(), ToJson(Line(1)) + "\n" + ToJson(Line(2)) + "\n");
}

TEST_F(StepLinesTest, TwoWhoWriteInTurnWriteEachStepOnce) {
  StepLines first(path_), second(path_);
  for (int s = 1; s <= 3; ++s) {
    first.Remember(Line(s));
    second.Remember(Line(s));
  }
  ASSERT_TRUE(first.WriteThrough(base::Step(1)).ok());
  ASSERT_TRUE(second.WriteThrough(base::Step(2)).ok());
  ASSERT_TRUE(first.WriteThrough(base::Step(3)).ok());
  EXPECT_EQ(Content(), ToJson(Line(1)) + "\n" + ToJson(Line(2)) + "\n" + ToJson(Line(3)) + "\n");
}

TEST_F(StepLinesTest, AFullDiskIsAStatus) {
  StepLines lines("/dev/full");
  lines.Remember(Line(1));
  EXPECT_FALSE(lines.WriteThrough(base::Step(1)).ok());
}

TEST_F(StepLinesTest, ADiskThatWasFullForAWhileLeavesNoTornAndNoDoubleLine) {
  const std::string one = ToJson(Line(1)) + "\n";
  StepLines lines(path_);
  lines.Remember(Line(1));
  ASSERT_TRUE(lines.WriteThrough(base::Step(1)).ok());
  lines.Remember(Line(2));
  lines.Remember(Line(3));
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit full{2 * one.size() + 9, before.rlim_max};  // line 2 fits, line 3 does not
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  EXPECT_TRUE(absl::IsResourceExhausted(lines.WriteThrough(base::Step(3))));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_EQ(Content().size(), 2 * one.size() + 9);
  ASSERT_TRUE(lines.WriteThrough(base::Step(3)).ok());
  EXPECT_EQ(Content(), one + ToJson(Line(2)) + "\n" + ToJson(Line(3)) + "\n");
}

TEST_F(StepLinesTest, WhatIsNotFiniteIsLeftOut) {
  StepLine line = Line(9);
  line.loss = NAN;
  EXPECT_EQ(ToJson(line),
            "{\"step\":9,\"gradNorm\":0.5,\"clipped\":true,\"learningRate\":0.001,"
            "\"tokensPerSecond\":1000,\"members\":4,\"skipped\":false}");
}

}  // namespace
}  // namespace muster::app
