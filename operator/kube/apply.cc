#include "operator/kube/apply.h"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "operator/api/schema.h"
#include "operator/api/worker_gpus.h"
#include "operator/kube/json.h"
#include "operator/kube/labels.h"

namespace muster::kube {
namespace {

constexpr char kTokenVolume[] = "muster-token";
constexpr char kCaVolume[] = "muster-ca";
constexpr char kScratchVolume[] = "muster-tmp";
constexpr char kScratchFolder[] = "/tmp";
constexpr char kSharedMemoryVolume[] = "muster-shm";
constexpr char kSharedMemoryFolder[] = "/dev/shm";

absl::Status NotA(const std::string& where, std::string_view allowed) {
  return base::InvalidArgument("spec.workers.template." + where + " is not " +
                               std::string(allowed));
}

// The child object or list at `key`, made if it is not there (or null).
absl::StatusOr<Json*> Child(Json& parent, const char* key, const std::string& where, bool list) {
  Json& child = parent[key];
  if (child.is_null()) child = list ? Json::array() : Json::object();
  if (list ? !child.is_array() : !child.is_object()) {
    return NotA(where, list ? "a list" : "an object");
  }
  return &child;
}

void FillUnset(Json& parent, const char* key, Json value) {
  if (!parent.contains(key) || parent[key].is_null()) parent[key] = std::move(value);
}

// Replaces the entry of that name: what is ours is not the template's to say.
void PutNamed(Json& list, Json entry) {
  for (Json& existing : list) {
    if (TextAt(existing, {"name"}) == TextAt(entry, {"name"})) {
      existing = std::move(entry);
      return;
    }
  }
  list.push_back(std::move(entry));
}

absl::StatusOr<Json*> WorkerContainer(Json& spec) {
  MUSTER_ASSIGN_OR_RETURN(Json * containers, Child(spec, "containers", "spec.containers", true));
  if (containers->empty()) containers->push_back({{"name", kWorkerContainer}});
  Json* chosen = &containers->front();
  for (Json& container : *containers) {
    if (!container.is_object()) return NotA("spec.containers[]", "an object");
    if (TextAt(container, {"name"}) == kWorkerContainer) chosen = &container;
  }
  FillUnset(*chosen, "name", kWorkerContainer);
  return chosen;
}

Json FieldRef(const char* path) { return {{"fieldRef", {{"fieldPath", path}}}}; }

absl::Status AddEnvironment(const api::TrainingJob& job, const job::CreatePod& create,
                            const WorkerPodSettings& settings, Json& worker) {
  MUSTER_ASSIGN_OR_RETURN(Json * env, Child(worker, "env", "spec.containers[].env", true));
  std::string coordinators;
  for (const std::string& address : settings.coordinators) {
    coordinators += (coordinators.empty() ? "" : ",") + address;
  }
  const auto put = [&](const char* name, const std::string& value) {
    PutNamed(*env, {{"name", name}, {"value", value}});
  };
  put("MUSTER_JOB_UID", job.uid);
  put("MUSTER_JOB_NAME", job.name);
  put("MUSTER_MEMBER", base::ToString(create.member));
  put("MUSTER_COORDINATOR", coordinators);
  put("MUSTER_TOKEN_FILE", std::string(kTokenFolder) + "/token");
  if (!settings.ca_config_map.empty()) put("MUSTER_CA_FILE", std::string(kCaFolder) + "/ca.crt");
  PutNamed(*env, {{"name", "MUSTER_NODE"}, {"valueFrom", FieldRef("spec.nodeName")}});
  PutNamed(*env, {{"name", "MUSTER_BIND"}, {"valueFrom", FieldRef("status.podIP")}});
  put("MUSTER_METRICS_PORT", std::to_string(settings.metrics_port));
  const std::int32_t processes = job.spec.workers.processes_per_worker;
  if (processes > 1) put("MUSTER_PROCESSES", std::to_string(processes));
  const auto put_unset = [&](Json entry) {
    const auto same = [&](const Json& e) { return TextAt(e, {"name"}) == TextAt(entry, {"name"}); };
    if (std::none_of(env->begin(), env->end(), same)) env->push_back(std::move(entry));
  };
  put_unset({{"name", "MUSTER_LOG_FORMAT"}, {"value", settings.log_format}});
  // As many threads as it may use; without a limit one, because the node's number says nothing
  // about who else is there.
  if (!At(worker, {"resources", "limits", "cpu"}).is_null()) {
    put_unset({{"name", "MUSTER_THREADS"},
               {"valueFrom", {{"resourceFieldRef", {{"resource", "limits.cpu"}}}}}});
  }
  return absl::OkStatus();
}

bool IsMountedAt(const Json& mounts, std::string_view folder) {
  return std::any_of(mounts.begin(), mounts.end(), [&](const Json& mount) {
    std::string path = TextAt(mount, {"mountPath"});
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return path == folder;
  });
}

// NCCL keeps what processes of one host share in /dev/shm, and container runtimes give it 64 MiB.
// Without a size of its own: what is written there counts as the container's memory, so the memory
// limit bounds it already, and a second number that is too small would end the worker by SIGBUS.
void AddSharedMemory(Json& volumes, Json& mounts) {
  if (IsMountedAt(mounts, kSharedMemoryFolder)) return;
  PutNamed(volumes, {{"name", kSharedMemoryVolume}, {"emptyDir", {{"medium", "Memory"}}}});
  PutNamed(mounts, {{"name", kSharedMemoryVolume}, {"mountPath", kSharedMemoryFolder}});
}

absl::Status AddVolumes(const WorkerPodSettings& settings, bool with_gpus, Json& spec,
                        Json& worker) {
  MUSTER_ASSIGN_OR_RETURN(Json * volumes, Child(spec, "volumes", "spec.volumes", true));
  MUSTER_ASSIGN_OR_RETURN(Json * mounts,
                          Child(worker, "volumeMounts", "spec.containers[].volumeMounts", true));
  const Json token = {{"serviceAccountToken",
                       {{"audience", settings.token_audience},
                        {"expirationSeconds", settings.token_seconds},
                        {"path", "token"}}}};
  PutNamed(*volumes, {{"name", kTokenVolume}, {"projected", {{"sources", Json::array({token})}}}});
  PutNamed(*mounts, {{"name", kTokenVolume}, {"mountPath", kTokenFolder}, {"readOnly", true}});
  if (!settings.ca_config_map.empty()) {
    PutNamed(*volumes, {{"name", kCaVolume}, {"configMap", {{"name", settings.ca_config_map}}}});
    PutNamed(*mounts, {{"name", kCaVolume}, {"mountPath", kCaFolder}, {"readOnly", true}});
  }
  // The root is read-only, and libraries want a place for their scratch.
  if (!IsMountedAt(*mounts, kScratchFolder)) {
    PutNamed(*volumes, {{"name", kScratchVolume}, {"emptyDir", Json::object()}});
    PutNamed(*mounts, {{"name", kScratchVolume}, {"mountPath", kScratchFolder}});
  }
  if (with_gpus) AddSharedMemory(*volumes, *mounts);
  return absl::OkStatus();
}

// What the `restricted` level asks for, where the template says nothing.
absl::Status Restrict(Json& spec) {
  MUSTER_ASSIGN_OR_RETURN(Json * pod,
                          Child(spec, "securityContext", "spec.securityContext", false));
  FillUnset(*pod, "seccompProfile", {{"type", "RuntimeDefault"}});
  const auto is_root = [](const Json& context) {
    return IntegerAt(context, {"runAsUser"}, -1) == 0;
  };
  // Who asks for root in so many words gets no contradiction from us, but the server's answer.
  if (!is_root(*pod)) FillUnset(*pod, "runAsNonRoot", true);
  for (const char* kind : {"initContainers", "containers"}) {
    if (!spec.contains(kind)) continue;
    if (!spec[kind].is_array()) return NotA(std::string("spec.") + kind, "a list");
    for (Json& container : spec[kind]) {
      const std::string where = std::string("spec.") + kind + "[]";
      if (!container.is_object()) return NotA(where, "an object");
      MUSTER_ASSIGN_OR_RETURN(
          Json * own, Child(container, "securityContext", where + ".securityContext", false));
      if (!BoolAt(*own, {"privileged"})) FillUnset(*own, "allowPrivilegeEscalation", false);
      MUSTER_ASSIGN_OR_RETURN(
          Json * capabilities,
          Child(*own, "capabilities", where + ".securityContext.capabilities", false));
      FillUnset(*capabilities, "drop", Json::array({"ALL"}));
      if (is_root(*own)) FillUnset(*own, "runAsNonRoot", false);
    }
  }
  return absl::OkStatus();
}

absl::Status AddProbe(const WorkerPodSettings& settings, std::int32_t processes, Json& worker) {
  MUSTER_ASSIGN_OR_RETURN(Json * ports, Child(worker, "ports", "spec.containers[].ports", true));
  for (std::int32_t process = 0; process < processes; ++process) {
    PutNamed(*ports, {{"name", MetricsPortName(process)},
                      {"containerPort", settings.metrics_port + process},
                      {"protocol", "TCP"}});
  }
  FillUnset(worker, "readinessProbe",
            {{"httpGet", {{"path", "/readyz"}, {"port", MetricsPortName(0)}}},
             {"periodSeconds", 1},
             {"timeoutSeconds", 1},
             {"failureThreshold", 3}});
  // What it said last is in the pod's status when it has failed, and so in the job's.
  FillUnset(worker, "terminationMessagePolicy", "FallbackToLogsOnError");
  return absl::OkStatus();
}

// A weight on every other node: where nothing else is free, a suspect one is better than none.
absl::Status AvoidNodes(const std::vector<std::string>& nodes, Json& spec) {
  if (nodes.empty()) return absl::OkStatus();
  MUSTER_ASSIGN_OR_RETURN(Json * affinity, Child(spec, "affinity", "spec.affinity", false));
  MUSTER_ASSIGN_OR_RETURN(Json * node,
                          Child(*affinity, "nodeAffinity", "spec.affinity.nodeAffinity", false));
  constexpr char kPreferred[] = "preferredDuringSchedulingIgnoredDuringExecution";
  MUSTER_ASSIGN_OR_RETURN(
      Json * preferred,
      Child(*node, kPreferred, std::string("spec.affinity.nodeAffinity.") + kPreferred, true));
  const Json expression = {{"key", kHostnameLabel}, {"operator", "NotIn"}, {"values", nodes}};
  preferred->push_back(
      {{"weight", 100}, {"preference", {{"matchExpressions", Json::array({expression})}}}});
  return absl::OkStatus();
}

// NCCL takes pods of one node for different hosts, so the GPUs of a node belong into one pod.
absl::Status OnePodANode(const api::TrainingJob& job, Json& spec) {
  MUSTER_ASSIGN_OR_RETURN(Json * affinity, Child(spec, "affinity", "spec.affinity", false));
  MUSTER_ASSIGN_OR_RETURN(
      Json * pod, Child(*affinity, "podAntiAffinity", "spec.affinity.podAntiAffinity", false));
  constexpr char kRequired[] = "requiredDuringSchedulingIgnoredDuringExecution";
  MUSTER_ASSIGN_OR_RETURN(
      Json * required,
      Child(*pod, kRequired, std::string("spec.affinity.podAntiAffinity.") + kRequired, true));
  const Json same_job = {
      {"matchLabels", {{kComponentLabel, kWorkerComponent}, {kJobUidLabel, job.uid}}}};
  required->push_back({{"labelSelector", same_job}, {"topologyKey", kHostnameLabel}});
  return absl::OkStatus();
}

absl::StatusOr<Json> Metadata(const api::TrainingJob& job, const job::CreatePod& create,
                              Json metadata) {
  if (metadata.is_null()) metadata = Json::object();
  if (!metadata.is_object()) return NotA("metadata", "an object");
  // Names, owners and finalizers of a template would make pods that nobody can find or delete.
  Json out = Json::object();
  MUSTER_ASSIGN_OR_RETURN(Json * annotations,
                          Child(metadata, "annotations", "metadata.annotations", false));
  const Json own_annotations = std::move(*annotations);
  MUSTER_ASSIGN_OR_RETURN(Json * labels, Child(metadata, "labels", "metadata.labels", false));
  (*labels)[kManagedByLabel] = kManagedBy;
  (*labels)[kComponentLabel] = kWorkerComponent;
  (*labels)[kJobNameLabel] = job.name;
  (*labels)[kJobUidLabel] = job.uid;
  (*labels)[kMemberLabel] = base::ToString(create.member);
  const std::int32_t processes = job.spec.workers.processes_per_worker;
  if (processes > 1) (*labels)[kProcessesLabel] = std::to_string(processes);
  out["name"] = create.name;
  out["namespace"] = job.ns;
  out["labels"] = std::move(*labels);
  if (!own_annotations.empty()) out["annotations"] = own_annotations;
  const Json owner = {{"apiVersion", api::kApiVersion},
                      {"kind", api::kKind},
                      {"name", job.name},
                      {"uid", job.uid},
                      {"controller", true},
                      {"blockOwnerDeletion", true}};
  out["ownerReferences"] = Json::array({owner});
  return out;
}

}  // namespace

std::string WorkerImage(const api::TrainingJob& job, const std::string& of_operator) {
  Json pod_template = Json::parse(job.spec.workers.template_json, nullptr, false);
  if (pod_template.is_object() && pod_template["spec"].is_object()) {
    const auto worker = WorkerContainer(pod_template["spec"]);
    const std::string named = worker.ok() ? TextAt(**worker, {"image"}) : "";
    if (!named.empty()) return named;
  }
  return job.status.worker_image.empty() ? of_operator : job.status.worker_image;
}

absl::StatusOr<std::string> MakePodBody(const api::TrainingJob& job, const job::CreatePod& create,
                                        const WorkerPodSettings& settings) {
  Json pod_template = Json::parse(job.spec.workers.template_json, nullptr, false);
  if (!pod_template.is_object()) {
    return base::InvalidArgument("spec.workers.template is not an object");
  }
  MUSTER_ASSIGN_OR_RETURN(Json metadata, Metadata(job, create, pod_template["metadata"]));
  MUSTER_ASSIGN_OR_RETURN(Json * spec, Child(pod_template, "spec", "spec", false));
  MUSTER_ASSIGN_OR_RETURN(Json * worker, WorkerContainer(*spec));
  FillUnset(*worker, "image", settings.image);
  MUSTER_RETURN_IF_ERROR(AddEnvironment(job, create, settings, *worker));
  // A number that cannot be read is the plan's to refuse, and the API server's.
  const bool with_gpus = api::WorkerGpus(job.spec.workers).value_or(0) > 0;
  MUSTER_RETURN_IF_ERROR(AddVolumes(settings, with_gpus, *spec, *worker));
  const std::int32_t processes = job.spec.workers.processes_per_worker;
  MUSTER_RETURN_IF_ERROR(AddProbe(settings, processes, *worker));
  MUSTER_RETURN_IF_ERROR(Restrict(*spec));
  FillUnset((*worker)["securityContext"], "readOnlyRootFilesystem", true);
  MUSTER_RETURN_IF_ERROR(AvoidNodes(settings.avoid_nodes, *spec));
  if (processes > 1) MUSTER_RETURN_IF_ERROR(OnePodANode(job, *spec));
  (*spec)["restartPolicy"] = "Never";
  (*spec)["automountServiceAccountToken"] = false;
  FillUnset(*spec, "enableServiceLinks", false);
  return Dump({{"apiVersion", "v1"},
               {"kind", "Pod"},
               {"metadata", std::move(metadata)},
               {"spec", std::move(*spec)}});
}

}  // namespace muster::kube
