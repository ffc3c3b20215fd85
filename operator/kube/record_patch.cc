#include "operator/kube/record_patch.h"

#include <nlohmann/json.hpp>

#include "operator/api/record_json.h"
#include "operator/kube/json.h"

namespace muster::kube {
namespace {

constexpr const char* kMembership = "/status/membership";

PatchOperation Operation(const char* op, std::string path, const Json& value) {
  return {op, std::move(path), Dump(value)};
}

// The record as one JSON object, taken apart into the fields of status that hold it.
struct Parts {
  Json membership;
  Json checkpoint;  // null: there is none
  Json result;
  Json kernel_family;
};

Parts PartsOf(const api::Record& record) {
  Parts parts;
  Json whole = Json::parse(api::RecordToJson(record));
  const auto take = [&whole](const char* key, Json& into) {
    if (const auto at = whole.find(key); at != whole.end()) {
      into = *at;
      whole.erase(at);
    }
  };
  take("checkpoint", parts.checkpoint);
  take("result", parts.result);
  take("kernelFamily", parts.kernel_family);
  parts.membership = std::move(whole);
  return parts;
}

void PutOrRemove(std::vector<PatchOperation>& out, const char* path, const Json& value,
                 bool is_there) {
  if (!value.is_null()) {
    out.push_back(Operation("add", path, value));  // replaces what is there
  } else if (is_there) {
    out.push_back({"remove", path, ""});
  }
}

}  // namespace

absl::StatusOr<StoredRecord> ReadStoredRecord(std::string_view job_json) {
  MUSTER_ASSIGN_OR_RETURN(const Json job, ParseObject(job_json, "the job"));
  StoredRecord stored;
  stored.uid = TextAt(job, {"metadata", "uid"});
  const Json& status = At(job, {"status"});
  stored.shape = {status.is_object(), !At(status, {"checkpoint"}).is_null(),
                  !At(status, {"result"}).is_null(), !At(status, {"kernelFamily"}).is_null()};
  const Json& membership = At(status, {"membership"});
  if (!membership.is_object()) return stored;
  Json whole = membership;
  for (const char* key : {"checkpoint", "result", "kernelFamily"}) {
    if (const Json& part = At(status, {key}); !part.is_null()) whole[key] = part;
  }
  auto record = api::ParseRecord(Dump(whole));
  if (!record.ok()) return base::Annotate(record.status(), "status of the job");
  stored.record = *std::move(record);
  return stored;
}

std::vector<PatchOperation> MakeRecordPatch(const std::string& uid,
                                            const std::optional<api::Record>& expected,
                                            const api::Record& next, const StatusShape& shape) {
  const Parts parts = PartsOf(next);
  std::vector<PatchOperation> out = {Operation("test", "/metadata/uid", uid)};
  if (expected) {
    const Json before = PartsOf(*expected).membership;
    for (const char* field : {"term", "epoch", "nonce"}) {
      out.push_back(Operation("test", std::string(kMembership) + "/" + field, before.at(field)));
    }
    out.push_back(Operation("replace", kMembership, parts.membership));
  } else if (shape.has_status) {
    // A test for null holds when there is no such field: the first of two first writers wins.
    out.push_back(Operation("test", kMembership, nullptr));
    out.push_back(Operation("add", kMembership, parts.membership));
  } else {
    out.push_back(Operation("test", "/status", nullptr));
    out.push_back(Operation("add", "/status", {{"membership", parts.membership}}));
  }
  PutOrRemove(out, "/status/checkpoint", parts.checkpoint, shape.has_checkpoint);
  PutOrRemove(out, "/status/result", parts.result, shape.has_result);
  PutOrRemove(out, "/status/kernelFamily", parts.kernel_family, shape.has_kernel_family);
  return out;
}

api::PersistOutcome OutcomeOf(const absl::Status& answer) {
  switch (answer.code()) {
    case absl::StatusCode::kOk:
      return api::PersistOutcome::kOk;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kNotFound:
      return api::PersistOutcome::kConflict;
    default:
      return api::PersistOutcome::kUnknown;
  }
}

}  // namespace muster::kube
