// What happens in a life, in its order, and what is left at its end.
#include <algorithm>

#include "operator/api/training_job_json.h"
#include "operator/job/rules.h"
#include "tests/crash/life.h"
#include "tests/crash/objects.h"

namespace muster::crash {

using std::chrono::milliseconds;

namespace {

constexpr base::Duration kFastStep = milliseconds(4);

}  // namespace

bool Life::Script() {
  if (!Create() || !Trains(2)) return false;
  const Json scale = {{"spec", {{"replicas", 3}}}};
  if (api_.Ask("PATCH", std::string(kJobs) + "/" + kJob + "/scale", scale,
               "application/merge-patch+json")
          .code != 200) {
    Wrong("the scale subresource refuses");
    return false;
  }
  return Trains(3) && LoseANode() && Drain() && Finish();
}

bool Life::Create() {
  api::TrainingJob job;
  job.name = kJob;
  job.spec.workers.replicas = 2;
  job.spec.workers.max_replicas = 4;
  job.spec.program.builtin = api::Builtin::kBench;
  job.spec.training.steps = kSteps;
  job.spec.training.slots = kSlots;
  job.spec.checkpoint.path = "/checkpoints";
  job.spec.checkpoint.every_steps = 50;
  // Nobody is silent here but who is dead, and a machine with much to do must not look like one.
  job.spec.elasticity.heartbeat_timeout = std::chrono::seconds(10);
  Json body = Json::parse(api::TrainingJobToJson(job));
  body["metadata"] = {{"name", kJob}};
  body.erase("status");
  const auto made = api_.Ask("POST", kJobs, body);
  if (made.code == 201) return true;
  Wrong("the job is refused: " + made.body.dump());
  return false;
}

bool Life::Trains(int members) {
  return Until(std::to_string(members) + " members train", [&] {
    const Json status = Job().value("status", Json::object());
    // A status may be older than an operator's death; the record and the pods are not.
    const std::string view = " " + At(status, "/membership/members", "").get<std::string>() + " ";
    for (const Json& pod : ActivePods()) {
      if (view.find(" " + Label(pod, kube::kMemberLabel) + " ") == std::string::npos) return false;
    }
    return status.value("state", "") == "Running" &&
           status.value("members", "") == std::to_string(members) + "/" + std::to_string(members) &&
           static_cast<int>(ActivePods().size()) == members;
  });
}

// Its power goes: its kubelet and what ran there say nothing more.
bool Life::LoseANode() {
  const std::vector<Json> pods = ActivePods();
  const auto pod = std::ranges::find_if(pods, [](const Json& p) { return OrdinalOf(p) == "1"; });
  const std::string node = (*pod)["spec"]["nodeName"];
  const std::string uid = (*pod)["metadata"]["uid"];
  {
    runtime::MutexLock lock(mutex_);
    lost_nodes_.insert(node);
  }
  players_.LoseNode(node);
  for (const auto& [process, where] : running_) {
    if (where == node) workers_->Kill(process);
  }
  players_.MarkNotReady(node);
  return Until("the pod on the lost node is gone", [&] { return !api_.HasUid(uid); }) && Trains(3);
}

bool Life::Drain() {
  const std::vector<Json> pods = ActivePods();
  const auto pod = std::ranges::find_if(pods, [](const Json& p) { return OrdinalOf(p) == "0"; });
  const std::string name = (*pod)["metadata"]["name"];
  const std::string uid = (*pod)["metadata"]["uid"];
  const std::string path = std::string("/api/v1/namespaces/") + kNs + "/pods/" + name;
  const Json eviction = {{"apiVersion", "policy/v1"},
                         {"kind", "Eviction"},
                         {"metadata", {{"name", name}, {"namespace", kNs}}}};
  // As kubectl drain does: again while the budget forbids it.
  return Until("the eviction is allowed",
               [&] { return api_.Ask("POST", path + "/eviction", eviction).code == 201; }) &&
         Until("the drained pod is gone", [&] { return !api_.HasUid(uid); }) && Trains(3);
}

bool Life::Finish() {
  if (At(Job(), "/status/state", "") != "Running") {
    Wrong("the job ended before its script");
    return false;
  }
  workers_->SetStepTime(kFastStep);
  return Until("the job has succeeded", [&] {
    return At(Job(), "/status/state", "") == "Succeeded" && ActivePods().empty() &&
           At(Job(), "/status/result", nullptr) != nullptr &&
           api_.All("poddisruptionbudgets", kNs).empty() && HistoryIsWhole();
  });
}

// Every change and every loss of the status is in the job's ConfigMap.
bool Life::HistoryIsWhole() const {
  const auto history = api_.Find("configmaps", kNs, std::string(kJob) + "-history");
  if (!history) return false;
  std::set<Json> lines;
  const Json data = history->value("data", Json::object());
  for (const auto& [key, line] : data.items()) {
    lines.insert(Json::parse(line.get<std::string>(), nullptr, false));
  }
  for (const char* list : {"rescales", "failures"}) {
    for (const Json& entry : At(Job(), (std::string("/status/") + list).c_str(), Json::array())) {
      if (!lines.contains(entry)) return false;
    }
  }
  return true;
}

// What must be the same whatever happened on the way.
std::string Life::End() const {
  const Json status = Job().value("status", Json::object());
  std::string text = "state " + status.value("state", "") + "\n";
  for (const Json& condition : status.value("conditions", Json::array())) {
    text += condition.value("type", "") + "=" + condition.value("status", "") + " " +
            condition.value("reason", "") + "\n";
  }
  text += "members " + status.value("members", "") + ", step " +
          At(status, "/progress/step", 0).dump() + ", checkpoint " +
          At(status, "/checkpoint/step", 0).dump() + "\nresult " +
          status.value("result", Json()).dump() + "\n";
  std::set<std::string> lines;
  for (const Json& failure : status.value("failures", Json::array())) {
    const std::string member = failure.value("member", "");
    // What is noticed first of a silent machine is chance.
    const std::string reason = failure.value("reason", "");
    lines.insert("failure of " + member.substr(0, member.find('.')) + ": " +
                 (job::IsSilent(reason) ? "silent" : reason) +
                 (failure.value("charged", false) ? ", charged" : ""));
  }
  for (const char* kind :
       {"configmaps", "services", "networkpolicies", "poddisruptionbudgets", "trainingjobs"}) {
    for (const Json& object : api_.All(kind, kNs)) {
      lines.insert(std::string(kind) + " " + object["metadata"].value("name", ""));
    }
  }
  for (const Json& pod : api_.All("pods", kNs)) {
    lines.insert("pod of " + OrdinalOf(pod) + " " +
                 At(pod, "/status/phase", "").get<std::string>());
  }
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace muster::crash
