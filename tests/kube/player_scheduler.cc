// The scheduler: which node a pod goes to.
#include <algorithm>

#include "tests/kube/players.h"

namespace muster::kubetest {
namespace {

bool NodeIsReady(const Json& node) {
  return !node["spec"].value("unschedulable", false) && IsReady(node);
}

bool Tolerates(const Json& pod, const Json& taint) {
  if (taint.value("effect", "") == "PreferNoSchedule") return true;
  return std::ranges::any_of(
      pod["spec"].value("tolerations", Json::array()), [&taint](const Json& toleration) {
        const std::string key = toleration.value("key", "");
        const std::string effect = toleration.value("effect", "");
        const bool exists = toleration.value("operator", "Equal") == "Exists";
        return (key.empty() ? exists : key == taint.value("key", "")) &&
               (effect.empty() || effect == taint.value("effect", "")) &&
               (exists || toleration.value("value", "") == taint.value("value", ""));
      });
}

bool Allows(const Json& node, const Json& pod) {
  const Json labels = node["metadata"].value("labels", Json::object());
  const Json selector = pod["spec"].value("nodeSelector", Json::object());
  for (const auto& [key, value] : selector.items()) {
    if (!labels.contains(key) || labels[key] != value) return false;
  }
  for (const Json& taint : node["spec"].value("taints", Json::array())) {
    if (!Tolerates(pod, taint)) return false;
  }
  return true;
}

bool ExpressionHolds(const Json& expression, const Json& labels) {
  const std::string key = expression.value("key", "");
  const Json values = expression.value("values", Json::array());
  const bool listed =
      labels.contains(key) && std::find(values.begin(), values.end(), labels[key]) != values.end();
  const std::string op = expression.value("operator", "");
  return op == "In" ? listed : op == "NotIn" ? !listed : op == "Exists" && labels.contains(key);
}

// Sum of the weights of what it prefers and this node has.
int Preference(const Json& node, const Json& pod) {
  const Json labels = node["metadata"].value("labels", Json::object());
  const Json preferred =
      pod["spec"].value(Json::json_pointer("/affinity/nodeAffinity/"
                                           "preferredDuringSchedulingIgnoredDuringExecution"),
                        Json::array());
  int score = 0;
  for (const Json& term : preferred) {
    const Json all = term.value(Json::json_pointer("/preference/matchExpressions"), Json::array());
    const bool holds = std::ranges::all_of(
        all, [&labels](const Json& expression) { return ExpressionHolds(expression, labels); });
    if (holds) score += term.value("weight", 1);
  }
  return score;
}

}  // namespace

int Players::Room(const std::string& node) const {
  const auto object = api_.Find("nodes", "", node);
  const std::string pods =
      object->value(Json::json_pointer("/status/allocatable/pods"), std::string("0"));
  const auto all = api_.All("pods");
  const auto taken = std::ranges::count_if(all, [&node](const Json& pod) {
    const std::string phase = pod["status"].value("phase", "");
    return pod["spec"].value("nodeName", "") == node && phase != "Succeeded" && phase != "Failed";
  });
  return std::stoi(pods) - static_cast<int>(taken);
}

std::string Players::NodeFor(const Json& pod) const {
  std::string best;
  std::pair<int, int> best_score;
  for (const Json& node : api_.All("nodes")) {
    const std::string name = node["metadata"]["name"];
    if (!NodeIsReady(node) || !Allows(node, pod)) continue;
    const std::pair<int, int> score = {Preference(node, pod), Room(name)};
    if (score.second <= 0 || (!best.empty() && score <= best_score)) continue;
    best = name;
    best_score = score;
  }
  return best;
}

int Players::Schedule() {
  int changed = 0;
  for (const Json& pod : api_.All("pods")) {
    if (!pod["spec"].value("nodeName", "").empty()) continue;
    if (pod["metadata"].contains("deletionTimestamp")) continue;
    const std::string node = NodeFor(pod);
    const bool bound = api_.Change(
        "pods", pod["metadata"]["namespace"], pod["metadata"]["name"], [&](Json& object) {
          Json condition = {{"type", "PodScheduled"}, {"status", "True"}};
          if (node.empty()) {
            condition = {{"type", "PodScheduled"},
                         {"status", "False"},
                         {"reason", "Unschedulable"},
                         {"message", "0 nodes are available."}};
          } else {
            object["spec"]["nodeName"] = node;
          }
          PutCondition(object, condition, Rfc3339(api_.clock().WallNow()));
        });
    changed += bound ? 1 : 0;
  }
  return changed;
}

}  // namespace muster::kubetest
