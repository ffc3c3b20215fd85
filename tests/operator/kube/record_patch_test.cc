// The record's compare-and-swap as a patch: its words, and what becomes of a job that it meets.
#include "operator/kube/record_patch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/api/record_json.h"
#include "operator/base/rng.h"
#include "tests/kube/patch.h"

namespace muster::kube {
namespace {

using api::PersistOutcome;
using api::Record;
using kubetest::ApplyJsonPatch;
using TestJson = kubetest::Json;
using testing::ElementsAre;
using testing::HasSubstr;

Record Some(std::uint64_t nonce) {
  Record record;
  record.term = base::Term(2);
  record.nonce = nonce;
  record.version = nonce;
  record.newest = {base::Epoch(4), {{0, 1}, {3, 2}}};
  record.previous = {base::Epoch(3), {{0, 1}}};
  return record;
}

std::vector<std::string> Spelled(const std::vector<PatchOperation>& patch) {
  std::vector<std::string> out;
  for (const auto& [op, path, value] : patch) {
    out.push_back(op + " " + path + (value.empty() ? "" : " " + value));
  }
  return out;
}

TestJson AsJson(const std::vector<PatchOperation>& patch) {
  TestJson list = TestJson::array();
  for (const auto& [op, path, value] : patch) {
    TestJson operation = {{"op", op}, {"path", path}};
    if (!value.empty()) operation["value"] = TestJson::parse(value);
    list.push_back(operation);
  }
  return list;
}

std::string MembershipOf(const Record& record) {
  TestJson whole = TestJson::parse(api::RecordToJson(record));
  for (const char* key : {"checkpoint", "result", "kernelFamily"}) whole.erase(key);
  return whole.dump();
}

testing::Matcher<std::string> Says(const std::string& op_and_path, const std::string& json) {
  return testing::ResultOf(
      [op_and_path](const std::string& line) {
        return line.starts_with(op_and_path + " ")
                   ? TestJson::parse(line.substr(op_and_path.size() + 1)).dump()
                   : line;
      },
      TestJson::parse(json).dump());
}

TEST(RecordPatchTest, TestsUidTermEpochAndNonceThenReplaces) {
  EXPECT_THAT(Spelled(MakeRecordPatch("u1", Some(7), Some(8), {.has_status = true})),
              ElementsAre("test /metadata/uid \"u1\"", "test /status/membership/term 2",
                          "test /status/membership/epoch 4", "test /status/membership/nonce \"7\"",
                          Says("replace /status/membership", MembershipOf(Some(8)))));
}

TEST(RecordPatchTest, TheFirstWriteTestsThatThereIsNone) {
  EXPECT_THAT(Spelled(MakeRecordPatch("u1", std::nullopt, Some(8), {.has_status = true})),
              ElementsAre("test /metadata/uid \"u1\"", "test /status/membership null",
                          Says("add /status/membership", MembershipOf(Some(8)))));
  EXPECT_THAT(Spelled(MakeRecordPatch("u1", std::nullopt, Some(8), {})),
              ElementsAre("test /metadata/uid \"u1\"", "test /status null",
                          Says("add /status", "{\"membership\":" + MembershipOf(Some(8)) + "}")));
}

TEST(RecordPatchTest, CheckpointResultAndFamilyAreFieldsOfStatusOfTheirOwn) {
  Record next = Some(8);
  next.checkpoint = api::CheckpointRef{base::Step(5), base::Epoch(4), "ab", {}};
  next.kernel_family = "Haswell";
  const auto patch =
      Spelled(MakeRecordPatch("u1", Some(7), next, {.has_status = true, .has_result = true}));
  EXPECT_THAT(patch[5],
              Says("add /status/checkpoint",
                   R"({"step":5,"epoch":4,"digest":"ab","time":"1970-01-01T00:00:00Z"})"));
  EXPECT_EQ(patch[6], "remove /status/result") << "the next record has none";
  EXPECT_EQ(patch[7], "add /status/kernelFamily \"Haswell\"");
  EXPECT_EQ(patch.size(), 8u);
}

TEST(RecordPatchTest, AJobWithoutARecordIsReadAsSuch) {
  const auto bare = ReadStoredRecord(R"({"metadata":{"uid":"u1"}})");
  ASSERT_TRUE(bare.ok()) << bare.status();
  EXPECT_EQ(*bare, (StoredRecord{"u1", std::nullopt, {}}));
  const auto other = ReadStoredRecord(R"({"metadata":{"uid":"u1"},"status":{"replicas":2}})");
  EXPECT_EQ(*other, (StoredRecord{"u1", std::nullopt, {.has_status = true}}));
}

TEST(RecordPatchTest, AnotherProtocolVersionIsNamed) {
  const auto stored =
      ReadStoredRecord(R"({"metadata":{"uid":"u"},"status":{"membership":{"protocol":9}}})");
  EXPECT_EQ(stored.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(stored.status().ToString(), HasSubstr("protocol version 9"));
}

TEST(RecordPatchTest, WhatAnAnswerMeans) {
  EXPECT_EQ(OutcomeOf(absl::OkStatus()), PersistOutcome::kOk);
  EXPECT_EQ(OutcomeOf(base::FailedPrecondition("422")), PersistOutcome::kConflict);
  EXPECT_EQ(OutcomeOf(base::Aborted("409")), PersistOutcome::kConflict);
  EXPECT_EQ(OutcomeOf(base::NotFound("404")), PersistOutcome::kConflict);
  for (const absl::Status& unknown :
       {base::Unavailable("no answer"), base::DeadlineExceeded("504"), base::Internal("500"),
        base::ResourceExhausted("429"), base::InvalidArgument("422 of the schema"),
        absl::PermissionDeniedError("403")}) {
    EXPECT_EQ(OutcomeOf(unknown), PersistOutcome::kUnknown) << unknown;
  }
}

// Any record over any other, on a job whose status others write as well.
TEST(RecordPatchTest, AnyPatchLeavesTheNextRecordAndNothingElseChanged) {
  base::SplitMix random(11);
  const auto any = [&random](std::uint64_t nonce) {
    Record record = Some(nonce);
    if (random.Below(2) == 0) {
      record.checkpoint =
          api::CheckpointRef{base::Step(static_cast<std::int64_t>(nonce)), base::Epoch(1), "d", {}};
    }
    if (random.Below(4) == 0) record.result = api::JobResult{"1", "2", "3", "4"};
    if (random.Below(2) == 0) record.kernel_family = "Zen";
    if (random.Below(2) == 0)
      record.kept_checkpoints.push_back({base::Step(1), base::Epoch(1), "k", {}});
    return record;
  };
  TestJson job = {{"metadata", {{"uid", "u1"}}}};
  std::optional<Record> expected;
  for (std::uint64_t nonce = 1; nonce <= 200; ++nonce) {
    if (nonce == 3) job["status"]["replicas"] = 5;
    const auto before = ReadStoredRecord(job.dump());
    ASSERT_TRUE(before.ok()) << before.status();
    ASSERT_EQ(before->record, expected);
    const Record next = any(nonce);
    const auto patch = MakeRecordPatch("u1", expected, next, before->shape);

    TestJson lost = job;
    ASSERT_TRUE(ApplyJsonPatch(AsJson(patch), job).ok()) << AsJson(patch);
    EXPECT_EQ(ReadStoredRecord(job.dump())->record, next);
    EXPECT_EQ(job["status"].value("replicas", 0), nonce >= 3 ? 5 : 0);
    // The same patch meets what it has written: it lands once.
    lost = job;
    EXPECT_FALSE(ApplyJsonPatch(AsJson(patch), lost).ok());
    // A writer that has missed this one.
    lost = job;
    EXPECT_FALSE(
        ApplyJsonPatch(AsJson(MakeRecordPatch("u1", expected, any(1000), before->shape)), lost)
            .ok());
    lost = job;
    EXPECT_FALSE(
        ApplyJsonPatch(AsJson(MakeRecordPatch("u2", next, any(1000), before->shape)), lost).ok())
        << "another job of the same name";
    expected = next;
  }
}

}  // namespace
}  // namespace muster::kube
