// The coordinator's metrics as a scrape sees them: names, labels, values, and zeros from the start.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <set>
#include <sstream>

#include "operator/app/fleet_metrics.h"

namespace muster::app {
namespace {

using testing::HasSubstr;
using testing::Not;

JobFacts Facts() {
  JobFacts facts;
  facts.ns = "lab";
  facts.name = "licences";
  facts.min_members = 2;
  facts.program = api::Builtin::kBench;
  facts.reduction = api::Reduction::kExact32;
  facts.state = api::JobState::kDegraded;
  facts.members = 3;
  facts.desired_members = 4;
  facts.step = 120;
  facts.epoch = base::Epoch(7);
  facts.listening = true;
  facts.steps_total = 20;
  facts.tokens_total = 4096;
  facts.loss = 2.5;
  facts.time_seconds = {{"productive", 12.5}, {"recomputing", 1.5}};
  return facts;
}

std::string Labels(const std::string& more = "") {
  return "{job_name=\"licences\",namespace=\"lab\"" + more + "} ";
}

// The text's line that begins with `series`, without it; empty: there is none.
std::string ValueOf(const std::string& text, const std::string& series) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(series)) return line.substr(series.size());
  }
  return "";
}

class JobMetricsTest : public testing::Test {
 protected:
  runtime::Metrics registry_;
  FleetMetrics fleet_{registry_};
  const std::shared_ptr<JobMetrics> job_ = fleet_.Add("lab");
  JobMetrics& metrics_ = *job_;
};

TEST_F(JobMetricsTest, EachSeriesOfTheJobHasItsLabelsAndItsValue) {
  metrics_.Publish(Facts());
  const std::string text = registry_.Text();
  const std::pair<const char*, const char*> values[] = {
      {"world_size", "3"},   {"desired_world_size", "4"},
      {"min_members", "2"},  {"epoch", "7"},
      {"step", "120"},       {"loss", "2.5"},
      {"steps_total", "20"}, {"tokens_total", "4096"}};
  for (const auto& [name, value] : values) {
    EXPECT_EQ(ValueOf(text, "muster_trainingjob_" + std::string(name) + Labels()), value) << name;
  }
  EXPECT_EQ(
      ValueOf(text, "muster_trainingjob_info" + Labels(",program=\"bench\",reduction=\"Exact32\"")),
      "1");
  EXPECT_EQ(
      ValueOf(text, "muster_trainingjob_time_seconds_total" + Labels(",state=\"productive\"")),
      "12.5");
  EXPECT_EQ(ValueOf(text, "muster_trainingjob_time_seconds_total" + Labels(",state=\"agreeing\"")),
            "0");
  EXPECT_EQ(
      ValueOf(text, "muster_trainingjob_time_seconds_total" + Labels(",state=\"recomputing\"")),
      "1.5");
}

TEST_F(JobMetricsTest, OneOfEightStatesIsOne) {
  metrics_.Publish(Facts());
  const std::string text = registry_.Text();
  for (const char* state : {"Pending", "Starting", "Running", "Degraded", "Resizing", "Suspended",
                            "Succeeded", "Failed"}) {
    const std::string label = std::string(",state=\"") + state + "\"";
    EXPECT_EQ(ValueOf(text, "muster_trainingjob_state" + Labels(label)),
              std::string(state) == "Degraded" ? "1" : "0")
        << state;
  }
}

TEST_F(JobMetricsTest, WhatIsNotKnownIsLeftOut) {
  EXPECT_THAT(registry_.Text(), Not(HasSubstr("job_name")));
  JobFacts facts = Facts();
  facts.loss = std::numeric_limits<double>::quiet_NaN();
  metrics_.Publish(facts);
  EXPECT_THAT(registry_.Text(), Not(HasSubstr("trainingjob_loss")));
  EXPECT_THAT(registry_.Text(), Not(HasSubstr("trainingjob_checkpoint_last")));
  EXPECT_THAT(registry_.Text(), Not(HasSubstr("trainingjob_checkpoint_interval")));
  facts.checkpoint_every_seconds = 600;
  facts.checkpoint_time = base::WallTime(std::chrono::seconds(1'700'000'000));
  metrics_.Publish(facts);
  EXPECT_EQ(ValueOf(registry_.Text(),
                    "muster_trainingjob_checkpoint_last_committed_timestamp_seconds" + Labels()),
            "1700000000");
  EXPECT_EQ(ValueOf(registry_.Text(), "muster_trainingjob_checkpoint_interval_seconds" + Labels()),
            "600");
}

TEST_F(JobMetricsTest, CountersOfEventsBeginAtZeroAndCarryNoJob) {
  metrics_.Publish(Facts());
  const std::string none = registry_.Text();
  const std::string rescales =
      "muster_trainingjob_rescales_total{cause=\"WorkerKilled\",direction=\"down\",namespace="
      "\"lab\"} ";
  const std::string evictions =
      "muster_trainingjob_evictions_total{namespace=\"lab\",reason=\"HeartbeatTimeout\"} ";
  const std::string mismatches = "muster_trainingjob_digest_mismatches_total{namespace=\"lab\"} ";
  const std::string abandoned =
      "muster_trainingjob_checkpoints_abandoned_total{namespace=\"lab\",reason=\"no_space\"} ";
  for (const std::string& series : {rescales, evictions, mismatches, abandoned}) {
    EXPECT_EQ(ValueOf(none, series), "0") << series;
  }
  EXPECT_THAT(none, Not(HasSubstr("detection_seconds")));
  api::Rescale lost;
  lost.cause = "WorkerKilled";
  lost.from = 4;
  lost.to = 3;
  lost.detect_seconds = 0.004;
  lost.stall_seconds = 0.03;
  metrics_.OnRescale(lost);
  metrics_.OnEvicted("HeartbeatTimeout");
  metrics_.OnDigestMismatch();
  metrics_.OnCheckpointAbandoned(true);
  const std::string some = registry_.Text();
  for (const std::string& series : {rescales, evictions, mismatches, abandoned}) {
    EXPECT_EQ(ValueOf(some, series), "1") << series;
  }
  const std::string labels = "{cause=\"WorkerKilled\",namespace=\"lab\"} ";
  EXPECT_EQ(ValueOf(some, "muster_trainingjob_detection_seconds_sum" + labels), "0.004");
  EXPECT_EQ(ValueOf(some, "muster_trainingjob_stall_seconds_count" + labels), "1");
}

TEST_F(JobMetricsTest, ALossThatWasKnownAtOnceIsADetectionOfNoSeconds) {
  api::Rescale lost;
  lost.cause = "WorkerKilled";
  metrics_.OnRescale(lost);
  EXPECT_EQ(ValueOf(registry_.Text(),
                    "muster_trainingjob_detection_seconds_count{cause="
                    "\"WorkerKilled\",namespace=\"lab\"} "),
            "1");
}

TEST_F(JobMetricsTest, AChangeThatWasAskedForWasNotDetected) {
  api::Rescale joined;
  joined.cause = "ScaledUp";
  joined.from = 3;
  joined.to = 4;
  joined.stall_seconds = 0.01;
  metrics_.OnRescale(joined);
  EXPECT_THAT(registry_.Text(), Not(HasSubstr("detection_seconds")));
  EXPECT_EQ(ValueOf(registry_.Text(),
                    "muster_trainingjob_rescales_total{cause=\"ScaledUp\",direction=\"up\","
                    "namespace=\"lab\"} "),
            "1");
}

// Everything about jobs has one prefix; what is common to controllers has the names people chart.
TEST_F(JobMetricsTest, EveryNameBeginsAsTheDocumentSays) {
  metrics_.Publish(Facts());
  std::istringstream in(registry_.Text());
  std::set<std::string> others;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line.starts_with("#") || line.starts_with("muster_trainingjob_")) continue;
    others.insert(line.substr(0, line.find('{')));
  }
  EXPECT_EQ(others, (std::set<std::string>{"controller_runtime_reconcile_total"}));
}

TEST_F(JobMetricsTest, ReadyOnceMembersMayCome) {
  EXPECT_EQ(base::Message(metrics_.Ready()), "the coordinator does not take members yet");
  JobFacts facts = Facts();
  facts.listening = false;
  metrics_.Publish(facts);
  EXPECT_FALSE(metrics_.Ready().ok());
  metrics_.Publish(Facts());
  EXPECT_TRUE(metrics_.Ready().ok());
}

TEST_F(JobMetricsTest, JobsShareFamiliesAndCountersAndTheirSeriesVanishWithThem) {
  metrics_.Publish(Facts());
  auto second = fleet_.Add("lab");
  JobFacts facts = Facts();
  facts.name = "second";
  facts.step = 7;
  second->Publish(facts);
  second->OnEvicted("StreamLost");
  metrics_.OnEvicted("StreamLost");
  const std::string both = registry_.Text();
  EXPECT_EQ(ValueOf(both, "muster_trainingjob_step" + Labels()), "120");
  const std::string other = "muster_trainingjob_step{job_name=\"second\",namespace=\"lab\"} ";
  EXPECT_EQ(ValueOf(both, other), "7");
  const std::string type = "# TYPE muster_trainingjob_step gauge";
  EXPECT_EQ(both.find(type), both.rfind(type));
  second.reset();
  EXPECT_EQ(ValueOf(registry_.Text(), other), "");
  EXPECT_EQ(ValueOf(registry_.Text(),
                    "muster_trainingjob_evictions_total{namespace=\"lab\",reason=\"StreamLost\"} "),
            "2");
}

}  // namespace
}  // namespace muster::app
