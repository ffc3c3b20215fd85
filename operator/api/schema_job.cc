// The rows of the schema that say who trains and what happens when something breaks.
#include "operator/api/schema_rows.h"

namespace muster::api {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::int64_t kMaxReplicas = 10'000;
constexpr std::int64_t kTenYearsSeconds = 315'360'000;
constexpr base::Duration kMonth = hours(720);

void AddFailurePolicyRows(std::vector<Field>& rows) {
  rows.push_back(Row("spec.failurePolicy", FieldType::kGroup, "When losses end the job.").Take());
  rows.push_back(Row("spec.failurePolicy.maxReplacements", FieldType::kInteger,
                     "More charged losses than this within the window fail the job. Lost nodes, "
                     "preemptions and evictions are never charged. From 200 on, which is as many "
                     "as status.failures remembers, there is no limit.")
                     .At(MUSTER_FIELD(spec.failure_policy.max_replacements))
                     .Between(0, 1'000'000)
                     .Take());
  rows.push_back(
      Row("spec.failurePolicy.window", FieldType::kDuration, "How far back losses are counted.")
          .At(MUSTER_FIELD(spec.failure_policy.window))
          .Between(seconds(1), kMonth)
          .Take());
  rows.push_back(Row("spec.failurePolicy.rules", FieldType::kRules,
                     "What to do about a loss; the first rule whose given parts all match decides.")
                     .Between(0, 20)
                     .Take());
  rows.push_back(Row("spec.failurePolicy.rules[].action", FieldType::kEnum,
                     "Replace: start another. FailJob: end the job. Ignore: replace it and charge "
                     "nothing.")
                     .OneOf({"Replace", "FailJob", "Ignore"})
                     .Required()
                     .Take());
  rows.push_back(Row("spec.failurePolicy.rules[].exitCodes", FieldType::kIntegers,
                     "Matches these exit codes of the worker; a signal is 128 and its number, so "
                     "137 is SIGKILL. Empty: any.")
                     .Between(0, 255)
                     .Take());
  rows.push_back(Row("spec.failurePolicy.rules[].podCondition", FieldType::kText,
                     "Matches a pod with this condition, such as DisruptionTarget. Empty: any.")
                     .Between(0, 316)
                     .Take());
}

void AddJobRows(std::vector<Field>& rows) {
  rows.push_back(Row("spec.suspend", FieldType::kBoolean,
                     "true: commit the state, then stop all workers until it is false again.")
                     .At(MUSTER_FIELD(spec.suspend))
                     .Take());
  rows.push_back(Row("spec.managedBy", FieldType::kText,
                     "Another controller that looks after this job; ours then leaves it alone.")
                     .At(MUSTER_FIELD(spec.managed_by))
                     .Changes(Change::kNever)
                     .Between(0, 63)
                     .ClusterOnly()
                     .Take());
  rows.push_back(Row("spec.activeDeadlineSeconds", FieldType::kInteger,
                     "The job fails so long after its start, not counting the time that it was "
                     "suspended. null: no limit.")
                     .At(MUSTER_FIELD(spec.active_deadline_seconds))
                     .Between(1, kTenYearsSeconds)
                     .Nullable()
                     .Take());
  rows.push_back(Row("spec.ttlSecondsAfterFinished", FieldType::kInteger,
                     "The job object is deleted so long after its end. null: never.")
                     .At(MUSTER_FIELD(spec.ttl_seconds_after_finished))
                     .Between(0, kTenYearsSeconds)
                     .Nullable()
                     .ClusterOnly()
                     .Take());
}

}  // namespace

void AddMetadataRows(std::vector<Field>& rows) {
  rows.push_back(Row("apiVersion", FieldType::kEnum, "Version of this schema.")
                     .OneOf({kApiVersion})
                     .Required()
                     .Take());
  rows.push_back(Row("kind", FieldType::kEnum, "Kind of object.").OneOf({kKind}).Required().Take());
  rows.push_back(Row("metadata", FieldType::kGroup, "Who it is.").Required().Take());
  rows.push_back(Row("metadata.name", FieldType::kText, "Names the job, its Services and labels.")
                     .At(MUSTER_FIELD(name))
                     .Between(1, 40)
                     .Of(TextForm::kJobName)
                     .Changes(Change::kNever)
                     .Required()
                     .Take());
  rows.push_back(Row("metadata.namespace", FieldType::kText, "Namespace on a cluster.")
                     .At(MUSTER_FIELD(ns))
                     .Between(1, 63)
                     .Of(TextForm::kDnsLabel)
                     .Changes(Change::kNever)
                     .ClusterOnly()
                     .Take());
  rows.push_back(Row("metadata.labels", FieldType::kStringMap, "Labels of the object.").Take());
  rows.push_back(
      Row("metadata.annotations", FieldType::kStringMap, "Annotations of the object.").Take());
  for (const char* name : {"uid", "resourceVersion", "generation", "creationTimestamp",
                           "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields",
                           "ownerReferences", "finalizers", "generateName", "selfLink"}) {
    rows.push_back(
        Row(std::string("metadata.") + name, FieldType::kIgnored, "Set by the API server.").Take());
  }
}

void AddWorkersRows(std::vector<Field>& rows) {
  rows.push_back(Row("spec", FieldType::kGroup, "What is wanted.").Required().Take());
  rows.push_back(Row("spec.workers", FieldType::kGroup, "Who trains.").Required().Take());
  rows.push_back(Row("spec.workers.replicas", FieldType::kInteger,
                     "Workers wanted now. May change while it trains.")
                     .At(MUSTER_FIELD(spec.workers.replicas))
                     .Between(1, kMaxReplicas)
                     .Required()
                     .Take());
  rows.push_back(Row("spec.workers.minReplicas", FieldType::kInteger,
                     "It trains while at least so many are members; with fewer they wait.")
                     .At(MUSTER_FIELD(spec.workers.min_replicas))
                     .Between(1, kMaxReplicas)
                     .Take());
  rows.push_back(Row("spec.workers.maxReplicas", FieldType::kInteger, "Bound for replicas.")
                     .At(MUSTER_FIELD(spec.workers.max_replicas))
                     .Between(1, kMaxReplicas)
                     .Default("replicas")
                     .Take());
  rows.push_back(Row("spec.workers.spares", FieldType::kInteger,
                     "Extra workers that wait warm and step in within one epoch.")
                     .At(MUSTER_FIELD(spec.workers.spares))
                     .Between(0, 1000)
                     .Take());
  rows.push_back(Row("spec.workers.processesPerWorker", FieldType::kInteger,
                     "Members of each worker, one per GPU.")
                     .At(MUSTER_FIELD(spec.workers.processes_per_worker))
                     .Between(1, 64)
                     .Changes(Change::kUntilStart)
                     .Take());
  rows.push_back(Row("spec.workers.template", FieldType::kObject,
                     "Pod template of the workers; container `worker`, else the first, is ours.")
                     .At(MUSTER_FIELD(spec.workers.template_json))
                     .Changes(Change::kWhileSuspended)
                     .ClusterOnly()
                     .Take());
}

void AddElasticityRows(std::vector<Field>& rows) {
  rows.push_back(Row("spec.elasticity", FieldType::kGroup, "How losses are noticed.").Take());
  rows.push_back(Row("spec.elasticity.heartbeatTimeout", FieldType::kDuration,
                     "A member silent for so long is evicted; beats come every 200ms.")
                     .At(MUSTER_FIELD(spec.elasticity.heartbeat_timeout))
                     .Between(milliseconds(500), minutes(10))
                     .Take());
  rows.push_back(Row("spec.elasticity.belowMinTimeout", FieldType::kDuration,
                     "With fewer than minReplicas for so long the job commits a checkpoint and "
                     "fails with reason BelowMin. null: it waits.")
                     .At(MUSTER_FIELD(spec.elasticity.below_min_timeout))
                     .Between(seconds(1), kMonth)
                     .Nullable()
                     .Take());
  rows.push_back(Row("spec.elasticity.lostPodGracePeriod", FieldType::kDuration,
                     "How long after its loss a pod that may still run is deleted by force. 0s: at "
                     "once, for it is fenced already; "
                     "raise it for volumes that attach to one node.")
                     .At(MUSTER_FIELD(spec.elasticity.lost_pod_grace_period))
                     .Between(seconds(0), hours(1))
                     .ClusterOnly()
                     .Take());
  rows.push_back(Row("spec.elasticity.avoidNodes", FieldType::kGroup,
                     "Which nodes replacements prefer not to go to.")
                     .Take());
  rows.push_back(Row("spec.elasticity.avoidNodes.failures", FieldType::kInteger,
                     "A node with so many failures within the window is avoided.")
                     .At(MUSTER_FIELD(spec.elasticity.avoid_nodes.failures))
                     .Between(1, 1000)
                     .Take());
  rows.push_back(Row("spec.elasticity.avoidNodes.window", FieldType::kDuration,
                     "How far back a node's failures are counted.")
                     .At(MUSTER_FIELD(spec.elasticity.avoid_nodes.window))
                     .Between(seconds(1), kMonth)
                     .Take());
  AddFailurePolicyRows(rows);
  AddJobRows(rows);
}

}  // namespace muster::api
