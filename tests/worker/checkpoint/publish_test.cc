// Deletion follows the record; what is not ours, or may be in the making, is untouched.
#include "worker/checkpoint/publish.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/checkpoint/small_state.h"

namespace muster::checkpoint {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

api::CheckpointRef Ref(std::int64_t step, std::uint64_t epoch) {
  return {base::Step(step), base::Epoch(epoch), "digest-" + std::to_string(step),
          base::WallTime(std::chrono::seconds(1700000000))};
}

void MakeFolders(const ScratchFolder& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::filesystem::create_directories(folder / name);
    WriteAll(folder / name + "/manifest.json", "x");
  }
}

TEST(PublishTest, DeletesWhatTheRecordNoLongerKeepsAndNothingElse) {
  ScratchFolder folder;
  MakeFolders(folder,
              {"step-00000050-e1", "step-00000100-e1", "step-00000150-e2", "step-00000200-e2",
               "step-00000200-e1", "step-00000300-e2", "step-100-mine", "results"});
  WriteAll(folder / "steps.jsonl", "{}");
  ASSERT_TRUE(PublishCheckpoint(folder.path(), Ref(200, 2), {Ref(200, 2), Ref(100, 1)}).ok());
  // 50 and 150 are not kept, 200-e1 was abandoned; 300-e2 may be in the making.
  EXPECT_THAT(folder.List(),
              ElementsAre("latest.json", "results", "step-00000100-e1", "step-00000200-e2",
                          "step-00000300-e2", "step-100-mine", "steps.jsonl"));
}

TEST(PublishTest, TheCommittedOneIsKeptEvenWhenTheListForgetsIt) {
  ScratchFolder folder;
  MakeFolders(folder, {"step-00000100-e1", "step-00000200-e2"});
  ASSERT_TRUE(PublishCheckpoint(folder.path(), Ref(200, 2), {}).ok());
  EXPECT_THAT(folder.List(), ElementsAre("latest.json", "step-00000200-e2"));
}

TEST(PublishTest, LatestReadsBack) {
  ScratchFolder folder;
  ASSERT_EQ(ReadLatest(folder.path()).value(), std::nullopt);
  ASSERT_TRUE(PublishCheckpoint(folder.path(), Ref(100, 1), {Ref(100, 1)}).ok());
  ASSERT_TRUE(PublishCheckpoint(folder.path(), Ref(200, 2), {Ref(200, 2), Ref(100, 1)}).ok());
  const auto latest = ReadLatest(folder.path());
  ASSERT_TRUE(latest.ok()) << latest.status();
  EXPECT_EQ(*latest, (Latest{Ref(200, 2), {Ref(200, 2), Ref(100, 1)}}));
}

TEST(PublishTest, ABrokenLatestIsNamed) {
  ScratchFolder folder;
  ASSERT_TRUE(PublishCheckpoint(folder.path(), Ref(100, 1), {Ref(100, 1)}).ok());
  const std::string whole = ReadAll(folder / "latest.json");
  for (const std::string& content :
       {std::string(), std::string("{}"), std::string("[]"), whole.substr(0, whole.size() / 2),
        std::string(R"({"checkpoint":{"step":"1"},"kept":[]})")}) {
    WriteAll(folder / "latest.json", content);
    const auto latest = ReadLatest(folder.path());
    EXPECT_TRUE(absl::IsDataLoss(latest.status())) << content;
    EXPECT_THAT(base::Message(latest.status()), HasSubstr("/latest.json is truncated or altered"));
  }
}

TEST(PublishTest, AMissingFolderIsAnError) {
  ScratchFolder folder;
  EXPECT_THAT(base::Message(PublishCheckpoint(folder / "none", Ref(1, 1), {})),
              HasSubstr("/none/"));
}

}  // namespace
}  // namespace muster::checkpoint
