// The rows in the order in which a status is written.
#include "operator/api/status_schema.h"

#include <utility>

namespace muster::api {
namespace {

using Rows = std::vector<StatusField>;

// Begins the rows of a group: `Inside("status.progress")("step", ...)`.
class Inside {
 public:
  Inside(Rows& rows, std::string path) : rows_(rows), path_(std::move(path) + ".") {}
  StatusField& operator()(const char* name, StatusType type, const char* description) {
    rows_.push_back({path_ + name, type, description, 0, {}, "", false});
    return rows_.back();
  }

 private:
  Rows& rows_;
  const std::string path_;
};

void AddConditions(Rows& rows) {
  Inside status(rows, "status");
  status("observedGeneration", StatusType::kInteger,
         "The metadata.generation of the spec that this status answers.");
  status("conditions", StatusType::kList,
         "Admitted, Running, Degraded, Resizing, Suspended, Succeeded and Failed: what programs "
         "should wait for. Every one is always there.")
      .list_key = "type";
  Inside item(rows, "status.conditions[]");
  item("type", StatusType::kText, "Which condition.").required = true;
  StatusField& is = item("status", StatusType::kText, "Whether it holds.");
  is.names = {"True", "False", "Unknown"};
  is.required = true;
  item("reason", StatusType::kText, "Why, in one word of a closed list (docs/reasons.md).")
      .required = true;
  item("message", StatusType::kText, "Why, in a sentence for people.").required = true;
  item("lastTransitionTime", StatusType::kTime, "When its status last changed.").required = true;
  status("state", StatusType::kText,
         "One word for people and columns; programs read the conditions. Succeeded and Failed are "
         "final.")
      .names = {"Pending",  "Starting",  "Running",   "Degraded",
                "Resizing", "Suspended", "Succeeded", "Failed"};
  status("startTime", StatusType::kTime,
         "When the job was first taken up. From then on what decides its result is fixed.");
  status("workerImage", StatusType::kText,
         "Image of the workers. Unless the template names one, it stays that of the first pods, so "
         "that an upgrade of the operator does not put two builds into one job.");
  status("objectsHash", StatusType::kText,
         "Of the Service, NetworkPolicy, PodDisruptionBudget and ConfigMap of the job as they were "
         "all applied: an operator that takes over leaves alone what has not changed.");
  status("specHash", StatusType::kText,
         "SHA-256 of the fields of spec that the start has fixed: an operator does not go on with "
         "others.");
  status("templateHash", StatusType::kText,
         "SHA-256 of the template that the pods are made from; it may change while the job is "
         "suspended.");
  status("kernelFamily", StatusType::kText,
         "The kind of processor kernels that all members use, chosen at the start: digests are "
         "comparable within it.");
  status("members", StatusType::kText,
         "Members of the view and members wanted, such as 7/8. Processes, not pods.");
  status("replicas", StatusType::kInteger,
         "Pods that there are; what the scale subresource shows.");
  status("selector", StatusType::kText, "Label selector of the pods, for the scale subresource.");
}

void AddCheckpoint(Rows& rows, const std::string& path) {
  Inside at(rows, path);
  at("step", StatusType::kInteger, "Committed steps in it.");
  at("epoch", StatusType::kInteger, "The view that wrote it.");
  at("digest", StatusType::kText, "SHA-256 of its manifest, in hexadecimal.");
  at("time", StatusType::kTime, "When it was committed.");
}

void AddMembership(Rows& rows) {
  Inside(rows, "status")("membership", StatusType::kGroup,
                         "Who trains together. Written by compare-and-swap before anything in it "
                         "is told to a member; do not edit it.");
  Inside at(rows, "status.membership");
  at("protocol", StatusType::kInteger, "Version of this record and of the messages.");
  at("version", StatusType::kInteger, "Grows by one with every write.");
  at("term", StatusType::kInteger, "Number of the coordinator's reign.");
  at("nonce", StatusType::kText, "Tells two writers of one term apart. A text: it has 64 bits.");
  at("epoch", StatusType::kInteger, "Number of the newest view.");
  at("size", StatusType::kInteger, "Its number of members.");
  at("members", StatusType::kText,
     "Its members in rank order, each ordinal.incarnation, such as \"0.1 1.1 3.2\".");
  at("previous", StatusType::kGroup, "The view before it, whose members may still be in use.");
  Inside previous(rows, "status.membership.previous");
  previous("epoch", StatusType::kInteger, "Its number.");
  previous("members", StatusType::kText, "Its members in rank order.");
  at("buildId", StatusType::kText, "Build of the worker program; members of one view share it.");
  at("dataDigest", StatusType::kText, "Digest of the data's file list; members share it.");
  at("device", StatusType::kText,
     "What members compute on and reduce with, of the first that was ready; all share it.");
  at("startWeightsDigest", StatusType::kText,
     "SHA-256 of the weights that program.weights gave; members share it.");
  at("keptCheckpoints", StatusType::kList,
     "Committed checkpoints before the newest that are not deleted, newest first.");
  AddCheckpoint(rows, "status.membership.keptCheckpoints[]");
}

void AddProgress(Rows& rows) {
  Inside status(rows, "status");
  status("progress", StatusType::kGroup, "How far it is; at most every ten seconds.");
  Inside progress(rows, "status.progress");
  progress("step", StatusType::kInteger, "Steps that every member has committed.");
  progress("steps", StatusType::kInteger, "Steps in all.");
  progress("loss", StatusType::kText, "Mean loss of the last committed step, nats a token.");
  progress("heldOutLoss", StatusType::kText, "Loss on held-out data when it was last computed.");
  progress("tokensPerSecond", StatusType::kNumber, "Tokens of committed steps, lately.");
  progress("estimatedCompletionTime", StatusType::kTime, "When it will end at this speed.");
  status("timeSeconds", StatusType::kGroup, "Where the job's wall time went (docs/metrics.md).");
  Inside time(rows, "status.timeSeconds");
  time("closed", StatusType::kNumberMap, "Seconds by what they were spent on, up to `since`.");
  time("state", StatusType::kText, "What is being done since `since`.");
  time("since", StatusType::kTime, "When `state` began.");
}

void AddHistory(Rows& rows) {
  Inside status(rows, "status");
  status("rescaleCount", StatusType::kInteger, "Changes of membership so far.");
  status("rescales", StatusType::kList, "The newest of them, with what each phase took.").most =
      kMostRescales;
  Inside rescale(rows, "status.rescales[]");
  rescale("epoch", StatusType::kInteger, "The view that it led to.");
  rescale("time", StatusType::kTime, "When training went on.");
  rescale("cause", StatusType::kText, "Why, in one word of a closed list (docs/reasons.md).");
  rescale("from", StatusType::kInteger, "Members before.");
  rescale("to", StatusType::kInteger, "Members after.");
  rescale("detectSeconds", StatusType::kNumber, "From the fault to the eviction.");
  rescale("agreeSeconds", StatusType::kNumber, "Until the new view was decided and persisted.");
  rescale("rebuildSeconds", StatusType::kNumber, "Until the members' ring was connected.");
  rescale("synchroniseSeconds", StatusType::kNumber, "Transfer of state to those who join.");
  rescale("recomputeSeconds", StatusType::kNumber, "Computing the slots that were lost.");
  rescale("stallSeconds", StatusType::kNumber, "Training time that the change took in all.");
  rescale("stepsLost", StatusType::kInteger, "Committed steps that had to be done again.");
  rescale("slotsRecomputed", StatusType::kInteger, "Slots of the open step computed again.");
  status("failures", StatusType::kList,
         "The newest losses: what maxReplacements and avoidNodes count.")
      .most = kMostFailures;
  Inside failure(rows, "status.failures[]");
  failure("time", StatusType::kTime, "When it was seen.");
  failure("member", StatusType::kText, "Who was lost, ordinal.incarnation.");
  failure("node", StatusType::kText, "Where it ran.");
  failure("reason", StatusType::kText, "Why, in one word of a closed list (docs/reasons.md).");
  failure("exitCode", StatusType::kInteger,
          "Of its process; absent when a signal ended it or nobody knows.");
  failure("charged", StatusType::kBoolean, "Whether it counts for failurePolicy.maxReplacements.");
}

void AddOutcome(Rows& rows) {
  Inside status(rows, "status");
  status("checkpoint", StatusType::kGroup, "The newest committed checkpoint.");
  AddCheckpoint(rows, "status.checkpoint");
  status("result", StatusType::kGroup, "What the job ended with.");
  Inside result(rows, "status.result");
  result("digest", StatusType::kText,
         "Of weights and optimizer state: equal for every run of this spec, whatever was lost.");
  result("weightsDigest", StatusType::kText, "SHA-256 of model.safetensors.");
  result("loss", StatusType::kText, "Mean loss of the last step.");
  result("heldOutLoss", StatusType::kText, "Loss on held-out data after the last step.");
}

Rows MakeRows() {
  Rows rows;
  AddConditions(rows);
  AddMembership(rows);
  AddProgress(rows);
  AddHistory(rows);
  AddOutcome(rows);
  return rows;
}

}  // namespace

const std::vector<StatusField>& StatusSchema() {
  static const std::vector<StatusField> schema = MakeRows();
  return schema;
}

std::vector<const StatusField*> StatusChildrenOf(std::string_view path) {
  std::vector<const StatusField*> children;
  for (const StatusField& field : StatusSchema()) {
    const std::string_view at = field.path;
    if (at.substr(0, at.rfind('.')) == path) children.push_back(&field);
  }
  return children;
}

}  // namespace muster::api
