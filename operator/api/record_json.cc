// Writes and reads the record; its short form is what status.membership shows.
#include "operator/api/record_json.h"

#include <nlohmann/json.hpp>

#include "operator/api/quantity.h"
#include "operator/api/record_parts.h"

namespace muster::api {
namespace {

std::vector<base::MemberId> ReadMembers(const JsonFields& fields, const char* key) {
  absl::StatusOr<std::vector<base::MemberId>> members = ParseMembers(fields.Text(key));
  if (members.ok()) return *std::move(members);
  fields.Wrong(key, "member ids such as \"0.1 1.1 3.2\"");
  return {};
}

}  // namespace

std::string MembersToText(const std::vector<base::MemberId>& members) {
  std::string out;
  for (base::MemberId id : members) out += (out.empty() ? "" : " ") + base::ToString(id);
  return out;
}

absl::StatusOr<std::vector<base::MemberId>> ParseMembers(std::string_view text) {
  std::vector<base::MemberId> members;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    MUSTER_ASSIGN_OR_RETURN(const base::MemberId id, base::ParseMemberId(text.substr(0, space)));
    members.push_back(id);
    if (space == std::string_view::npos) break;
    text.remove_prefix(space + 1);
    if (text.empty()) return base::InvalidArgument("member ids end in a space");
  }
  return members;
}

Json CheckpointJson(const CheckpointRef& checkpoint) {
  return {{"step", checkpoint.step.value},
          {"epoch", checkpoint.epoch.value},
          {"digest", checkpoint.digest},
          {"time", FormatTime(checkpoint.time)}};
}

CheckpointRef ReadCheckpoint(const JsonFields& fields) {
  return {base::Step(fields.Integer<std::int64_t>("step")),
          base::Epoch(fields.Integer<std::uint64_t>("epoch")), fields.Text("digest"),
          fields.Time("time")};
}

Json ResultJson(const JobResult& result) {
  Json out = {{"digest", result.digest}};
  if (!result.weights_digest.empty()) out["weightsDigest"] = result.weights_digest;
  if (!result.loss.empty()) out["loss"] = result.loss;
  if (!result.held_out_loss.empty()) out["heldOutLoss"] = result.held_out_loss;
  return out;
}

JobResult ReadResult(const JsonFields& fields) {
  return {fields.Text("digest"), fields.Text("weightsDigest"), fields.Text("loss"),
          fields.Text("heldOutLoss")};
}

Json MembershipJson(const Record& record) {
  Json out = {{"protocol", record.protocol},
              {"version", record.version},
              {"term", record.term.value},
              {"nonce", std::to_string(record.nonce)},
              {"epoch", record.newest.epoch.value},
              {"size", record.newest.members.size()},
              {"members", MembersToText(record.newest.members)},
              {"previous",
               {{"epoch", record.previous.epoch.value},
                {"members", MembersToText(record.previous.members)}}}};
  if (!record.build_id.empty()) out["buildId"] = record.build_id;
  if (!record.data_digest.empty()) out["dataDigest"] = record.data_digest;
  if (!record.device.empty()) out["device"] = record.device;
  if (!record.start_weights_digest.empty()) {
    out["startWeightsDigest"] = record.start_weights_digest;
  }
  for (const CheckpointRef& kept : record.kept_checkpoints) {
    out["keptCheckpoints"].push_back(CheckpointJson(kept));
  }
  return out;
}

Record ReadMembership(const JsonFields& fields, absl::Status* status) {
  Record record;
  record.protocol = fields.Integer<std::int32_t>("protocol");
  if (status->ok() &&
      (record.protocol < kOldestProtocolVersion || record.protocol > Record().protocol)) {
    *status = base::FailedPrecondition(
        "the record was written with protocol version " + std::to_string(record.protocol) +
        "; this program reads versions " + std::to_string(kOldestProtocolVersion) + " to " +
        std::to_string(Record().protocol));
    return record;
  }
  record.version = fields.Integer<std::uint64_t>("version");
  record.term = base::Term(fields.Integer<std::uint64_t>("term"));
  record.nonce = fields.Integer<std::uint64_t>("nonce");
  record.newest = {base::Epoch(fields.Integer<std::uint64_t>("epoch")),
                   ReadMembers(fields, "members")};
  if (fields.Has("size") && fields.Integer<std::uint64_t>("size") != record.newest.members.size()) {
    fields.Wrong("size", "the number of members, " + std::to_string(record.newest.members.size()));
  }
  if (fields.Has("previous")) {
    const JsonFields previous = fields.Object("previous");
    record.previous = {base::Epoch(previous.Integer<std::uint64_t>("epoch")),
                       ReadMembers(previous, "members")};
  }
  record.build_id = fields.Text("buildId");
  record.data_digest = fields.Text("dataDigest");
  record.device = fields.Text("device");
  record.start_weights_digest = fields.Text("startWeightsDigest");
  fields.ForEach("keptCheckpoints", [&record](const JsonFields& kept) {
    record.kept_checkpoints.push_back(ReadCheckpoint(kept));
  });
  return record;
}

std::string RecordToJson(const Record& record, int indent) {
  Json out = MembershipJson(record);
  if (!record.kernel_family.empty()) out["kernelFamily"] = record.kernel_family;
  if (record.checkpoint) out["checkpoint"] = CheckpointJson(*record.checkpoint);
  if (record.result) out["result"] = ResultJson(*record.result);
  return Dump(out, indent);
}

absl::StatusOr<Record> ParseRecord(std::string_view json) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_discarded()) return base::InvalidArgument("the record is not JSON");
  absl::Status status;
  const JsonFields fields(parsed, "record", &status);
  Record record = ReadMembership(fields, &status);
  record.kernel_family = fields.Text("kernelFamily");
  if (fields.Has("checkpoint")) record.checkpoint = ReadCheckpoint(fields.Object("checkpoint"));
  if (fields.Has("result")) record.result = ReadResult(fields.Object("result"));
  MUSTER_RETURN_IF_ERROR(status);
  return record;
}

}  // namespace muster::api
