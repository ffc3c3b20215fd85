// The record in a job's status, against the API-server double.
#include "operator/app/kube_record_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kube/api_double.h"
#include "tests/kube/transport.h"

namespace muster::app {
namespace {

using api::PersistOutcome;
using api::Record;
using kubetest::Json;

constexpr char kJobs[] = "/apis/muster.dev/v1alpha1/namespaces/default/trainingjobs";

Record Version(std::uint64_t version, std::uint64_t nonce) {
  Record record;
  record.version = version;
  record.nonce = nonce;
  record.term = base::Term(1);
  record.newest = {base::Epoch(version), {{0, 1}, {3, 2}}};
  return record;
}

class KubeRecordStoreTest : public testing::Test {
 protected:
  KubeRecordStoreTest() {
    uid_ = MakeJob();
    kube::Client::Options options;
    options.retry.attempts = 1;
    client_ = std::make_unique<kube::Client>(transport_, options);
  }
  std::string MakeJob() {
    const auto made =
        api_.Ask("POST", kJobs, {{"metadata", {{"name", "job"}}}, {"spec", {{"a", 1}}}});
    return made.body["metadata"]["uid"];
  }
  KubeRecordStore Open() { return {*client_, {"default", "job"}, uid_}; }
  int AddFault(kubetest::FaultAction action, int nth = 1) {
    return api_.AddFault({.verb = "patch", .subresource = "status", .nth = nth, .action = action});
  }
  // The reconcile, which knows nothing of the record.
  void WriteStatus(int replicas) {
    const auto applied =
        api_.Ask("PATCH", std::string(kJobs) + "/job/status?fieldManager=muster&force=true",
                 {{"apiVersion", "muster.dev/v1alpha1"},
                  {"kind", "TrainingJob"},
                  {"status", {{"replicas", replicas}, {"state", "Running"}}}},
                 "application/apply-patch+yaml");
    ASSERT_EQ(applied.code, 200) << applied.body;
  }
  Json Status() { return (*api_.Find("trainingjobs", "default", "job"))["status"]; }

  runtime::ManualClock clock_;
  kubetest::ApiDouble api_{{}, clock_};
  kubetest::DoubleTransport transport_{api_};
  std::unique_ptr<kube::Client> client_;
  std::string uid_;
  std::optional<Record> current_;
};

TEST_F(KubeRecordStoreTest, StartsEmptyAndReadsBackWhatWasPersisted) {
  KubeRecordStore store = Open();
  EXPECT_EQ(*store.Read(), std::nullopt);
  EXPECT_EQ(store.Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  EXPECT_EQ(store.Persist(Version(1, 7), Version(2, 8), &current_), PersistOutcome::kOk);
  EXPECT_EQ(*Open().Read(), Version(2, 8));
}

TEST_F(KubeRecordStoreTest, TheReconcilesStatusNeitherDisturbsNorIsDisturbed) {
  KubeRecordStore store = Open();
  EXPECT_EQ(*store.Read(), std::nullopt);
  WriteStatus(2);  // there is a status now, and the store thinks that there is none
  EXPECT_EQ(store.Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  EXPECT_EQ(Status()["replicas"], 2);
  WriteStatus(3);
  EXPECT_EQ(store.Persist(Version(1, 7), Version(2, 8), &current_), PersistOutcome::kOk);
  EXPECT_EQ(Status()["replicas"], 3);
  EXPECT_EQ(*Open().Read(), Version(2, 8));
}

TEST_F(KubeRecordStoreTest, TheSecondOfTwoWritersIsToldWhatTheFirstWrote) {
  KubeRecordStore first = Open();
  KubeRecordStore second = Open();
  EXPECT_EQ(first.Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  EXPECT_EQ(second.Persist(std::nullopt, Version(1, 8), &current_), PersistOutcome::kConflict);
  EXPECT_EQ(current_, Version(1, 7));
  EXPECT_EQ(first.Persist(Version(1, 7), Version(2, 9), &current_), PersistOutcome::kOk);
  EXPECT_EQ(second.Persist(Version(1, 7), Version(2, 10), &current_), PersistOutcome::kConflict);
  EXPECT_EQ(current_, Version(2, 9));
}

TEST_F(KubeRecordStoreTest, ALostAnswerIsFoundOutByReading) {
  KubeRecordStore store = Open();
  const int fault = AddFault(kubetest::LoseAnswer{});
  EXPECT_EQ(store.Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  EXPECT_EQ(api_.FaultCount(fault), 1);
  EXPECT_EQ(*store.Read(), Version(1, 7));
}

TEST_F(KubeRecordStoreTest, ALostRequestIsUnknownAndItsRetryIsTheSameWrite) {
  KubeRecordStore store = Open();
  AddFault(kubetest::LoseRequest{});
  EXPECT_EQ(store.Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kUnknown);
  EXPECT_EQ(current_, std::nullopt);
  EXPECT_EQ(store.Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  EXPECT_EQ(store.Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk)
      << "a retry of what has landed";
}

TEST_F(KubeRecordStoreTest, AnApiServerThatRefusesOrIsAwayIsUnknown) {
  KubeRecordStore store = Open();
  EXPECT_EQ(store.Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  for (const int code : {403, 429, 500, 503}) {
    AddFault(kubetest::AnswerWith{code, 0});
    EXPECT_EQ(store.Persist(Version(1, 7), Version(2, 8), &current_), PersistOutcome::kUnknown);
    EXPECT_EQ(current_, Version(1, 7)) << code;
  }
  api_.AddFault({.resource = "trainingjobs", .times = 0, .action = kubetest::LoseRequest{}});
  EXPECT_EQ(store.Persist(Version(1, 7), Version(2, 8), &current_), PersistOutcome::kUnknown);
  EXPECT_EQ(current_, std::nullopt);
  EXPECT_FALSE(store.Read().ok());
}

TEST_F(KubeRecordStoreTest, AConflictOfTheServersOwnIsTriedAgain) {
  KubeRecordStore store = Open();
  EXPECT_EQ(store.Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  const int fault = AddFault(kubetest::AnswerWith{409, 0});
  EXPECT_EQ(store.Persist(Version(1, 7), Version(2, 8), &current_), PersistOutcome::kOk);
  EXPECT_EQ(api_.FaultCount(fault), 1);
}

TEST_F(KubeRecordStoreTest, AJobThatWasMadeAgainIsAnotherJob) {
  KubeRecordStore store = Open();
  EXPECT_EQ(store.Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  api_.Ask("DELETE", std::string(kJobs) + "/job");
  MakeJob();
  EXPECT_EQ(store.Read().status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store.Persist(Version(1, 7), Version(2, 8), &current_), PersistOutcome::kUnknown);
  EXPECT_FALSE(api_.Find("trainingjobs", "default", "job")->contains("status"));
}

}  // namespace
}  // namespace muster::app
