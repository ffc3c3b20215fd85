// A job's history: what becomes an entry, once, and what goes when there is too much of it.
#include "operator/kube/job_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace muster::kube {
namespace {

using nlohmann::json;
using testing::ElementsAre;

base::WallTime At(double seconds) {
  return base::WallTime(base::FromSeconds(1'700'000'000 + seconds));
}

api::Rescale Rescale(std::uint64_t epoch) {
  api::Rescale rescale;
  rescale.epoch = base::Epoch(epoch);
  rescale.cause = "Joined";
  rescale.to = 2;
  return rescale;
}

std::vector<std::string> Keys(const json& patch) {
  std::vector<std::string> keys;
  for (const auto& [key, line] : patch["data"].items()) keys.push_back(key);
  return keys;
}

TEST(JobHistoryTest, EachEntryIsWrittenOnceUnderItsOwnKey) {
  JobHistory history;
  api::TrainingJobStatus status;
  history.See(status, At(0));
  EXPECT_FALSE(history.HasEntries());
  status.rescales = {Rescale(1)};
  status.failures = {{At(1), {3, 2}, "n1", "StreamLost", -1, true}};
  history.See(status, At(2));
  EXPECT_TRUE(history.HasNews());
  const json first = json::parse(history.TakePatch());
  EXPECT_THAT(Keys(first), ElementsAre("loss.1700000001.3.2", "rescale.00000001"));
  EXPECT_EQ(json::parse(first["data"]["rescale.00000001"].get<std::string>())["cause"], "Joined");
  EXPECT_EQ(json::parse(first["data"]["loss.1700000001.3.2"].get<std::string>())["node"], "n1");
  history.See(status, At(3));
  EXPECT_FALSE(history.HasEntries());
  // One that turns out to be its node's, and a change that follows.
  status.failures[0].charged = false;
  status.rescales.push_back(Rescale(2));
  history.See(status, At(4));
  EXPECT_THAT(Keys(json::parse(history.TakePatch())),
              ElementsAre("loss.1700000001.3.2", "rescale.00000002"));
}

TEST(JobHistoryTest, ProgressIsAnEntryAndNoNews) {
  JobHistory history;
  api::TrainingJobStatus status;
  status.members = 2;
  status.progress.step = 7;
  status.progress.loss = "2.5";
  history.See(status, At(0));
  history.See(status, At(60));
  EXPECT_FALSE(history.HasNews());
  const json patch = json::parse(history.TakePatch());
  EXPECT_THAT(Keys(patch), ElementsAre("progress.1700000000"));
  EXPECT_EQ(json::parse(patch["data"]["progress.1700000000"].get<std::string>()),
            (json{{"step", 7}, {"members", 2}, {"loss", "2.5"}}));
}

TEST(JobHistoryTest, WhatCouldNotBeWrittenIsWrittenWithTheNext) {
  JobHistory history;
  api::TrainingJobStatus status;
  status.rescales = {Rescale(1)};
  history.See(status, At(0));
  history.TakePatch();
  status.rescales.push_back(Rescale(2));
  history.See(status, At(1));
  history.PutBack();
  EXPECT_TRUE(history.HasNews());
  EXPECT_THAT(Keys(json::parse(history.TakePatch())),
              ElementsAre("rescale.00000001", "rescale.00000002"));
}

json ConfigMap(int rescales, int losses, int points, std::size_t bytes_a_line) {
  json data = {{"about", "text"}};
  const std::string line(bytes_a_line, 'x');
  const auto fill = [&](const std::string& kind, int many) {
    for (int i = 0; i < many; ++i) data[kind + std::to_string(1000 + i)] = line;
  };
  fill("rescale.", rescales);
  fill("loss.", losses);
  fill("progress.", points);
  return {{"data", data}};
}

json Pruned(json object, const HistoryBounds& bounds) {
  const auto patch = MakePrunePatch(object.dump(), bounds);
  EXPECT_TRUE(patch.ok()) << patch.status();
  if (*patch) object.merge_patch(json::parse(**patch));
  return object;
}

TEST(JobHistoryTest, TheOldestGoAndOfProgressEveryOtherPoint) {
  const HistoryBounds bounds{2, 3, 4, 1 << 20};
  EXPECT_EQ(Pruned(ConfigMap(2, 3, 4, 10), bounds), ConfigMap(2, 3, 4, 10));
  EXPECT_THAT(Keys(Pruned(ConfigMap(4, 4, 5, 10), bounds)),
              ElementsAre("about", "loss.1001", "loss.1002", "loss.1003", "progress.1000",
                          "progress.1002", "progress.1004", "rescale.1002", "rescale.1003"));
}

TEST(JobHistoryTest, NeverBecomesMoreThanAnObjectMayHave) {
  const HistoryBounds bounds;
  const json pruned = Pruned(ConfigMap(500, 500, 512, 1000), bounds);
  EXPECT_LE(pruned["data"].dump().size(), bounds.bytes + 64 * 1024);
  EXPECT_TRUE(pruned["data"].contains("rescale.1499")) << "the newest stays";
  EXPECT_TRUE(pruned["data"].contains("loss.1499"));
  EXPECT_TRUE(pruned["data"].contains("about"));
}

}  // namespace
}  // namespace muster::kube
