// From objects of the API server to a plan's words, and, as a user sees it, to what the plan does.
#include "operator/kube/changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/api/training_job_json.h"
#include "operator/job/reasons.h"
#include "operator/kube/api_error.h"
#include "tests/operator/kube/json_rows.h"

namespace muster::kube {
namespace {

namespace reasons = job::reasons;

StoredPtr<PodRecord> StoredPod(const std::string& name, const std::string& node,
                               const std::string& controller = "ju",
                               const std::string& status = "{'phase':'Running'}") {
  const auto record = ProjectPod(
      Object("{'metadata':{'name':'" + name + "','uid':'uid-" + name +
             "','namespace':'ns','labels':{"
             "'muster.dev/job-name':'j','muster.dev/member':'0.0'},'ownerReferences':[{'uid':'" +
             controller + "','controller':true}]},'spec':{'nodeName':'" + node +
             "','containers':[{'name':'worker'}]},'status':" + status + "}"));
  EXPECT_TRUE(record.ok()) << base::Message(record.status());
  return std::make_shared<const PodRecord>(*record);
}

NodeRecord Node(const std::string& name, const std::string& spec = "{}",
                const std::string& conditions = "[{'type':'Ready','status':'True'}]") {
  const auto record = ProjectNode(Object("{'metadata':{'name':'" + name + "'},'spec':" + spec +
                                         ",'status':{'conditions':" + conditions + "}}"),
                                  "");
  EXPECT_TRUE(record.ok());
  return *record;
}

TEST(MakeNodeTest, WhatOfANodeMattersToAPlan) {
  const FaultSigns signs{{"nvidia.com/gpu-fault"}, {{"GpuUnhealthy"}, {"GpuReady", "False"}}};
  const auto tainted = [](const char* key) {
    return Node("n", std::string("{'taints':[{'key':'") + key + "','effect':'NoSchedule'}]}");
  };
  const auto ready = [](const char* status) {
    return Node("n", "{}", std::string("[{'type':'Ready','status':'") + status + "'}]");
  };
  const struct {
    std::string name;
    NodeRecord record;
    bool ready, cordoned, gone;
    std::string fault;
  } rows[] = {
      {"well", Node("n"), true, false, false, ""},
      {"NotReady", ready("False"), false, false, false, ""},
      {"unknown", ready("Unknown"), false, false, false, ""},
      {"no condition yet", Node("n", "{}", "[]"), false, false, false, ""},
      {"cordoned", Node("n", "{'unschedulable':true}"), true, true, false, ""},
      {"autoscaler", tainted("ToBeDeletedByClusterAutoscaler"), true, true, false, ""},
      {"karpenter", tainted("karpenter.sh/disrupted"), true, true, false, ""},
      {"out of service", tainted("node.kubernetes.io/out-of-service"), true, false, true, ""},
      {"another taint", tainted("dedicated"), true, false, false, ""},
      {"fault taint", tainted("nvidia.com/gpu-fault"), true, false, false,
       "the taint nvidia.com/gpu-fault"},
      {"fault condition",
       Node("n", "{}",
            "[{'type':'Ready','status':'True'},{'type':'GpuUnhealthy','status':'True'}]"),
       true, false, false, "the condition GpuUnhealthy"},
      {"no fault",
       Node("n", "{}",
            "[{'type':'Ready','status':'True'},{'type':'GpuUnhealthy','status':'False'}]"),
       true, false, false, ""},
      {"what should be well is not",
       Node("n", "{}", "[{'type':'Ready','status':'True'},{'type':'GpuReady','status':'False'}]"),
       true, false, false, "the condition GpuReady=False"},
      {"nobody knows whether it is well",
       Node("n", "{}", "[{'type':'Ready','status':'True'},{'type':'GpuReady','status':'Unknown'}]"),
       true, false, false, ""},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(MakeNode(row.record, signs),
              (job::Node{"n", row.ready, row.cordoned, row.gone, row.fault}))
        << row.name;
  }
  EXPECT_TRUE(MakeGoneNode("n").suspect());
}

TEST(ParseFaultConditionTest, ATypeAloneMeansTrue) {
  EXPECT_EQ(*ParseFaultCondition("KernelDeadlock"), (FaultCondition{"KernelDeadlock", "True"}));
  for (const char* status : {"True", "False", "Unknown"}) {
    EXPECT_EQ(*ParseFaultCondition(std::string("a.io/Gpu=") + status),
              (FaultCondition{"a.io/Gpu", status}));
  }
  for (const char* wrong :
       {"", "=False", "GpuReady=", "GpuReady=false", "GpuReady=No", "a=b=True"}) {
    const auto parsed = ParseFaultCondition(wrong);
    ASSERT_FALSE(parsed.ok()) << wrong;
    EXPECT_EQ(
        base::Message(parsed.status()),
        "'" + std::string(wrong) + "' is not TYPE or TYPE=STATUS with True, False or Unknown");
  }
}

TEST(ChangeOfPodTest, IsThePodAsItIsNowOrTheOneThatIsGone) {
  const auto unbound = StoredPod("p", "");
  const auto bound = StoredPod("p", "n1");
  EXPECT_EQ(ChangeOfPod({nullptr, unbound}), job::Change(job::PodChanged{unbound->pod}));
  EXPECT_EQ(ChangeOfPod({unbound, bound}), job::Change(job::PodChanged{bound->pod}));
  EXPECT_EQ(ChangeOfPod({bound, nullptr}), job::Change(job::PodDeleted{bound->pod}));
  EXPECT_EQ(ControllerOf({bound, nullptr}), "ju");
  EXPECT_EQ(ControllerOf({nullptr, bound}), "ju");
}

TEST(ChangeOfNodeTest, ADeletedNodeIsGone) {
  const auto node = std::make_shared<const NodeRecord>(Node("n1"));
  EXPECT_EQ(ChangeOfNode({nullptr, node}, {}), job::Change(job::NodeChanged{MakeNode(*node, {})}));
  EXPECT_EQ(ChangeOfNode({node, nullptr}, {}), job::Change(job::NodeChanged{MakeGoneNode("n1")}));
}

absl::Status Refused(int code, const std::string& message, const std::string& causes = "") {
  const std::string body = "{'kind':'Status','status':'Failure','reason':'r','message':'" +
                           message + "','details':{'causes':[" + causes +
                           "]},'code':" + std::to_string(code) + "}";
  return ToStatus(MakeApiError(code, Object(body).dump(), std::nullopt), "create pod ns/p");
}

TEST(RefusalOfTest, WhatStaysRefusedHasAReasonAndWhatMayPassHasNone) {
  const job::CreatePod wanted{"p", {3, 1}, "r", "m"};
  const struct {
    absl::Status status;
    std::string reason;
  } rows[] = {
      {Refused(422, "Pod p is invalid", "{'field':'spec.containers[0].image'}"),
       reasons::kTemplateRefused},
      {Refused(400, "unknown field"), reasons::kTemplateRefused},
      {Refused(403, "pods p is forbidden: violates PodSecurity restricted:latest"),
       reasons::kTemplateRefused},
      {Refused(403,
               "pods p is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, "
               "limited: pods=3"),
       reasons::kQuotaExceeded},
      {Refused(403, "unable to create new content in namespace ns because it is being terminated",
               "{'reason':'NamespaceTerminating'}"),
       reasons::kNamespaceTerminating},
      {Refused(403, "admission webhook says no"), reasons::kPodsForbidden},
      {base::InvalidArgument("spec.workers.template.spec is not an object"),
       reasons::kTemplateRefused},
      {Refused(409, "pods p already exists"), ""},
      {Refused(429, "too many requests"), ""},
      {Refused(500, "etcd is away"), ""},
      {base::Unavailable("no answer"), ""},
  };
  for (const auto& row : rows) {
    const auto refusal = RefusalOf(wanted, row.status);
    ASSERT_EQ(refusal.has_value(), !row.reason.empty()) << base::Message(row.status);
    if (!refusal) continue;
    EXPECT_EQ(refusal->reason, row.reason) << base::Message(row.status);
    EXPECT_EQ(refusal->name, "p");
    EXPECT_EQ(refusal->member, (base::MemberId{3, 1}));
    EXPECT_NE(base::Message(row.status).find(refusal->message), std::string::npos);
  }
}

// A rule of the manifest on a pod as kubectl shows it: the number there is the number in the rule.
TEST(FailureRuleTest, AnExitCodeIsTheOneThatKubectlShows) {
  for (const auto& [shown, fails] : {std::pair{137, true}, std::pair{143, false}}) {
    auto job = api::ParseTrainingJob(
        Object(
            "{'apiVersion':'muster.dev/v1alpha1','kind':'TrainingJob','metadata':{'name':'j','uid':"
            "'ju'},'spec':{'workers':{'replicas':1},'program':{'builtin':'bench'},'training':{"
            "'steps':10,'slots':8},'failurePolicy':{'rules':[{'action':'FailJob','exitCodes':[137]}"
            "]}}}")
            .dump());
    ASSERT_TRUE(job.ok()) << base::Message(job.status());
    const auto pod = StoredPod("p", "n1", "ju",
                               "{'phase':'Failed','containerStatuses':[{'name':'worker','state':{"
                               "'terminated':{'exitCode':" +
                                   std::to_string(shown) + ",'reason':'Error'}}}]}");
    job::Observed observed;
    observed.job = *job;
    observed.on_cluster = true;
    observed.pods = {pod->pod};
    const job::Plan plan = job::MakePlan(observed, base::WallTime(std::chrono::hours(1)));
    EXPECT_EQ(plan.fail_job.has_value(), fails) << shown;
    EXPECT_EQ(plan.fail_job.value_or(job::Verdict{}).reason, fails ? reasons::kFailurePolicy : "");
  }
}

}  // namespace
}  // namespace muster::kube
