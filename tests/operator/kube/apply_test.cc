// The pod of a worker: a minimal template whole, and each rule about who has the last word.
#include "operator/kube/apply.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "tests/operator/kube/json_rows.h"

namespace muster::kube {
namespace {

WorkerPodSettings Settings() {
  WorkerPodSettings settings;
  settings.image = "muster-worker:1";
  settings.coordinators = {"a.ns.svc:7000", "b.ns.svc:7000"};
  settings.ca_config_map = "j-ca";
  return settings;
}

absl::StatusOr<std::string> Body(std::string pod_template,
                                 const WorkerPodSettings& settings = Settings(),
                                 std::int32_t processes = 1) {
  std::replace(pod_template.begin(), pod_template.end(), '\'', '"');
  api::TrainingJob job;
  job.name = "j";
  job.ns = "ns";
  job.uid = "ju";
  job.spec.workers.template_json = pod_template;
  job.spec.workers.processes_per_worker = processes;
  return MakePodBody(job, {"j-3-abc", {3, 2}, "ScaleUp", ""}, settings);
}

Json Made(const std::string& pod_template, const WorkerPodSettings& settings = Settings(),
          std::int32_t processes = 1) {
  const auto body = Body(pod_template, settings, processes);
  EXPECT_TRUE(body.ok()) << base::Message(body.status());
  return body.ok() ? Json::parse(*body) : Json();
}

const Json& Worker(const Json& pod) { return pod["spec"]["containers"][0]; }

const Json& Named(const Json& list, const std::string& name) {
  for (const Json& item : list) {
    if (item["name"] == name) return item;
  }
  static const Json kNothing;
  return kNothing;
}

TEST(MakePodBodyTest, AnEmptyTemplateBecomesThis) {
  const Json expected = Object(R"({
    'apiVersion':'v1','kind':'Pod',
    'metadata':{'name':'j-3-abc','namespace':'ns',
      'labels':{'app.kubernetes.io/managed-by':'muster','app.kubernetes.io/component':'worker',
        'muster.dev/job-name':'j','muster.dev/job-uid':'ju','muster.dev/member':'3.2'},
      'ownerReferences':[{'apiVersion':'muster.dev/v1alpha1','kind':'TrainingJob','name':'j',
        'uid':'ju','controller':true,'blockOwnerDeletion':true}]},
    'spec':{
      'containers':[{'name':'worker','image':'muster-worker:1',
        'env':[{'name':'MUSTER_JOB_UID','value':'ju'},{'name':'MUSTER_JOB_NAME','value':'j'},
          {'name':'MUSTER_MEMBER','value':'3.2'},
          {'name':'MUSTER_COORDINATOR','value':'a.ns.svc:7000,b.ns.svc:7000'},
          {'name':'MUSTER_TOKEN_FILE','value':'/var/run/secrets/muster.dev/token'},
          {'name':'MUSTER_CA_FILE','value':'/var/run/muster.dev/ca/ca.crt'},
          {'name':'MUSTER_NODE','valueFrom':{'fieldRef':{'fieldPath':'spec.nodeName'}}},
          {'name':'MUSTER_BIND','valueFrom':{'fieldRef':{'fieldPath':'status.podIP'}}},
          {'name':'MUSTER_METRICS_PORT','value':'9464'},
          {'name':'MUSTER_LOG_FORMAT','value':'json'}],
        'volumeMounts':[
          {'name':'muster-token','mountPath':'/var/run/secrets/muster.dev','readOnly':true},
          {'name':'muster-ca','mountPath':'/var/run/muster.dev/ca','readOnly':true},
          {'name':'muster-tmp','mountPath':'/tmp'}],
        'ports':[{'name':'metrics','containerPort':9464,'protocol':'TCP'}],
        'readinessProbe':{'httpGet':{'path':'/readyz','port':'metrics'},'periodSeconds':1,
          'timeoutSeconds':1,'failureThreshold':3},
        'terminationMessagePolicy':'FallbackToLogsOnError',
        'securityContext':{'capabilities':{'drop':['ALL']},'allowPrivilegeEscalation':false,
          'readOnlyRootFilesystem':true}}],
      'volumes':[
        {'name':'muster-token','projected':{'sources':[{'serviceAccountToken':
          {'audience':'muster','expirationSeconds':3600,'path':'token'}}]}},
        {'name':'muster-ca','configMap':{'name':'j-ca'}},
        {'name':'muster-tmp','emptyDir':{}}],
      'securityContext':{'seccompProfile':{'type':'RuntimeDefault'},'runAsNonRoot':true},
      'restartPolicy':'Never','automountServiceAccountToken':false,'enableServiceLinks':false}})");
  EXPECT_EQ(Made("{}"), expected) << Made("{}").dump(1);
}

TEST(MakePodBodyTest, TheSameJobGivesTheSameBytes) {
  EXPECT_EQ(*Body("{'spec':{'hostNetwork':true}}"), *Body("{'spec':{'hostNetwork':true}}"));
}

TEST(MakePodBodyTest, TheTemplatesOwnFieldsStay) {
  const Json pod = Made(
      "{'metadata':{'labels':{'team':'x'},'annotations':{'note':'y'}},'spec':{"
      "'serviceAccountName':'trainer','tolerations':[{'operator':'Exists'}],'priorityClassName':'p'"
      ","
      "'enableServiceLinks':true,'terminationGracePeriodSeconds':90,"
      "'volumes':[{'name':'data','hostPath':{'path':'/d'}}],'containers':[{'name':'worker',"
      "'image':'mine:2','resources':{'limits':{'memory':'1Gi'}},'env':[{'name':'HOME','value':'/"
      "h'},"
      "{'name':'MUSTER_LOG_FORMAT','value':'text'}],'readinessProbe':{'exec':{'command':['true']}},"
      "'volumeMounts':[{'name':'data','mountPath':'/data'}]}]}}");
  EXPECT_EQ(pod["metadata"]["labels"]["team"], "x");
  EXPECT_EQ(pod["metadata"]["annotations"]["note"], "y");
  EXPECT_EQ(pod["spec"]["serviceAccountName"], "trainer");
  EXPECT_EQ(pod["spec"]["tolerations"][0]["operator"], "Exists");
  EXPECT_EQ(pod["spec"]["enableServiceLinks"], true);
  EXPECT_EQ(pod["spec"]["terminationGracePeriodSeconds"], 90);
  EXPECT_EQ(Worker(pod)["image"], "mine:2");
  EXPECT_EQ(Worker(pod)["resources"]["limits"]["memory"], "1Gi");
  EXPECT_EQ(Named(Worker(pod)["env"], "HOME")["value"], "/h");
  EXPECT_EQ(Named(Worker(pod)["env"], "MUSTER_LOG_FORMAT")["value"], "text");
  EXPECT_EQ(Worker(pod)["readinessProbe"], Object("{'exec':{'command':['true']}}"));
  EXPECT_EQ(Named(pod["spec"]["volumes"], "data")["hostPath"]["path"], "/d");
  EXPECT_EQ(Worker(pod)["volumeMounts"].size(), 4u);
}

TEST(MakePodBodyTest, WhatIsOursIsNotTheTemplatesToSay) {
  const Json pod = Made(
      "{'metadata':{'name':'evil','namespace':'other','generateName':'g','finalizers':['f'],"
      "'ownerReferences':[{'uid':'z'}],'labels':{'muster.dev/member':'9.9','muster.dev/"
      "job-uid':'z',"
      "'app.kubernetes.io/managed-by':'z'}},'spec':{'restartPolicy':'Always',"
      "'automountServiceAccountToken':true,'volumes':[{'name':'muster-token','emptyDir':{}}],"
      "'containers':[{'name':'worker','env':[{'name':'MUSTER_MEMBER','value':'9.9'},"
      "{'name':'MUSTER_BIND','value':'0.0.0.0'}],'ports':[{'name':'metrics','containerPort':1}]}]}"
      "}");
  EXPECT_EQ(pod["metadata"]["name"], "j-3-abc");
  EXPECT_EQ(pod["metadata"]["namespace"], "ns");
  EXPECT_FALSE(pod["metadata"].contains("generateName"));
  EXPECT_FALSE(pod["metadata"].contains("finalizers"));
  EXPECT_EQ(pod["metadata"]["ownerReferences"].size(), 1u);
  EXPECT_EQ(pod["metadata"]["ownerReferences"][0]["uid"], "ju");
  EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/member"], "3.2");
  EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/job-uid"], "ju");
  EXPECT_EQ(pod["metadata"]["labels"]["app.kubernetes.io/managed-by"], "muster");
  EXPECT_EQ(pod["spec"]["restartPolicy"], "Never");
  EXPECT_EQ(pod["spec"]["automountServiceAccountToken"], false);
  EXPECT_TRUE(Named(pod["spec"]["volumes"], "muster-token").contains("projected"));
  EXPECT_EQ(Named(Worker(pod)["env"], "MUSTER_MEMBER")["value"], "3.2");
  EXPECT_FALSE(Named(Worker(pod)["env"], "MUSTER_BIND").contains("value"));
  EXPECT_EQ(Worker(pod)["env"].size(), 10u);
  EXPECT_EQ(Worker(pod)["ports"].size(), 1u);
  EXPECT_EQ(Worker(pod)["ports"][0]["containerPort"], 9464);
}

TEST(MakePodBodyTest, TheContainerOfOurNameIsOursElseTheFirst) {
  const Json named = Made("{'spec':{'containers':[{'name':'log','image':'l'},{'name':'worker'}]}}");
  EXPECT_EQ(named["spec"]["containers"][1]["image"], "muster-worker:1");
  EXPECT_FALSE(named["spec"]["containers"][0].contains("env"));
  const Json first = Made("{'spec':{'containers':[{'name':'main'},{'name':'log','image':'l'}]}}");
  EXPECT_EQ(first["spec"]["containers"][0]["name"], "main");
  EXPECT_EQ(first["spec"]["containers"][0]["image"], "muster-worker:1");
  EXPECT_FALSE(first["spec"]["containers"][1].contains("env"));
}

TEST(WorkerImageTest, TheTemplatesOwnThenTheJobsThenTheOperators) {
  api::TrainingJob job;
  EXPECT_EQ(WorkerImage(job, "operator:1"), "operator:1");
  job.status.worker_image = "started:1";
  EXPECT_EQ(WorkerImage(job, "operator:1"), "started:1");
  job.spec.workers.template_json =
      R"({"spec":{"containers":[{"name":"log","image":"l"},{"name":"worker","image":"mine:2"}]}})";
  EXPECT_EQ(WorkerImage(job, "operator:1"), "mine:2");
  for (const char* broken : {"[]", R"({"spec":7})", R"({"spec":{"containers":[3]}})"}) {
    job.spec.workers.template_json = broken;
    EXPECT_EQ(WorkerImage(job, "operator:1"), "started:1") << broken;
  }
}

TEST(MakePodBodyTest, EveryContainerIsMadeRestrictedWhereItSaysNothing) {
  const Json pod = Made(
      "{'spec':{'securityContext':{'seccompProfile':{'type':'Localhost'},'fsGroup':7},"
      "'initContainers':[{'name':'fetch'}],'containers':[{'name':'worker','securityContext':"
      "{'readOnlyRootFilesystem':false,'capabilities':{'add':['IPC_LOCK'],'drop':[]}}},"
      "{'name':'log','securityContext':{'allowPrivilegeEscalation':true}}]}}");
  const Json& spec = pod["spec"];
  EXPECT_EQ(spec["securityContext"],
            Object("{'seccompProfile':{'type':'Localhost'},'fsGroup':7,'runAsNonRoot':true}"));
  EXPECT_EQ(spec["initContainers"][0]["securityContext"]["capabilities"]["drop"][0], "ALL");
  EXPECT_EQ(spec["initContainers"][0]["securityContext"]["allowPrivilegeEscalation"], false);
  EXPECT_FALSE(spec["initContainers"][0]["securityContext"].contains("readOnlyRootFilesystem"));
  EXPECT_EQ(Worker(pod)["securityContext"]["readOnlyRootFilesystem"], false);
  EXPECT_EQ(Worker(pod)["securityContext"]["capabilities"],
            Object("{'add':['IPC_LOCK'],'drop':[]}"));
  EXPECT_EQ(spec["containers"][1]["securityContext"]["allowPrivilegeEscalation"], true);
}

TEST(MakePodBodyTest, WhoAsksForRootOrPrivilegeIsNotContradicted) {
  const Json pod = Made("{'spec':{'securityContext':{'runAsUser':0}}}");
  EXPECT_FALSE(pod["spec"]["securityContext"].contains("runAsNonRoot"));
  const Json one = Made(
      "{'spec':{'containers':[{'name':'worker','securityContext':{'runAsUser':0,'privileged':true}}"
      "]}}");
  EXPECT_EQ(Worker(one)["securityContext"]["runAsNonRoot"], false);
  EXPECT_FALSE(Worker(one)["securityContext"].contains("allowPrivilegeEscalation"));
  EXPECT_EQ(Made("{'spec':{'securityContext':{'runAsUser':1000}}}")["spec"]["securityContext"]
                                                                   ["runAsNonRoot"],
            true);
}

TEST(MakePodBodyTest, ThreadsFollowTheLimit) {
  const Json pod =
      Made("{'spec':{'containers':[{'name':'worker','resources':{'limits':{'cpu':'3'}}}]}}");
  EXPECT_EQ(Named(Worker(pod)["env"], "MUSTER_THREADS"),
            Object("{'name':'MUSTER_THREADS','valueFrom':{'resourceFieldRef':"
                   "{'resource':'limits.cpu'}}}"));
  const Json own = Made(
      "{'spec':{'containers':[{'name':'worker','resources':{'limits':{'cpu':'3'}},"
      "'env':[{'name':'MUSTER_THREADS','value':'1'}]}]}}");
  EXPECT_EQ(Named(Worker(own)["env"], "MUSTER_THREADS")["value"], "1");
}

TEST(MakePodBodyTest, SuspectNodesAreAvoidedBesideTheTemplatesOwnWishes) {
  WorkerPodSettings settings = Settings();
  settings.avoid_nodes = {"n1", "n2"};
  const std::string preferred = "preferredDuringSchedulingIgnoredDuringExecution";
  const Json pod = Made("{'spec':{'affinity':{'podAffinity':{},'nodeAffinity':{'" + preferred +
                            "':[{'weight':1,'preference':{}}]}}}}",
                        settings);
  const Json& list = pod["spec"]["affinity"]["nodeAffinity"][preferred];
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1],
            Object("{'weight':100,'preference':{'matchExpressions':[{'key':"
                   "'kubernetes.io/hostname','operator':'NotIn','values':['n1','n2']}]}}"));
  EXPECT_TRUE(pod["spec"]["affinity"].contains("podAffinity"));
  EXPECT_FALSE(Made("{}")["spec"].contains("affinity"));
}

TEST(MakePodBodyTest, ScratchAndCaAreLeftOutWhereTheyAreNotWanted) {
  WorkerPodSettings settings = Settings();
  settings.ca_config_map.clear();
  const Json pod = Made(
      "{'spec':{'volumes':[{'name':'mine','emptyDir':{}}],'containers':[{'name':'worker',"
      "'volumeMounts':[{'name':'mine','mountPath':'/tmp'}]}]}}",
      settings);
  EXPECT_TRUE(Named(pod["spec"]["volumes"], "muster-tmp").is_null());
  EXPECT_TRUE(Named(pod["spec"]["volumes"], "muster-ca").is_null());
  EXPECT_TRUE(Named(Worker(pod)["env"], "MUSTER_CA_FILE").is_null());
}

TEST(MakePodBodyTest, AWorkerWithGpusGetsSharedMemoryUnlessTheTemplateMountsIt) {
  const std::string asking = "'resources':{'limits':{'nvidia.com/gpu':'1'}}";
  const Json pod = Made("{'spec':{'containers':[{'name':'worker'," + asking + "}]}}");
  EXPECT_EQ(Named(pod["spec"]["volumes"], "muster-shm"),
            Object("{'name':'muster-shm','emptyDir':{'medium':'Memory'}}"));
  EXPECT_EQ(Named(Worker(pod)["volumeMounts"], "muster-shm"),
            Object("{'name':'muster-shm','mountPath':'/dev/shm'}"));
  EXPECT_EQ(Worker(pod)["resources"]["limits"]["nvidia.com/gpu"], "1");
  for (const char* path : {"/dev/shm", "/dev/shm/"}) {
    const Json own = Made(
        "{'spec':{'volumes':[{'name':'mine','emptyDir':{}}],'containers':[{'name':"
        "'worker','volumeMounts':[{'name':'mine','mountPath':'" +
        std::string(path) + "'}]," + asking + "}]}}");
    EXPECT_TRUE(Named(own["spec"]["volumes"], "muster-shm").is_null()) << path;
    EXPECT_TRUE(Named(Worker(own)["volumeMounts"], "muster-shm").is_null()) << path;
  }
  // Another container's GPU is not the worker's.
  const Json beside =
      Made("{'spec':{'containers':[{'name':'log'," + asking + "},{'name':'worker'}]}}");
  EXPECT_TRUE(Named(beside["spec"]["volumes"], "muster-shm").is_null());
}

TEST(MakePodBodyTest, SeveralProcessesHaveANodeForThemselvesAndAPortEach) {
  const Json pod = Made(
      "{'spec':{'affinity':{'podAntiAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':"
      "[{'topologyKey':'mine'}]}}}}",
      Settings(), 2);
  const Json& required =
      pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
  ASSERT_EQ(required.size(), 2u);
  EXPECT_EQ(required[0], Object("{'topologyKey':'mine'}"));
  EXPECT_EQ(required[1],
            Object("{'labelSelector':{'matchLabels':{'app.kubernetes.io/component':'worker',"
                   "'muster.dev/job-uid':'ju'}},'topologyKey':'kubernetes.io/hostname'}"));
  EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/processes"], "2");
  EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/member"], "3.2");
  EXPECT_EQ(Named(Worker(pod)["env"], "MUSTER_PROCESSES")["value"], "2");
  EXPECT_EQ(Worker(pod)["ports"],
            Object("[{'name':'metrics','containerPort':9464,'protocol':'TCP'},"
                   "{'name':'metrics-1','containerPort':9465,'protocol':'TCP'}]"));
  EXPECT_EQ(Worker(pod)["readinessProbe"]["httpGet"]["port"], "metrics");
}

TEST(MakePodBodyTest, AWrongTemplateIsRefusedByItsField) {
  const struct {
    std::string pod_template;
    std::string named;
  } rows[] = {
      {"[]", "spec.workers.template is not an object"},
      {"{'spec':7}", "spec.workers.template.spec is not an object"},
      {"{'spec':{'containers':{}}}", "template.spec.containers is not a list"},
      {"{'spec':{'containers':['x']}}", "template.spec.containers[] is not an object"},
      {"{'spec':{'containers':[{'env':{}}]}}", "template.spec.containers[].env is not a list"},
      {"{'spec':{'containers':[{'volumeMounts':1}]}}", "containers[].volumeMounts is not a list"},
      {"{'spec':{'containers':[{'ports':1}]}}", "containers[].ports is not a list"},
      {"{'spec':{'volumes':'x'}}", "template.spec.volumes is not a list"},
      {"{'spec':{'securityContext':[]}}", "template.spec.securityContext is not an object"},
      {"{'spec':{'initContainers':{}}}", "template.spec.initContainers is not a list"},
      {"{'spec':{'initContainers':[3]}}", "template.spec.initContainers[] is not an object"},
      {"{'spec':{'containers':[{'securityContext':3}]}}",
       "containers[].securityContext is not an object"},
      {"{'metadata':[]}", "spec.workers.template.metadata is not an object"},
      {"{'metadata':{'labels':[]}}", "template.metadata.labels is not an object"},
      {"{'metadata':{'annotations':1}}", "template.metadata.annotations is not an object"},
  };
  for (const auto& row : rows) {
    const auto body = Body(row.pod_template);
    ASSERT_FALSE(body.ok()) << row.pod_template;
    EXPECT_EQ(body.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(base::Message(body.status()).find(row.named), std::string::npos)
        << row.pod_template << ": " << base::Message(body.status());
  }
}

// Paths of all leaves: "spec.containers[].env[].name". Names of environment variables and labels are
// part of them, because they are what a reader looks for.
void Leaves(const Json& json, const std::string& path, std::set<std::string>& out) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      Leaves(value, path.empty() ? key : path + "." + key, out);
    }
  } else if (json.is_array()) {
    for (const Json& item : json) {
      if (item.is_object() && item.contains("name") && path.ends_with("env")) {
        out.insert(item["name"].get<std::string>());
      } else {
        Leaves(item, path + "[]", out);
      }
    }
  } else {
    out.insert(path);
  }
}

TEST(WorkerPodsPageTest, NamesEveryFieldThatIsAdded) {
  std::ifstream file(std::string(MUSTER_SOURCE_DIR) + "/docs/worker-pods.md");
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  WorkerPodSettings settings = Settings();
  settings.avoid_nodes = {"n1"};
  std::set<std::string> leaves;
  Leaves(Made("{'spec':{'containers':[{'name':'worker','resources':{'limits':{'cpu':'3',"
              "'nvidia.com/gpu':2}}}]}}",
              settings, 2),
         "", leaves);
  for (std::string leaf : leaves) {
    if (leaf.starts_with("spec.containers[].resources.")) continue;  // the template's own
    // A label's name has dots of its own; the page has it without the path.
    const std::string labels = "metadata.labels.";
    if (leaf.starts_with(labels)) leaf = leaf.substr(labels.size());
    EXPECT_NE(page.find("`" + leaf + "`"), std::string::npos) << leaf;
  }
}

}  // namespace
}  // namespace muster::kube
