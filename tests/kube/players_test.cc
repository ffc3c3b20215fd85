// The rest of the cluster, step by step.
#include "tests/kube/players.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::kubetest {
namespace {

constexpr char kPods[] = "/api/v1/namespaces/default/pods";

class PlayersTest : public testing::Test {
 protected:
  void MakePod(const std::string& name, const Json& spec = Json::object()) {
    Json body = {{"metadata", {{"name", name}, {"labels", {{"app", "a"}}}}}, {"spec", spec}};
    body["spec"]["containers"] = {{{"name", "worker"}, {"image", "i"}}};
    ASSERT_EQ(api_.Ask("POST", kPods, body).code, 201);
  }
  Json Pod(const std::string& name) { return api_.Find("pods", "default", name).value_or(Json()); }
  std::string NodeOf(const std::string& name) { return Pod(name)["spec"].value("nodeName", ""); }
  std::string Phase(const std::string& name) { return Pod(name)["status"].value("phase", ""); }
  Json Condition(const std::string& name, const std::string& type) {
    for (const Json& condition : Pod(name)["status"].value("conditions", Json::array())) {
      if (condition["type"] == type) return condition;
    }
    return {};
  }

  runtime::ManualClock clock_;
  ApiDouble api_{{}, clock_};
  Players players_{api_};
};

TEST_F(PlayersTest, APodIsBoundThenRunsAndIsReady) {
  players_.AddNode("n1");
  MakePod("p");
  EXPECT_EQ(players_.Schedule(), 1);
  EXPECT_EQ(NodeOf("p"), "n1");
  EXPECT_EQ(Phase("p"), "Pending");
  EXPECT_EQ(players_.StepKubelets(), 1);
  EXPECT_EQ(Phase("p"), "Running");
  EXPECT_TRUE(IsReady(Pod("p")));
  EXPECT_EQ(Pod("p")["status"]["podIP"], "10.0.0.2");
  EXPECT_EQ(players_.Step(), 0) << "nothing moves any more";
}

TEST_F(PlayersTest, RoomCordonTaintsSelectorsAndPreferencesDecideTheNode) {
  players_.AddNode("n1", 1, {{"disk", "fast"}});
  players_.AddNode("n2", 2);
  MakePod("fast", {{"nodeSelector", {{"disk", "fast"}}}});
  MakePod("fast-too", {{"nodeSelector", {{"disk", "fast"}}}});
  players_.Schedule();
  EXPECT_EQ(NodeOf("fast"), "n1");
  EXPECT_EQ(NodeOf("fast-too"), "") << "there is room for one";
  EXPECT_EQ(Condition("fast-too", "PodScheduled")["reason"], "Unschedulable");
  players_.AddNode("n3", 9);
  MakePod("shy", Json::parse(R"({"affinity": {"nodeAffinity": {
      "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {
      "matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn",
                            "values": ["n3"]}]}}]}}})"));
  players_.Schedule();
  EXPECT_EQ(NodeOf("shy"), "n2") << "n3 has more room and is not preferred";
  players_.Cordon("n3", true);
  players_.MarkNotReady("n2");
  MakePod("nowhere");
  players_.Schedule();
  EXPECT_EQ(NodeOf("nowhere"), "");
  players_.Cordon("n3", false);
  players_.Schedule();
  EXPECT_EQ(NodeOf("nowhere"), "n3");
}

TEST_F(PlayersTest, ADeletedPodEndsAndGoesOnlyWhereItsKubeletLives) {
  players_.AddNode("n1");
  players_.AddNode("n2");
  MakePod("p1");
  MakePod("p2");
  players_.Settle();
  ASSERT_NE(NodeOf("p1"), NodeOf("p2"));
  players_.LoseNode(NodeOf("p2"));
  for (const char* name : {"p1", "p2"}) api_.Ask("DELETE", std::string(kPods) + "/" + name);
  EXPECT_EQ(players_.StepKubelets(), 1);
  EXPECT_EQ(Phase("p1"), "Succeeded");
  players_.Settle();
  EXPECT_TRUE(Pod("p1").is_null());
  EXPECT_EQ(Phase("p2"), "Running") << "nobody on a lost node can confirm";
  EXPECT_EQ(api_.Ask("DELETE", std::string(kPods) + "/p2?gracePeriodSeconds=0").code, 200);
  EXPECT_TRUE(Pod("p2").is_null());
}

TEST_F(PlayersTest, AContainerEndsWithItsExitCode) {
  players_.AddNode("n1");
  MakePod("p");
  players_.Settle();
  EXPECT_TRUE(players_.Finish("default", "p", 137, "OOMKilled"));
  EXPECT_EQ(Phase("p"), "Failed");
  const Json ended = Pod("p")["status"]["containerStatuses"][0]["state"]["terminated"];
  EXPECT_EQ(ended["exitCode"], 137);
  EXPECT_EQ(ended["reason"], "OOMKilled");
  EXPECT_FALSE(IsReady(Pod("p")));
}

TEST_F(PlayersTest, TheKubeletsEvictionSaysSo) {
  players_.AddNode("n1");
  MakePod("p");
  players_.Settle();
  players_.EvictByKubelet("default", "p");
  EXPECT_EQ(Condition("p", "DisruptionTarget")["reason"], "TerminationByKubelet");
  EXPECT_EQ(Phase("p"), "Failed");
}

TEST_F(PlayersTest, WhatIsOwnedGoesInTheBackgroundAndAPodKeepsItsGrace) {
  players_.AddNode("n1");
  const auto owner = api_.Ask("POST", "/api/v1/namespaces/default/configmaps",
                              {{"metadata", {{"name", "owner"}}}});
  MakePod("p");
  players_.Settle();
  api_.Change("pods", "default", "p", [&owner](Json& pod) {
    pod["metadata"]["ownerReferences"] = {{{"apiVersion", "v1"},
                                           {"kind", "ConfigMap"},
                                           {"name", "owner"},
                                           {"uid", owner.body["metadata"]["uid"]}}};
  });
  EXPECT_EQ(players_.Collect(), 0);
  api_.Ask("DELETE", "/api/v1/namespaces/default/configmaps/owner");
  EXPECT_EQ(players_.Collect(), 1);
  EXPECT_TRUE(Pod("p")["metadata"].contains("deletionTimestamp"));
  EXPECT_EQ(players_.Collect(), 0);
  players_.Settle();
  EXPECT_TRUE(Pod("p").is_null());
}

TEST_F(PlayersTest, ABudgetCountsWhatIsHealthy) {
  players_.AddNode("n1");
  for (const char* name : {"p1", "p2", "p3"}) MakePod(name);
  api_.Ask("POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
           {{"metadata", {{"name", "b"}}},
            {"spec", {{"minAvailable", "50%"}, {"selector", {{"matchLabels", {{"app", "a"}}}}}}}});
  players_.Settle();
  players_.SetReady("default", "p3", false);
  players_.CountBudgets();
  const Json status = (*api_.Find("poddisruptionbudgets", "default", "b"))["status"];
  EXPECT_EQ(status["currentHealthy"], 2);
  EXPECT_EQ(status["desiredHealthy"], 2);
  EXPECT_EQ(status["disruptionsAllowed"], 0);
}

}  // namespace
}  // namespace muster::kubetest
