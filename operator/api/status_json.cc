// Writes and reads status, in the order and spelling that docs show.
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "operator/api/quantity.h"
#include "operator/api/record_json.h"
#include "operator/api/record_parts.h"
#include "operator/api/training_job_json.h"

namespace muster::api {
namespace {

constexpr std::string_view kStates[] = {"Pending",  "Starting",  "Running",   "Degraded",
                                        "Resizing", "Suspended", "Succeeded", "Failed"};

// What is not finite is left out.
void PutNumber(Json& out, const char* key, double value) {
  if (std::isfinite(value)) out[key] = value;
}
void PutText(Json& out, const char* key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}

Json ProgressJson(const Progress& progress) {
  Json out = {{"step", progress.step}, {"steps", progress.steps}};
  PutText(out, "loss", progress.loss);
  PutText(out, "heldOutLoss", progress.held_out_loss);
  PutNumber(out, "tokensPerSecond", progress.tokens_per_second);
  if (progress.estimated_completion_time) {
    out["estimatedCompletionTime"] = FormatTime(*progress.estimated_completion_time);
  }
  return out;
}

Progress ReadProgress(const JsonFields& fields) {
  Progress progress;
  progress.step = fields.Integer<std::int64_t>("step");
  progress.steps = fields.Integer<std::int64_t>("steps");
  progress.loss = fields.Text("loss");
  progress.held_out_loss = fields.Text("heldOutLoss");
  progress.tokens_per_second = fields.Number("tokensPerSecond");
  if (fields.Has("estimatedCompletionTime")) {
    progress.estimated_completion_time = fields.Time("estimatedCompletionTime");
  }
  return progress;
}

Json RescaleJson(const Rescale& rescale) {
  Json out = {{"epoch", rescale.epoch.value},
              {"time", FormatTime(rescale.time)},
              {"cause", rescale.cause},
              {"from", rescale.from},
              {"to", rescale.to}};
  PutNumber(out, "detectSeconds", rescale.detect_seconds);
  PutNumber(out, "agreeSeconds", rescale.agree_seconds);
  PutNumber(out, "rebuildSeconds", rescale.rebuild_seconds);
  PutNumber(out, "synchroniseSeconds", rescale.synchronise_seconds);
  PutNumber(out, "recomputeSeconds", rescale.recompute_seconds);
  PutNumber(out, "stallSeconds", rescale.stall_seconds);
  out["stepsLost"] = rescale.steps_lost;
  out["slotsRecomputed"] = rescale.slots_recomputed;
  return out;
}

Rescale ReadRescale(const JsonFields& fields) {
  Rescale rescale;
  rescale.epoch = base::Epoch(fields.Integer<std::uint64_t>("epoch"));
  rescale.time = fields.Time("time");
  rescale.cause = fields.Text("cause");
  rescale.from = fields.Integer<std::int32_t>("from");
  rescale.to = fields.Integer<std::int32_t>("to");
  rescale.detect_seconds = fields.Number("detectSeconds");
  rescale.agree_seconds = fields.Number("agreeSeconds");
  rescale.rebuild_seconds = fields.Number("rebuildSeconds");
  rescale.synchronise_seconds = fields.Number("synchroniseSeconds");
  rescale.recompute_seconds = fields.Number("recomputeSeconds");
  rescale.stall_seconds = fields.Number("stallSeconds");
  rescale.steps_lost = fields.Integer<std::int64_t>("stepsLost");
  rescale.slots_recomputed = fields.Integer<std::int64_t>("slotsRecomputed");
  return rescale;
}

Json ConditionJson(const Condition& condition) {
  return {{"type", condition.type},
          {"status", condition.status},
          {"reason", condition.reason},
          {"message", condition.message},
          {"lastTransitionTime", FormatTime(condition.last_transition_time)}};
}

Json FailureJson(const FailureEntry& failure) {
  Json out = {{"time", FormatTime(failure.time)},
              {"member", base::ToString(failure.member)},
              {"node", failure.node},
              {"reason", failure.reason}};
  if (failure.exit_code >= 0) out["exitCode"] = failure.exit_code;
  out["charged"] = failure.charged;
  return out;
}

FailureEntry ReadFailure(const JsonFields& fields) {
  FailureEntry failure;
  failure.time = fields.Time("time");
  const absl::StatusOr<base::MemberId> member = base::ParseMemberId(fields.Text("member"));
  if (member.ok()) {
    failure.member = *member;
  } else {
    fields.Wrong("member", "a member id such as \"3.2\"");
  }
  failure.node = fields.Text("node");
  failure.reason = fields.Text("reason");
  failure.exit_code = fields.Integer<std::int32_t>("exitCode", -1);
  failure.charged = fields.Bool("charged");
  return failure;
}

Json TimeSecondsJson(const TimeSeconds& time) {
  Json closed = Json::object();
  for (const auto& [state, seconds] : time.closed) PutNumber(closed, state.c_str(), seconds);
  Json out = {{"closed", closed}};
  PutText(out, "state", time.state);
  if (!time.state.empty()) out["since"] = FormatTime(time.since);
  return out;
}

TimeSeconds ReadTimeSeconds(const JsonFields& fields) {
  TimeSeconds time;
  if (fields.Has("closed")) {
    const JsonFields closed = fields.Object("closed");
    if (closed.json().is_object()) {
      for (const auto& [state, value] : closed.json().items()) {
        time.closed[state] = closed.Number(state.c_str());
      }
    }
  }
  time.state = fields.Text("state");
  time.since = fields.Time("since");
  return time;
}

// "7/8": members of the view and members wanted.
void ReadMemberCounts(const JsonFields& fields, TrainingJobStatus& status) {
  const std::string text = fields.Text("members");
  if (text.empty()) return;
  const char* end = text.data() + text.size();
  const auto have = std::from_chars(text.data(), end, status.members);
  const bool slash = have.ec == std::errc() && have.ptr != end && *have.ptr == '/';
  const auto want = std::from_chars(slash ? have.ptr + 1 : end, end, status.desired_members);
  if (!slash || want.ec != std::errc() || want.ptr != end) {
    fields.Wrong("members", "two counts such as \"7/8\"");
  }
}

JobState ReadState(const JsonFields& fields) {
  const std::string text = fields.Text("state");
  for (std::size_t i = 0; i < std::size(kStates); ++i) {
    if (kStates[i] == text) return static_cast<JobState>(i);
  }
  if (!text.empty()) fields.Wrong("state", "a state of a TrainingJob, such as Running");
  return JobState::kPending;
}

void ReadHistory(const JsonFields& fields, TrainingJobStatus& status) {
  fields.ForEach("conditions", [&status](const JsonFields& at) {
    status.conditions.push_back({at.Text("type"), at.Text("status"), at.Text("reason"),
                                 at.Text("message"), at.Time("lastTransitionTime")});
  });
  fields.ForEach("rescales",
                 [&status](const JsonFields& at) { status.rescales.push_back(ReadRescale(at)); });
  fields.ForEach("failures",
                 [&status](const JsonFields& at) { status.failures.push_back(ReadFailure(at)); });
}

// The record's short form is in `membership`; the rest of it is the status's own.
void ReadRecord(const JsonFields& fields, TrainingJobStatus& status, absl::Status* error) {
  if (fields.Has("checkpoint")) status.checkpoint = ReadCheckpoint(fields.Object("checkpoint"));
  if (fields.Has("result")) status.result = ReadResult(fields.Object("result"));
  if (!fields.Has("membership")) return;
  status.membership = ReadMembership(fields.Object("membership"), error);
  status.membership->checkpoint = status.checkpoint;
  status.membership->result = status.result;
  status.membership->kernel_family = status.kernel_family;
}

}  // namespace

std::string_view ToString(JobState state) { return kStates[static_cast<std::size_t>(state)]; }

std::string StatusToJson(const TrainingJobStatus& status, int indent) {
  Json out = {{"observedGeneration", status.observed_generation}, {"conditions", Json::array()}};
  for (const Condition& condition : status.conditions) {
    out["conditions"].push_back(ConditionJson(condition));
  }
  out["state"] = ToString(status.state);
  if (status.start_time) out["startTime"] = FormatTime(*status.start_time);
  PutText(out, "workerImage", status.worker_image);
  PutText(out, "objectsHash", status.objects_hash);
  PutText(out, "specHash", status.spec_hash);
  PutText(out, "templateHash", status.template_hash);
  PutText(out, "kernelFamily", status.kernel_family);
  out["members"] = std::to_string(status.members) + "/" + std::to_string(status.desired_members);
  out["replicas"] = status.replicas;
  PutText(out, "selector", status.selector);
  if (status.membership) out["membership"] = MembershipJson(*status.membership);
  out["progress"] = ProgressJson(status.progress);
  out["timeSeconds"] = TimeSecondsJson(status.time_seconds);
  out["rescaleCount"] = status.rescale_count;
  out["rescales"] = Json::array();
  for (const Rescale& rescale : status.rescales) out["rescales"].push_back(RescaleJson(rescale));
  out["failures"] = Json::array();
  for (const FailureEntry& failure : status.failures) {
    out["failures"].push_back(FailureJson(failure));
  }
  if (status.checkpoint) out["checkpoint"] = CheckpointJson(*status.checkpoint);
  if (status.result) out["result"] = ResultJson(*status.result);
  return Dump(out, indent);
}

absl::StatusOr<TrainingJobStatus> ParseTrainingJobStatus(std::string_view json) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_discarded()) return base::InvalidArgument("the status is not JSON");
  absl::Status error;
  TrainingJobStatus status;
  const JsonFields fields(parsed, "status", &error);
  status.observed_generation = fields.Integer<std::int64_t>("observedGeneration");
  status.state = ReadState(fields);
  if (fields.Has("startTime")) status.start_time = fields.Time("startTime");
  status.worker_image = fields.Text("workerImage");
  status.objects_hash = fields.Text("objectsHash");
  status.spec_hash = fields.Text("specHash");
  status.template_hash = fields.Text("templateHash");
  status.kernel_family = fields.Text("kernelFamily");
  ReadMemberCounts(fields, status);
  status.replicas = fields.Integer<std::int32_t>("replicas");
  status.selector = fields.Text("selector");
  if (fields.Has("progress")) status.progress = ReadProgress(fields.Object("progress"));
  if (fields.Has("timeSeconds")) {
    status.time_seconds = ReadTimeSeconds(fields.Object("timeSeconds"));
  }
  status.rescale_count = fields.Integer<std::int64_t>("rescaleCount");
  ReadHistory(fields, status);
  ReadRecord(fields, status, &error);
  MUSTER_RETURN_IF_ERROR(error);
  return status;
}

}  // namespace muster::api
