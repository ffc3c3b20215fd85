// Everything that crosses the socket comes back as it went in, and strange lines are refused.
#include "operator/local/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace muster::local {
namespace {

base::WallTime At(std::int64_t ns) { return base::WallTime(base::Duration(ns)); }

void ExpectSame(const CoordinatorRequest& request) {
  auto back = DecodeCoordinatorRequest(Encode(request));
  ASSERT_TRUE(back.ok()) << base::Message(back.status());
  EXPECT_EQ(*back, request) << Encode(request);
}

void ExpectSame(const ClusterMessage& message) {
  auto back = DecodeClusterMessage(Encode(message));
  ASSERT_TRUE(back.ok()) << base::Message(back.status());
  EXPECT_EQ(*back, message) << Encode(message);
}

job::Pod SomePod() {
  job::Pod pod;
  pod.name = "j-1-abc";
  pod.uid = "u1";
  pod.member = {1, 2};
  pod.node = "node-1";
  pod.phase = job::PodPhase::kFailed;
  pod.deleting = true;
  pod.exit_code = 71;
  pod.infrastructure_loss = true;
  pod.message = "a \"quoted\" line\nand another";
  pod.pid = 4711;
  pod.start_time = At(1234567890123456789);
  pod.finish_time = At(1234567890123456790);
  pod.conditions = {"DisruptionTarget"};
  return pod;
}

api::TrainingJob SomeJob() {
  api::TrainingJob job;
  job.name = "j";
  job.uid = "0123";
  job.generation = 3;
  job.spec.training.steps = 100;
  job.spec.training.slots = 64;
  job.spec.training.seed = (std::uint64_t{1} << 53) - 1;
  job.status.state = api::JobState::kRunning;
  job.status.members = 3;
  job.status.desired_members = 4;
  job.status.failures = {{At(1000000000), {1, 0}, "node-0", "Killed", -1, true}};
  return job;
}

TEST(ProtocolTest, ClusterMessagesSurviveTheSocket) {
  Opening opening;
  opening.settings = {"token", 4242, 0, "/a", "/r", "/c", "json", 2};
  opening.job = SomeJob();
  opening.pods = {SomePod(), job::Pod()};
  opening.highest_incarnation = {{0, 1}, {7, 3}};
  ExpectSame(ClusterMessage(opening));
  ExpectSame(ClusterMessage(JobChanged{SomeJob()}));
  ExpectSame(ClusterMessage(PodChanged{SomePod()}));
  ExpectSame(ClusterMessage(PodDeleted{SomePod()}));
}

TEST(ProtocolTest, RequestsSurviveTheSocket) {
  ExpectSame(CoordinatorRequest(CreatePodRequest{"j-1-abc", {1, 2}, "Replacement"}));
  ExpectSame(CoordinatorRequest(DeletePodRequest{"j-1-abc", "u1", true, "Evicted"}));
  ExpectSame(CoordinatorRequest(WriteStatus{SomeJob().status}));
  ExpectSame(CoordinatorRequest(GiveUp{"PortTaken", "port 80 is taken"}));
}

TEST(ProtocolTest, EveryReportSurvivesTheSocket) {
  api::Rescale rescale{base::Epoch(4), At(5), "Killed", 4,    3, 0.01, 0.02,
                       0.03,           0.04,  0.05,     0.15, 0, 16};
  Live live{base::Term(2), base::Epoch(4), "Settled", "productive", 1, 2, base::Step(7), 2.25, {}};
  live.members.push_back({{3, 1},
                          99,
                          "node-0",
                          true,
                          false,
                          true,
                          false,
                          api::MemberPhase::kReducing,
                          base::Step(8),
                          base::Step(7)});
  const std::vector<LocalEvent> events = {
      StepCommitted{base::Step(7), base::Epoch(4), 0.1 + 0.2, 1.5, 1e-3, true, 8192, 3, 64},
      live,
      Evicted{{1, 0}, "node-1", "Silent", "no beat for 1 s"},
      Rescaled{rescale},
      CheckpointDone{{base::Step(100), base::Epoch(3), "abc", At(9)}},
      CheckpointAbandoned{base::Step(100), "no space left on device", true, true},
      HeldOut{base::Step(50), 2.0, 2.1},
      RolledBack{base::Step(100), "nobody has the state"},
      PodStarted{{1, 1}, "j-1-x", "node-1", 17, "Replacement"},
      PodExited{{1, 0}, "j-1-y", "node-1", 16, std::nullopt, 9, {"one", "two"}},
      FaultFired{"worker-1@step=40", "killed worker-1 (1.0)"},
      CoordinatorRestarted{18, "killed by signal 9"},
      Note{"membership", "why"},
      StatusChanged{SomeJob().status},
  };
  ASSERT_EQ(events.size(), std::variant_size_v<LocalEvent>);
  for (const LocalEvent& event : events) ExpectSame(CoordinatorRequest(Report{event}));
}

TEST(ProtocolTest, ALossThatIsNoNumberStaysOne) {
  StepCommitted step;
  step.loss = std::nan("");
  auto back = DecodeCoordinatorRequest(Encode(CoordinatorRequest(Report{step})));
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(std::isnan(std::get<StepCommitted>(std::get<Report>(*back).event).loss));
}

TEST(ProtocolTest, ALineOfAnyBytesIsCarried) {
  PodExited exited;
  exited.last_lines = {"caf\xe9 \xff\xfe"};
  auto back = DecodeCoordinatorRequest(Encode(CoordinatorRequest(Report{exited})));
  ASSERT_TRUE(back.ok()) << base::Message(back.status());
}

TEST(ProtocolTest, StrangeLinesAreRefusedWithASentence) {
  for (const char* line :
       {"", "hello", "[]", "{}", R"({"kind":"Nothing"})", R"({"kind":"Report"})",
        R"({"kind":"CreatePod","member":7})", R"({"kind":"CreatePod","member":"x"})",
        R"({"kind":"DeletePod","force":"yes"})", R"({"kind":7})"}) {
    auto request = DecodeCoordinatorRequest(line);
    ASSERT_FALSE(request.ok()) << line;
    EXPECT_FALSE(base::Message(request.status()).empty());
  }
  EXPECT_FALSE(DecodeClusterMessage(R"({"kind":"Opening","highestIncarnation":{"x":1}})").ok());
}

TEST(ProtocolTest, ANumberThatDoesNotFitIsRefusedAndNotCut) {
  for (const char* number : {"4294967297", "-2147483649", "18446744073709551615"}) {
    const std::string line =
        R"({"kind":"Report","event":{"kind":"PodExited","exitCode":)" + std::string(number) + "}}";
    auto request = DecodeCoordinatorRequest(line);
    ASSERT_FALSE(request.ok()) << line;
    EXPECT_THAT(base::Message(request.status()),
                testing::HasSubstr("exitCode: " + std::string(number) + " does not fit"));
  }
}

TEST(ProtocolTest, AnEpochHasNoSign) {
  auto request =
      DecodeCoordinatorRequest(R"({"kind":"Report","event":{"kind":"StepCommitted","epoch":-1}})");
  ASSERT_FALSE(request.ok());
  EXPECT_THAT(base::Message(request.status()), testing::HasSubstr("epoch: -1 does not fit"));
}

}  // namespace
}  // namespace muster::local
