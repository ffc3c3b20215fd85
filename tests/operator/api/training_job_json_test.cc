// A job goes to JSON and back unchanged; what is wrong is named.
#include "operator/api/training_job_json.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/operator/api/full_job.h"

namespace muster::api {
namespace {

using std::chrono::seconds;

TEST(TrainingJobJsonTest, SpecGoesBothWays) {
  TrainingJobSpec bench;
  bench.program = {Builtin::kBench, {}, {}};
  bench.program.config.state_bytes = std::int64_t{1} << 40;
  bench.program.config.slot_milliseconds = 0.25;
  for (const TrainingJobSpec& spec : {TrainingJobSpec(), FullSpec(), bench}) {
    const absl::StatusOr<TrainingJobSpec> back = ParseTrainingJobSpec(SpecToJson(spec));
    ASSERT_TRUE(back.ok()) << back.status() << SpecToJson(spec);
    EXPECT_EQ(*back, spec) << SpecToJson(spec);
  }
}

// Workers of an earlier build refuse a field that they do not know.
TEST(TrainingJobJsonTest, AYoungFieldIsWrittenOnlyWhereItIsSet) {
  TrainingJobSpec spec = FullSpec();
  EXPECT_NE(SpecToJson(spec).find(R"("weights":{"path":"/models/gpt2"})"), std::string::npos);
  spec.program.weights.path.clear();
  EXPECT_EQ(SpecToJson(spec).find("weights"), std::string::npos);
}

TEST(TrainingJobJsonTest, StatusGoesBothWays) {
  for (const TrainingJobStatus& status : {TrainingJobStatus(), FullStatus()}) {
    for (int indent : {-1, 2}) {
      const absl::StatusOr<TrainingJobStatus> back =
          ParseTrainingJobStatus(StatusToJson(status, indent));
      ASSERT_TRUE(back.ok()) << back.status();
      EXPECT_EQ(*back, status) << StatusToJson(status, 2);
    }
  }
}

TEST(TrainingJobJsonTest, StatusIsSpeltAsTheDesignSays) {
  const std::string json = StatusToJson(FullStatus());
  for (const char* part :
       {R"("members":"7/8")", R"("state":"Degraded")", R"("loss":"2.31")", R"("membership":{)",
        R"("members":"0.1 3.2")", R"("tokensPerSecond":51000.25)", R"("stallSeconds":0.15)",
        R"("digest":"01","weightsDigest":"02")"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
  }
}

TEST(TrainingJobJsonTest, LeavesOutWhatIsNotFinite) {
  TrainingJobStatus status;
  status.progress.tokens_per_second = std::numeric_limits<double>::infinity();
  EXPECT_EQ(StatusToJson(status).find("tokensPerSecond"), std::string::npos);
}

TEST(TrainingJobJsonTest, WholeJobGoesBothWays) {
  TrainingJob job;
  job.name = "licences";
  job.ns = "research";
  job.uid = "u-1";
  job.generation = 5;
  job.spec = FullSpec();
  job.status = FullStatus();
  const absl::StatusOr<TrainingJob> back = ParseTrainingJob(TrainingJobToJson(job, 2));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, job);
}

TEST(TrainingJobJsonTest, NamesTheFieldThatIsWrong) {
  const std::pair<const char*, const char*> specs[] = {
      {"{", "this is not JSON"},
      {"[]", "spec: a list is not allowed: a map of fields"},
      {R"({"training":{"steps":"x"}})",
       "spec.training.steps: \"x\" is not allowed: an integer from 1 to 1000000000"},
      {R"({"training":{"slots":4294967297}})",
       "spec.training.slots: 4294967297 is not allowed: an integer from 1 to 65536"},
      {R"({"trainin":{}})", "spec.trainin: unknown field spec.trainin; did you mean training?"},
  };
  for (const auto& [json, sentence] : specs) {
    const absl::StatusOr<TrainingJobSpec> spec = ParseTrainingJobSpec(json);
    ASSERT_FALSE(spec.ok()) << json;
    EXPECT_EQ(base::Message(spec.status()), sentence);
  }
  const std::pair<const char*, const char*> statuses[] = {
      {R"({"state":"Odd"})",
       "status.state: \"Odd\" is not allowed: a state of a TrainingJob, such as Running"},
      {R"({"members":"7"})", "status.members: \"7\" is not allowed: two counts such as \"7/8\""},
      {R"({"failures":[{"member":"x"}]})",
       "status.failures[0].member: \"x\" is not allowed: a member id such as \"3.2\""},
  };
  for (const auto& [json, sentence] : statuses) {
    const absl::StatusOr<TrainingJobStatus> status = ParseTrainingJobStatus(json);
    ASSERT_FALSE(status.ok()) << json;
    EXPECT_EQ(base::Message(status.status()), sentence);
  }
}

}  // namespace
}  // namespace muster::api
