#include "tests/crash/pod_process.h"

#include <fstream>

#include "operator/kube/labels.h"
#include "tests/crash/objects.h"

namespace muster::crash {
namespace {

std::string Variable(const Json& pod, const std::string& name) {
  for (const Json& container : pod["spec"]["containers"]) {
    if (container.value("name", "") != kube::kWorkerContainer) continue;
    for (const Json& variable : container.value("env", Json::array())) {
      if (variable["name"] == name) return variable.value("value", "");
    }
  }
  return "";
}

std::string CaConfigMap(const Json& pod) {
  for (const Json& volume : pod["spec"].value("volumes", Json::array())) {
    if (volume.contains("configMap")) return volume["configMap"].value("name", "");
  }
  return "";
}

std::string WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

std::string Kubeconfig(const std::string& folder, const std::string& url) {
  return WriteFile(folder + "/kubeconfig",
                   "apiVersion: v1\nkind: Config\ncurrent-context: double\n"
                   "contexts: [{name: double, context: {cluster: double, user: nobody}}]\n"
                   "clusters: [{name: double, cluster: {server: \"" +
                       url + "\"}}]\nusers: [{name: nobody, user: {}}]\n");
}

}  // namespace

std::optional<Workers::Process> PrepareProcess(const Json& pod, kubetest::ApiDouble& api,
                                               const std::string& folder) {
  const std::string ns = pod["metadata"]["namespace"];
  const auto ca = api.Find("configmaps", ns, CaConfigMap(pod));
  if (!ca) return std::nullopt;
  const std::string uid = pod["metadata"]["uid"];
  const std::string token = "token-" + uid;
  kubetest::TokenOwner owner;
  owner.username = "system:serviceaccount:" + ns + ":default";
  owner.audiences = {"muster"};
  owner.extra = {{"authentication.kubernetes.io/pod-name", {pod["metadata"]["name"]}},
                 {"authentication.kubernetes.io/pod-uid", {uid}}};
  api.AddToken(token, owner);
  Workers::Process process;
  process.pod_uid = uid;
  process.job_uid = Variable(pod, "MUSTER_JOB_UID");
  process.member = base::ParseMemberId(Variable(pod, "MUSTER_MEMBER")).value_or(base::MemberId());
  process.node = pod["spec"]["nodeName"];
  process.coordinator = Variable(pod, "MUSTER_COORDINATOR");
  process.token_file = WriteFile(folder + "/" + token, token);
  process.ca_file = WriteFile(folder + "/ca-" + uid, At(*ca, "/data/ca.crt", ""));
  return process;
}

std::vector<std::string> OperatorCommand(const OperatorPlace& place) {
  const std::string address = place.host + ":7420";
  return {place.muster,           "operator",
          "--kubeconfig",         Kubeconfig(place.folder, place.url),
          "--namespace",          "kube-system",
          "--worker-image",       "muster/worker:test",
          "--membership-address", address,
          "--advertise",          address,
          "--metrics-address",    place.host + ":0"};
}

}  // namespace muster::crash
