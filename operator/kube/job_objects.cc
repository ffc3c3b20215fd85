#include "operator/kube/job_objects.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "operator/api/schema.h"
#include "operator/kube/json.h"
#include "operator/kube/labels.h"

namespace muster::kube {
namespace {

Json Labels(const api::TrainingJob& job) {
  return {{kManagedByLabel, kManagedBy}, {kJobNameLabel, job.name}, {kJobUidLabel, job.uid}};
}

Json WorkersOf(const api::TrainingJob& job) {
  return {{kComponentLabel, kWorkerComponent}, {kJobUidLabel, job.uid}};
}

JobObject Make(const Resource& resource, const api::TrainingJob& job, const std::string& name,
               Json content) {
  const Json owner = {{"apiVersion", api::kApiVersion},
                      {"kind", api::kKind},
                      {"name", job.name},
                      {"uid", job.uid},
                      {"controller", true},
                      {"blockOwnerDeletion", true}};
  content["apiVersion"] = ApiVersion(resource);
  content["kind"] = std::string(resource.kind);
  content["metadata"] = {{"name", name},
                         {"namespace", job.ns},
                         {"labels", Labels(job)},
                         {"ownerReferences", Json::array({owner})}};
  return {resource, {job.ns, name}, Dump(content)};
}

JobObject Budget(const api::TrainingJob& job) {
  return Make(kDisruptionBudgets, job, job.name,
              {{"spec",
                {{"minAvailable", job.spec.workers.min_replicas},
                 {"unhealthyPodEvictionPolicy", "AlwaysAllow"},
                 {"selector", {{"matchLabels", WorkersOf(job)}}}}}});
}

JobObject Policy(const api::TrainingJob& job, int metrics_port) {
  const Json same_job = {
      {"from", Json::array({{{"podSelector", {{"matchLabels", WorkersOf(job)}}}}})}};
  Json ports = {{"port", metrics_port}, {"protocol", "TCP"}};
  const std::int32_t processes = job.spec.workers.processes_per_worker;
  if (processes > 1) ports["endPort"] = metrics_port + processes - 1;
  const Json scrapes = {{"ports", Json::array({ports})}};
  return Make(kNetworkPolicies, job, job.name,
              {{"spec",
                {{"podSelector", {{"matchLabels", WorkersOf(job)}}},
                 {"policyTypes", Json::array({"Ingress"})},
                 {"ingress", Json::array({same_job, scrapes})}}}});
}

JobObject NamesOfPods(const api::TrainingJob& job, int metrics_port) {
  Json ports = Json::array();
  for (std::int32_t process = 0; process < job.spec.workers.processes_per_worker; ++process) {
    const std::string name = MetricsPortName(process);
    ports.push_back({{"name", name},
                     {"port", metrics_port + process},
                     {"targetPort", name},
                     {"protocol", "TCP"}});
  }
  return Make(kServices, job, job.name,
              {{"spec",
                {{"clusterIP", "None"},
                 {"publishNotReadyAddresses", true},
                 {"selector", WorkersOf(job)},
                 {"ports", std::move(ports)}}}});
}

}  // namespace

std::string CaConfigMapName(const api::TrainingJob& job) { return job.name + "-ca"; }

// Its entries are another writer's, so they stay when this is applied again.
JobObject MakeHistoryObject(const api::TrainingJob& job) {
  return Make(
      kConfigMaps, job, job.name + "-history",
      {{"data", {{"about", "the course of a TrainingJob; see muster's docs/operations.md"}}}});
}

std::vector<JobObject> MakeJobObjects(const api::TrainingJob& job,
                                      const JobObjectSettings& settings) {
  std::vector<JobObject> out;
  if (!settings.ca_bundle_pem.empty()) {
    out.push_back(Make(kConfigMaps, job, CaConfigMapName(job),
                       {{"data", {{"ca.crt", settings.ca_bundle_pem}}}}));
  }
  out.push_back(NamesOfPods(job, settings.metrics_port));
  out.push_back(Policy(job, settings.metrics_port));
  out.push_back(Budget(job));
  return out;
}

std::vector<JobObject> ObjectsOfTheLiving(const api::TrainingJob& job) { return {Budget(job)}; }

}  // namespace muster::kube
