// Objects as an API server shows them, and the few values that are kept.
#include "operator/kube/projection.h"

#include <gtest/gtest.h>

#include "operator/api/training_job_json.h"
#include "tests/operator/kube/json_rows.h"

namespace muster::kube {
namespace {

using std::chrono::seconds;

// 2026-11-21T08:00:00Z
const base::WallTime kEight{seconds(1795248000)};

// A pod of job `j`; `status` and `spec` as given, and what `metadata` adds.
Json Pod(const std::string& status, const std::string& metadata = "",
         const std::string& spec = "{'nodeName':'n1','containers':[{'name':'worker'}]}") {
  return Object(
      "{'metadata':{'name':'j-3-abc','namespace':'ns','uid':'pu','resourceVersion':'9',"
      "'labels':{'muster.dev/job-name':'j','muster.dev/member':'3.2'},"
      "'ownerReferences':[{'kind':'Other','uid':'x'},{'kind':'TrainingJob','uid':'ju',"
      "'controller':true}]" +
      metadata + "},'spec':" + spec + ",'status':" + status + "}");
}

PodRecord Read(const Json& object) {
  const auto record = ProjectPod(object);
  EXPECT_TRUE(record.ok()) << base::Message(record.status());
  return record.value_or(PodRecord());
}

std::string Container(const std::string& state, const std::string& name = "worker") {
  return "{'name':'" + name + "','state':" + state + "}";
}
std::string Ended(const std::string& fields) {
  return "{'phase':'Failed','containerStatuses':[" +
         Container(
             "{'terminated':{'startedAt':'2026-11-21T08:00:00Z',"
             "'finishedAt':'2026-11-21T08:00:05Z'," +
             fields + "}}") +
         "]}";
}

TEST(ProjectPodTest, ARunningPodWhole) {
  const PodRecord record = Read(
      Pod("{'phase':'Running','podIP':'10.1.2.3','startTime':'2026-11-21T07:59:00Z','conditions':["
          "{'type':'Ready','status':'True'},{'type':'PodScheduled','status':'True'},"
          "{'type':'Initialized','status':'False'}],'containerStatuses':[" +
          Container("{'running':{'startedAt':'2026-11-21T08:00:00Z'}}") + "]}"));
  PodRecord expected;
  expected.pod.name = "j-3-abc";
  expected.pod.uid = "pu";
  expected.pod.member = {3, 2};
  expected.pod.node = "n1";
  expected.pod.phase = job::PodPhase::kRunning;
  expected.pod.start_time = kEight;
  expected.pod.conditions = {"Ready", "PodScheduled"};
  expected.ns = "ns";
  expected.controller_uid = "ju";
  expected.pod.ready = true;
  EXPECT_EQ(record, expected);
}

TEST(ProjectPodTest, ItsLabelTellsHowManyProcessesAPodRuns) {
  const auto labelled = [](const std::string& number) {
    Json pod = Pod("{}");
    pod["metadata"]["labels"]["muster.dev/processes"] = number;
    return ProjectPod(pod);
  };
  EXPECT_EQ(Read(Pod("{}")).processes, 1);
  EXPECT_EQ(labelled("1")->processes, 1);
  EXPECT_EQ(labelled("64")->processes, 64);
  for (const char* wrong : {"0", "65", "-2", "2x", "many"}) {
    const auto record = labelled(wrong);
    ASSERT_FALSE(record.ok()) << wrong;
    EXPECT_EQ(base::Message(record.status()), "label muster.dev/processes is '" +
                                                  std::string(wrong) +
                                                  "'; a number from 1 to 64 is allowed");
  }
}

TEST(ProjectPodTest, HowAWorkerEnded) {
  const struct {
    std::string fields;
    std::optional<int> code;
    std::optional<int> signal;
    std::string message;
    job::PodPhase phase;
  } rows[] = {
      {"'exitCode':0,'reason':'Completed'", 0, {}, "", job::PodPhase::kSucceeded},
      {"'exitCode':74,'reason':'Error'", 74, {}, "", job::PodPhase::kFailed},
      {"'exitCode':74,'reason':'Error','message':'no data'",
       74,
       {},
       "no data",
       job::PodPhase::kFailed},
      {"'exitCode':137,'reason':'OOMKilled'", {}, 9, "OOMKilled", job::PodPhase::kFailed},
      {"'exitCode':143,'reason':'Error'", {}, 15, "", job::PodPhase::kFailed},
      {"'exitCode':137,'signal':9", {}, 9, "", job::PodPhase::kFailed},
      {"'exitCode':128,'reason':'ContainerCannotRun','message':'no such file'",
       128,
       {},
       "ContainerCannotRun: no such file",
       job::PodPhase::kFailed},
      {"'exitCode':192", {}, 64, "", job::PodPhase::kFailed},
      {"'exitCode':193", 193, {}, "", job::PodPhase::kFailed},
      {"'exitCode':255", 255, {}, "", job::PodPhase::kFailed},
  };
  for (const auto& row : rows) {
    const job::Pod pod = Read(Pod(Ended(row.fields))).pod;
    EXPECT_EQ(pod.exit_code, row.code) << row.fields;
    EXPECT_EQ(pod.signal, row.signal) << row.fields;
    EXPECT_EQ(pod.message, row.message) << row.fields;
    EXPECT_EQ(pod.phase, row.phase) << row.fields;
    EXPECT_EQ(pod.finish_time, kEight + seconds(5)) << row.fields;
    EXPECT_EQ(pod.start_time, kEight) << row.fields;
    EXPECT_FALSE(pod.infrastructure_loss) << row.fields;
  }
}

TEST(ProjectPodTest, AWorkerThatEndedIsOverWhateverElseRuns) {
  const PodRecord record =
      Read(Pod("{'phase':'Running','containerStatuses':[" +
                   Container("{'running':{'startedAt':'2026-11-21T08:00:00Z'}}", "sidecar") + "," +
                   Container("{'terminated':{'exitCode':70}}") + "]}",
               "", "{'containers':[{'name':'sidecar'},{'name':'worker'}]}"));
  EXPECT_EQ(record.pod.phase, job::PodPhase::kFailed);
  EXPECT_EQ(record.pod.exit_code, 70);
}

TEST(ProjectPodTest, WithoutAContainerOfOurNameTheFirstOfTheSpecIsOurs) {
  const PodRecord record =
      Read(Pod("{'phase':'Running','containerStatuses':[" +
                   Container("{'terminated':{'exitCode':70}}", "helper") + "," +
                   Container("{'running':{'startedAt':'2026-11-21T08:00:00Z'}}", "main") + "]}",
               "", "{'containers':[{'name':'main'},{'name':'helper'}]}"));
  EXPECT_EQ(record.pod.phase, job::PodPhase::kRunning);
  EXPECT_EQ(record.pod.exit_code, std::nullopt);
}

TEST(ProjectPodTest, WhatTheClusterDidIsNeverTheWorkersFault) {
  for (const char* reason : {"PreemptionByScheduler", "DeletionByTaintManager",
                             "EvictionByEvictionAPI", "DeletionByPodGC", "TerminationByKubelet"}) {
    const PodRecord record =
        Read(Pod(std::string("{'phase':'Running','conditions':[{'type':'DisruptionTarget',"
                             "'status':'True','reason':'") +
                 reason + "'}]}"));
    EXPECT_TRUE(record.pod.infrastructure_loss) << reason;
    EXPECT_EQ(record.pod.conditions, std::vector<std::string>{"DisruptionTarget"});
  }
  for (const char* reason :
       {"NodeLost", "NodeShutdown", "Terminated", "Preempting", "OutOfcpu", "OutOfpods",
        "NodeAffinity", "TaintToleration", "UnexpectedAdmissionError"}) {
    const PodRecord record =
        Read(Pod(std::string("{'phase':'Failed','message':'why','reason':'") + reason + "'}"));
    EXPECT_TRUE(record.pod.infrastructure_loss) << reason;
    EXPECT_EQ(record.pod.message, std::string(reason) + ": why");
  }
}

TEST(ProjectPodTest, WhatIsNotTheClustersDoingIsNotExcused) {
  // A pod beyond its own limits is evicted by the kubelet without the condition.
  EXPECT_FALSE(Read(Pod("{'phase':'Failed','reason':'Evicted','message':'ephemeral storage'}"))
                   .pod.infrastructure_loss);
  EXPECT_FALSE(Read(Pod("{'phase':'Failed','reason':'DeadlineExceeded'}")).pod.infrastructure_loss);
  EXPECT_FALSE(Read(Pod("{'conditions':[{'type':'DisruptionTarget','status':'False',"
                        "'reason':'DeletionByPodGC'}]}"))
                   .pod.infrastructure_loss);
  EXPECT_FALSE(Read(Pod("{'conditions':[{'type':'DisruptionTarget','status':'True',"
                        "'reason':'SomebodysOwn'}]}"))
                   .pod.infrastructure_loss);
}

TEST(ProjectPodTest, ADeletedPodIsGoingAndSaysUntilWhen) {
  const PodRecord record =
      Read(Pod("{'phase':'Running'}", ",'deletionTimestamp':'2026-11-21T08:00:00Z'"));
  EXPECT_TRUE(record.pod.deleting);
  EXPECT_EQ(record.pod.deletion_time, kEight);
  EXPECT_EQ(record.pod.phase, job::PodPhase::kRunning);
}

TEST(ProjectPodTest, ItsGraceIsThatOfTheDeletionElseOfTheSpec) {
  const std::string deleted = ",'deletionTimestamp':'2026-11-21T08:00:00Z'";
  const std::string spec = "{'terminationGracePeriodSeconds':90}";
  EXPECT_EQ(Read(Pod("{}")).pod.grace, seconds(30));
  EXPECT_EQ(Read(Pod("{}", "", spec)).pod.grace, seconds(90));
  EXPECT_EQ(Read(Pod("{}", deleted + ",'deletionGracePeriodSeconds':5", spec)).pod.grace,
            seconds(5));
  EXPECT_EQ(Read(Pod("{}", deleted + ",'deletionGracePeriodSeconds':-3", spec)).pod.grace,
            seconds(0));
}

TEST(ProjectPodTest, AnotherContainerThatHoldsItUpIsNamed) {
  const std::string waits = Container("{'waiting':{'reason':'PodInitializing'}}");
  const std::string stuck =
      "{'name':'fetch','state':{'waiting':{'reason':'ErrImagePull','message':'no such image'}}}";
  PodRecord record = Read(Pod("{'phase':'Pending','containerStatuses':[" + waits +
                              "],'initContainerStatuses':[" + stuck + "]}"));
  EXPECT_EQ(record.pod.waiting_reason, "ErrImagePull");
  EXPECT_EQ(record.pod.waiting_message, "no such image");
  record = Read(Pod("{'phase':'Pending','containerStatuses':[" + waits + "]}"));
  EXPECT_EQ(record.pod.waiting_reason, "PodInitializing");
}

TEST(ProjectPodTest, WhatItWaitsForIsKeptForPeople) {
  PodRecord record = Read(
      Pod("{'phase':'Pending','containerStatuses':[" +
          Container("{'waiting':{'reason':'ImagePullBackOff','message':'no such image'}}") + "]}"));
  EXPECT_EQ(record.pod.waiting_reason, "ImagePullBackOff");
  EXPECT_EQ(record.pod.waiting_message, "no such image");
  EXPECT_EQ(record.pod.phase, job::PodPhase::kPending);
  record =
      Read(Pod("{'phase':'Pending','conditions':[{'type':'PodScheduled','status':'False',"
               "'reason':'Unschedulable','message':'0/3 nodes'}]}"));
  EXPECT_EQ(record.pod.unschedulable, "0/3 nodes");
  EXPECT_EQ(record.pod.conditions, std::vector<std::string>{});
}

TEST(ProjectPodTest, LongTextsAreCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "\xC3\xA9";
  const PodRecord record = Read(Pod(Ended("'exitCode':1,'message':'" + text + "'")));
  EXPECT_LE(record.pod.message.size(), kMostMessageBytes);
  EXPECT_GE(record.pod.message.size(), kMostMessageBytes - 4);
  EXPECT_TRUE(record.pod.message.ends_with("\xC3\xA9..."));
}

TEST(ProjectPodTest, RefusesWhatIsNoPodOfOursOrHasAWrongTime) {
  EXPECT_FALSE(ProjectPod(Object("{'metadata':{'name':'x'}}")).ok());
  EXPECT_FALSE(ProjectPod(Object("{}")).ok());
  const auto bad = ProjectPod(Pod("{}", ",'deletionTimestamp':'yesterday'"));
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(base::Message(bad.status()).substr(0, 17), "deletionTimestamp");
}

TEST(ProjectPodTest, FieldsOfAWrongTypeAreTakenForAbsent) {
  const Json odd = Object(
      "{'metadata':{'name':7,'labels':{'muster.dev/member':'0.0'},'ownerReferences':'x'},"
      "'spec':[],'status':{'conditions':{},'containerStatuses':'x','phase':3}}");
  const PodRecord record = Read(odd);
  EXPECT_EQ(record.pod.phase, job::PodPhase::kPending);
  EXPECT_EQ(record.controller_uid, "");
}

TEST(ProjectJobTest, ReadsTheWholeObject) {
  api::TrainingJob job;
  job.name = "j";
  job.ns = "ns";
  job.uid = "ju";
  job.generation = 4;
  job.spec.workers.replicas = 3;
  job.spec.workers.max_replicas = 5;
  Json object = Json::parse(api::TrainingJobToJson(job));
  object["metadata"]["resourceVersion"] = "77";
  const auto record = ProjectJob(object);
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->unreadable, "");
  EXPECT_EQ(record->job, job);
  EXPECT_FALSE(record->deleting);
  object["metadata"]["resourceVersion"] = "78";
  EXPECT_EQ(*ProjectJob(object), *record) << "a write that changes nothing is no news";
  object["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:00Z";
  EXPECT_TRUE(ProjectJob(object)->deleting);
}

TEST(ProjectJobTest, AnUnreadableJobIsStillSomebodys) {
  const auto record =
      ProjectJob(Object("{'metadata':{'name':'j','namespace':'ns','uid':'ju'},'spec':{'training':{'"
                        "slots':'many'}}}"));
  ASSERT_TRUE(record.ok());
  EXPECT_NE(record->unreadable.find("slots"), std::string::npos) << record->unreadable;
  EXPECT_EQ(record->job.name, "j");
  EXPECT_EQ(record->job.uid, "ju");
  EXPECT_FALSE(ProjectJob(Object("{'metadata':{'name':'j'}}")).ok());
}

TEST(ProjectNodeTest, KeepsWhatDecisionsNeedAndNoTimes) {
  const std::string text =
      "{'metadata':{'name':'n1','uid':'nu','labels':{'topology.kubernetes.io/"
      "zone':'z','rack':'r7'}},"
      "'spec':{'unschedulable':true,'taints':[{'key':'k','value':'v','effect':'NoExecute',"
      "'timeAdded':'2026-11-21T08:00:00Z'},{'key':'q','effect':'NoSchedule'}]},"
      "'status':{'conditions':[{'type':'Ready','status':'False','lastHeartbeatTime':'HEARTBEAT'},"
      "{'type':'DiskPressure','status':'True'}]}}";
  const auto node = ProjectNode(Object(text), "rack");
  ASSERT_TRUE(node.ok());
  NodeRecord expected;
  expected.name = "n1";
  expected.uid = "nu";
  expected.ready = "False";
  expected.unschedulable = true;
  expected.taints = {{"k", "v", "NoExecute"}, {"q", "", "NoSchedule"}};
  expected.conditions = {{"Ready", "False"}, {"DiskPressure", "True"}};
  expected.zone = "z";
  expected.rack = "r7";
  EXPECT_EQ(*node, expected);
  std::string later = text;
  later.replace(later.find("HEARTBEAT"), 9, "LATER");
  EXPECT_EQ(*ProjectNode(Object(later), "rack"), expected);
  EXPECT_EQ(ProjectNode(Object(text), "")->rack, "");
  EXPECT_EQ(ProjectNode(Object("{'metadata':{'name':'n'}}"), "")->ready, "Unknown");
  EXPECT_FALSE(ProjectNode(Object("{}"), "").ok());
}

TEST(MicroTimeTest, HasSixDigitsAlways) {
  EXPECT_EQ(FormatMicroTime(kEight + std::chrono::nanoseconds(1999)),
            "2026-11-21T08:00:00.000001Z");
  EXPECT_EQ(FormatMicroTime(base::WallTime()), "1970-01-01T00:00:00.000000Z");
}

}  // namespace
}  // namespace muster::kube
