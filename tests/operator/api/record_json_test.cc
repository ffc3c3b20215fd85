// The record survives JSON whole, and other protocol versions are refused by name.
#include "operator/api/record_json.h"

#include <gtest/gtest.h>

namespace muster::api {
namespace {

CheckpointRef Checkpoint(int step) {
  return {base::Step(step), base::Epoch(3), "abc" + std::to_string(step),
          base::WallTime(std::chrono::seconds(1'700'000'000))};
}

Record FullRecord() {
  Record record;
  record.term = base::Term(2);
  record.nonce = 0xffff'ffff'ffff'fff7ULL;
  record.version = 17;
  record.newest = {base::Epoch(4), {{0, 1}, {1, 1}, {3, 2}}};
  record.previous = {base::Epoch(3), {{2, 1}}};
  record.checkpoint = Checkpoint(100);
  record.kept_checkpoints = {Checkpoint(50), Checkpoint(25)};
  record.kernel_family = "SkylakeX";
  record.build_id = "b1";
  record.data_digest = "d1";
  record.device = "cpu";
  record.start_weights_digest = "s1";
  record.result = JobResult{"00ff", "aa", "2.31", "2.4"};
  return record;
}

TEST(RecordJsonTest, IsLossless) {
  for (const Record& record : {Record(), FullRecord()}) {
    const absl::StatusOr<Record> back = ParseRecord(RecordToJson(record));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, record);
  }
}

TEST(RecordJsonTest, ShowsTheShortForm) {
  const std::string json = RecordToJson(FullRecord());
  EXPECT_NE(json.find(R"("members":"0.1 1.1 3.2")"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("nonce":"18446744073709551607")"), std::string::npos) << json;
}

TEST(RecordJsonTest, RefusesAnotherProtocolByName) {
  Record record;
  record.protocol = 9;
  const absl::StatusOr<Record> back = ParseRecord(RecordToJson(record));
  ASSERT_EQ(back.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(base::Message(back.status()),
            "the record was written with protocol version 9; this program reads versions 1 to 1");
}

TEST(RecordJsonTest, NamesTheFieldThatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "the record is not JSON"},
      {"[]", "record: [] is not allowed: an object"},
      {R"({"protocol":1,"term":"x"})", "record.term: \"x\" is not allowed: an integer"},
      {R"({"protocol":1,"members":"1.2 x"})",
       "record.members: \"1.2 x\" is not allowed: member ids such as \"0.1 1.1 3.2\""},
      {R"({"protocol":1,"size":3,"members":"1.2"})",
       "record.size: 3 is not allowed: the number of members, 1"},
      {R"({"protocol":1,"checkpoint":{"time":"noon"}})",
       "record.checkpoint.time: \"noon\" is not allowed: an RFC 3339 time"},
      {R"({"protocol":1,"keptCheckpoints":[{"step":1.5}]})",
       "record.keptCheckpoints[0].step: 1.5 is not allowed: an integer"},
  };
  for (const auto& [json, sentence] : cases) {
    const absl::StatusOr<Record> back = ParseRecord(json);
    ASSERT_FALSE(back.ok()) << json;
    EXPECT_EQ(base::Message(back.status()), sentence);
  }
}

}  // namespace
}  // namespace muster::api
