// Who may use a state directory, and where things lie in it.
#include "operator/local/state_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/operator/local/scratch.h"

namespace muster::local {
namespace {

using testing::HasSubstr;
using testing::Not;

api::TrainingJob Job() {
  api::TrainingJob job;
  job.name = "licences";
  job.spec.training.steps = 300;
  job.spec.training.slots = 64;
  return job;
}

TEST(StateDirTest, TheSameJobResumesUnderItsUid) {
  Scratch scratch;
  const std::string path = scratch.path() + "/deep/state";
  std::string uid;
  {
    auto dir = StateDir::Open(path, Job());
    ASSERT_TRUE(dir.ok()) << base::Message(dir.status());
    uid = (*dir)->uid();
    EXPECT_EQ(uid.size(), 32u);
    EXPECT_TRUE((*dir)->WriteStatus("{}").ok());
  }
  api::TrainingJob resized = Job();
  resized.spec.workers.replicas = 7;
  resized.spec.checkpoint.every_steps = 10;
  auto dir = StateDir::Open(path, resized);
  ASSERT_TRUE(dir.ok()) << base::Message(dir.status());
  EXPECT_EQ((*dir)->uid(), uid);
  EXPECT_EQ((*dir)->ReadStatus(), "{}");
}

TEST(StateDirTest, ALiveRunIsNamedByItsPid) {
  Scratch scratch;
  auto first = StateDir::Open(scratch.path(), Job());
  ASSERT_TRUE(first.ok());
  auto second = StateDir::Open(scratch.path(), Job());
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(base::Message(second.status()), HasSubstr("pid " + std::to_string(getpid()) + ")"));
}

TEST(StateDirTest, AnotherJobIsRefusedNamingWhatDiffers) {
  Scratch scratch;
  ASSERT_TRUE(StateDir::Open(scratch.path(), Job()).ok());
  api::TrainingJob other = Job();
  other.name = "poems";
  other.spec.training.seed = 2;
  auto dir = StateDir::Open(scratch.path(), other);
  ASSERT_FALSE(dir.ok());
  const std::string sentence = base::Message(dir.status());
  EXPECT_THAT(sentence, HasSubstr("metadata.name is \"licences\" there and \"poems\" here"));
  EXPECT_THAT(sentence, HasSubstr("spec.training.seed is "));
  EXPECT_THAT(sentence, Not(HasSubstr("steps")));
}

TEST(StateDirTest, ADamagedDirectoryIsRefused) {
  Scratch scratch;
  std::ofstream(scratch.path() + "/job.json") << "{\"name\": \"lic";
  EXPECT_THAT(base::Message(StateDir::Open(scratch.path(), Job()).status()),
              HasSubstr("is damaged"));
  Scratch headless;
  ASSERT_TRUE(StateDir::Open(headless.path(), Job()).ok());
  unlink((headless.path() + "/job.json").c_str());
  std::ofstream(headless.path() + "/record/1.json") << "{}";
  EXPECT_THAT(base::Message(StateDir::Open(headless.path(), Job()).status()),
              HasSubstr("holds a record but no job.json"));
}

TEST(StateDirTest, APathThatCannotBeADirectoryIsNamed) {
  Scratch scratch;
  std::ofstream(scratch.path() + "/file") << "x";
  auto dir = StateDir::Open(scratch.path() + "/file", Job());
  ASSERT_FALSE(dir.ok());
  EXPECT_THAT(base::Message(dir.status()), HasSubstr(scratch.path() + "/file"));
}

TEST(CheckpointDirTest, LiesInTheStateDirectoryUnlessToldOtherwise) {
  EXPECT_EQ(CheckpointDir("/s", "", true), "/s/checkpoints");
  EXPECT_EQ(CheckpointDir("/s", "c", false), "/s/c");
  EXPECT_EQ(CheckpointDir("/s", "/abs/c", true), "/s/abs/c");
  EXPECT_EQ(CheckpointDir("/s", "/abs/c", false), "/abs/c");
}

}  // namespace
}  // namespace muster::local
