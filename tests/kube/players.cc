// Nodes, and what happens in pods.
#include "tests/kube/players.h"

#include <algorithm>

#include "tests/kube/budgets.h"

namespace muster::kubetest {

void PutCondition(Json& object, const Json& condition, const std::string& now) {
  Json& conditions = object["status"]["conditions"];
  if (!conditions.is_array()) conditions = Json::array();
  for (Json& there : conditions) {
    if (there["type"] != condition["type"]) continue;
    const bool same = there["status"] == condition["status"];
    const Json time = there.value("lastTransitionTime", Json(now));
    there = condition;
    there["lastTransitionTime"] = same ? time : Json(now);
    return;
  }
  conditions.push_back(condition);
  conditions.back()["lastTransitionTime"] = now;
}

void Players::AddNode(const std::string& name, int pods, const Json& labels) {
  Json all = labels;
  all["kubernetes.io/hostname"] = name;
  const Json room = {{"pods", std::to_string(pods)}, {"cpu", "16"}, {"memory", "64Gi"}};
  api_.Ask("POST", "/api/v1/nodes",
           {{"metadata", {{"name", name}, {"labels", all}}},
            {"status", {{"capacity", room}, {"allocatable", room}}}});
  ReturnNode(name);
}

void Players::ReturnNode(const std::string& name) {
  lost_.erase(name);
  api_.Change("nodes", "", name, [this](Json& node) {
    PutCondition(node, {{"type", "Ready"}, {"status", "True"}, {"reason", "KubeletReady"}},
                 Rfc3339(api_.clock().WallNow()));
    if (!node["spec"].contains("taints")) return;
    Json kept = Json::array();
    for (const Json& taint : node["spec"]["taints"]) {
      if (taint.value("key", "") != "node.kubernetes.io/unreachable") kept.push_back(taint);
    }
    node["spec"]["taints"] = kept;
  });
}

void Players::MarkNotReady(const std::string& name) {
  api_.Change("nodes", "", name, [this](Json& node) {
    PutCondition(node, {{"type", "Ready"}, {"status", "Unknown"}, {"reason", "NodeStatusUnknown"}},
                 Rfc3339(api_.clock().WallNow()));
    node["spec"]["taints"] = {{{"key", "node.kubernetes.io/unreachable"}, {"effect", "NoSchedule"}},
                              {{"key", "node.kubernetes.io/unreachable"}, {"effect", "NoExecute"}}};
  });
}

void Players::Cordon(const std::string& name, bool cordoned) {
  api_.Change("nodes", "", name, [cordoned](Json& node) {
    if (cordoned) {
      node["spec"]["unschedulable"] = true;
    } else {
      node["spec"].erase("unschedulable");
    }
  });
}

int Players::Settle(int steps) {
  int changed = 0;
  for (int i = 0; i < steps; ++i) {
    const int moved = Step();
    changed += moved;
    if (moved == 0) break;
  }
  return changed;
}

namespace {

void EndContainers(Json& pod, int exit_code, const std::string& reason, const std::string& now) {
  pod["status"]["phase"] = exit_code == 0 ? "Succeeded" : "Failed";
  pod["status"]["containerStatuses"] = Json::array();
  for (const Json& container : pod["spec"].value("containers", Json::array())) {
    pod["status"]["containerStatuses"].push_back({{"name", container.value("name", "")},
                                                  {"ready", false},
                                                  {"restartCount", 0},
                                                  {"state",
                                                   {{"terminated",
                                                     {{"exitCode", exit_code},
                                                      {"reason", !reason.empty()  ? reason
                                                                 : exit_code == 0 ? "Completed"
                                                                                  : "Error"},
                                                      {"finishedAt", now}}}}}});
  }
  PutCondition(pod, {{"type", "Ready"}, {"status", "False"}, {"reason", "PodCompleted"}}, now);
}

}  // namespace

bool Players::Finish(const std::string& ns, const std::string& pod, int exit_code,
                     const std::string& reason) {
  return api_.Change("pods", ns, pod, [&](Json& object) {
    EndContainers(object, exit_code, reason, Rfc3339(api_.clock().WallNow()));
  });
}

bool Players::SetReady(const std::string& ns, const std::string& pod, bool ready) {
  return api_.Change("pods", ns, pod, [&](Json& object) {
    PutCondition(object, {{"type", "Ready"}, {"status", ready ? "True" : "False"}},
                 Rfc3339(api_.clock().WallNow()));
  });
}

bool Players::EvictByKubelet(const std::string& ns, const std::string& pod) {
  return api_.Change("pods", ns, pod, [&](Json& object) {
    const std::string now = Rfc3339(api_.clock().WallNow());
    PutCondition(object,
                 {{"type", "DisruptionTarget"},
                  {"status", "True"},
                  {"reason", "TerminationByKubelet"},
                  {"message", "The node was low on resource: memory."}},
                 now);
    EndContainers(object, 137, "Error", now);
    object["status"]["reason"] = "Evicted";
  });
}

bool Players::StepPod(const Json& pod) {
  const std::string ns = pod["metadata"]["namespace"];
  const std::string name = pod["metadata"]["name"];
  const std::string phase = pod["status"].value("phase", "");
  if (pod["metadata"].contains("deletionTimestamp")) {
    const std::string now = Rfc3339(api_.clock().WallNow());
    if (phase == "Running" || phase == "Pending") {
      const bool runs = containers_ != nullptr && phase == "Running";
      const std::optional<int> code = runs ? containers_->Stop(pod) : 0;
      if (!code) return false;
      // It was told, has ended in time, and is gone in the next step.
      return api_.Change("pods", ns, name,
                         [&](Json& object) { EndContainers(object, *code, "", now); });
    }
    api_.Change("pods", ns, name,
                [](Json& object) { object["metadata"]["deletionGracePeriodSeconds"] = 0; });
    return api_.Ask("DELETE", "/api/v1/namespaces/" + ns + "/pods/" + name,
                    {{"gracePeriodSeconds", 0},
                     {"preconditions", {{"uid", pod["metadata"]["uid"]}}}})
               .code == 200;
  }
  if (phase != "Pending") return false;
  if (containers_ != nullptr && !containers_->Start(pod)) return false;
  ++addresses_;
  const std::string address =
      "10.0." + std::to_string(addresses_ / 250) + "." + std::to_string(1 + addresses_ % 250);
  return api_.Change("pods", ns, name, [&](Json& object) {
    const std::string now = Rfc3339(api_.clock().WallNow());
    Json& status = object["status"];
    status["phase"] = "Running";
    status["podIP"] = address;
    status["podIPs"] = {{{"ip", address}}};
    status["startTime"] = now;
    status["containerStatuses"] = Json::array();
    for (const Json& container : object["spec"].value("containers", Json::array())) {
      status["containerStatuses"].push_back({{"name", container.value("name", "")},
                                             {"ready", true},
                                             {"restartCount", 0},
                                             {"state", {{"running", {{"startedAt", now}}}}}});
    }
    PutCondition(object, {{"type", "Ready"}, {"status", "True"}}, now);
  });
}

int Players::CountBudgets() {
  int changed = 0;
  for (const Json& budget : api_.All("poddisruptionbudgets")) {
    const std::string ns = budget["metadata"]["namespace"];
    const BudgetState state = StateOf(budget, api_.All("pods", ns));
    const Json status = {
        {"currentHealthy", state.healthy},
        {"desiredHealthy", state.desired},
        {"expectedPods", state.expected},
        {"disruptionsAllowed", std::max<std::int64_t>(0, state.healthy - state.desired)},
        {"observedGeneration", budget["metadata"].value("generation", 1)}};
    const bool moved = api_.Change("poddisruptionbudgets", ns, budget["metadata"]["name"],
                                   [&status](Json& object) { object["status"] = status; });
    changed += moved ? 1 : 0;
  }
  return changed;
}

int Players::StepKubelets() {
  int changed = 0;
  for (const Json& pod : api_.All("pods")) {
    const std::string node = pod["spec"].value("nodeName", "");
    if (node.empty() || lost_.contains(node) || !api_.Find("nodes", "", node)) continue;
    changed += StepPod(pod) ? 1 : 0;
  }
  return changed;
}

}  // namespace muster::kubetest
