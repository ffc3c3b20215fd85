// What stands beside a job's pods: names, owners, and whom each selects.
#include "operator/kube/job_objects.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

namespace muster::kube {
namespace {

using Json = nlohmann::json;

api::TrainingJob Job() {
  api::TrainingJob job;
  job.name = "licences";
  job.ns = "team";
  job.uid = "u-1";
  job.spec.workers.replicas = 4;
  job.spec.workers.min_replicas = 2;
  return job;
}

std::map<std::string, Json> ByKind(const std::vector<JobObject>& objects) {
  std::map<std::string, Json> out;
  for (const JobObject& object : objects) {
    out.emplace(std::string(object.resource.kind), Json::parse(object.body));
  }
  return out;
}

TEST(JobObjectsTest, AllAreOwnedByTheJobAndLieBesideIt) {
  const auto objects = MakeJobObjects(Job(), {"PEM", 9464});
  ASSERT_EQ(objects.size(), 4u);
  for (const JobObject& object : objects) {
    const Json body = Json::parse(object.body);
    EXPECT_EQ(body["apiVersion"], ApiVersion(object.resource));
    EXPECT_EQ(body["metadata"]["namespace"], "team");
    EXPECT_EQ(body["metadata"]["name"], object.key.name);
    const Json& owner = body["metadata"]["ownerReferences"][0];
    EXPECT_EQ(owner["uid"], "u-1");
    EXPECT_EQ(owner["controller"], true);
    EXPECT_EQ(body["metadata"]["labels"]["app.kubernetes.io/managed-by"], "muster");
  }
}

TEST(JobObjectsTest, EachSelectsTheWorkersOfThisJobAndNoOther) {
  auto made = ByKind(MakeJobObjects(Job(), {"PEM", 9464}));
  const Json workers = {{"app.kubernetes.io/component", "worker"}, {"muster.dev/job-uid", "u-1"}};
  EXPECT_EQ(made["Service"]["spec"]["selector"], workers);
  EXPECT_EQ(made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"], workers);
  const Json policy = made["NetworkPolicy"]["spec"];
  EXPECT_EQ(policy["podSelector"]["matchLabels"], workers);
  EXPECT_EQ(policy["policyTypes"], Json::array({"Ingress"}));
  ASSERT_EQ(policy["ingress"].size(), 2u);
  EXPECT_EQ(policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"], workers);
  EXPECT_FALSE(policy["ingress"][0].contains("ports"));  // the ring's ports are any
  EXPECT_EQ(policy["ingress"][1]["ports"][0]["port"], 9464);
  EXPECT_FALSE(policy["ingress"][1]["ports"][0].contains("endPort"));
  EXPECT_FALSE(policy["ingress"][1].contains("from"));
}

TEST(JobObjectsTest, EachProcessOfAPodHasAPortOfMetrics) {
  api::TrainingJob job = Job();
  job.spec.workers.processes_per_worker = 3;
  auto made = ByKind(MakeJobObjects(job, {"PEM", 9464}));
  const Json& ports = made["Service"]["spec"]["ports"];
  ASSERT_EQ(ports.size(), 3u);
  EXPECT_EQ(ports[0]["name"], "metrics");
  EXPECT_EQ(ports[2], (Json{{"name", "metrics-2"},
                            {"port", 9466},
                            {"targetPort", "metrics-2"},
                            {"protocol", "TCP"}}));
  const Json& open = made["NetworkPolicy"]["spec"]["ingress"][1]["ports"];
  ASSERT_EQ(open.size(), 1u);
  EXPECT_EQ(open[0]["port"], 9464);
  EXPECT_EQ(open[0]["endPort"], 9466);
  EXPECT_EQ(made["PodDisruptionBudget"]["spec"]["minAvailable"], 2) << "of pods";
}

TEST(JobObjectsTest, ADrainMayGoDownToTheMinimum) {
  auto made = ByKind(MakeJobObjects(Job(), {"PEM", 9464}));
  EXPECT_EQ(made["PodDisruptionBudget"]["spec"]["minAvailable"], 2);
  EXPECT_EQ(made["PodDisruptionBudget"]["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
  const auto living = ObjectsOfTheLiving(Job());
  ASSERT_EQ(living.size(), 1u);
  EXPECT_EQ(living[0].resource, kDisruptionBudgets);
  EXPECT_EQ(living[0].key, (ObjectKey{"team", "licences"}));
}

TEST(JobObjectsTest, TheBundleIsInAConfigMapIfThereIsOne) {
  auto made = ByKind(MakeJobObjects(Job(), {"PEM", 9464}));
  EXPECT_EQ(made["ConfigMap"]["metadata"]["name"], "licences-ca");
  EXPECT_EQ(made["ConfigMap"]["data"]["ca.crt"], "PEM");
  EXPECT_EQ(ByKind(MakeJobObjects(Job(), {"", 9464})).count("ConfigMap"), 0u);
}

}  // namespace
}  // namespace muster::kube
