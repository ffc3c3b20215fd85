#include "operator/kube/api_error.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/cord.h"
#include "operator/kube/json.h"

namespace muster::kube {
namespace {

constexpr char kPayloadType[] = "muster.dev/api-error";
constexpr std::size_t kMostQuoted = 300;

bool HasCause(const ApiError& error, std::string_view reason) {
  return std::any_of(error.causes.begin(), error.causes.end(),
                     [&](const ErrorCause& cause) { return cause.reason == reason; });
}

absl::StatusCode CodeOf(const ApiError& error) {
  switch (error.code) {
    case 400:
    case 413:
      return absl::StatusCode::kInvalidArgument;
    case 422:
      // A patch whose test does not hold is answered without details; a bad object names its
      // fields.
      return error.causes.empty() ? absl::StatusCode::kFailedPrecondition
                                  : absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 405:
    case 406:
    case 415:
      return absl::StatusCode::kUnimplemented;
    case 408:
    case 504:
      return absl::StatusCode::kDeadlineExceeded;
    case 409:
      return error.reason == "AlreadyExists" ? absl::StatusCode::kAlreadyExists
                                             : absl::StatusCode::kAborted;
    case 410:
      return absl::StatusCode::kOutOfRange;
    case 429:
      return absl::StatusCode::kResourceExhausted;
    case 500:
      return absl::StatusCode::kInternal;
    default:
      return error.code == 0 || error.code >= 500 ? absl::StatusCode::kUnavailable
                                                  : absl::StatusCode::kUnknown;
  }
}

std::string Quoted(std::string_view body) {
  std::string text(body.substr(0, kMostQuoted));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return body.size() > kMostQuoted ? text + "..." : text;
}

}  // namespace

ApiError MakeApiError(int code, std::string_view body, std::optional<base::Duration> retry_after) {
  ApiError error;
  error.code = code;
  error.retry_after = retry_after;
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_discarded() || TextAt(json, {"kind"}) != "Status") {
    error.message = body.empty()
                        ? "the server answered " + std::to_string(code)
                        : "the server answered " + std::to_string(code) + ": " + Quoted(body);
    return error;
  }
  error.reason = TextAt(json, {"reason"});
  error.message = TextAt(json, {"message"});
  // An ERROR event of a watch comes with 200; its Status says what it is.
  if (const std::int64_t said = IntegerAt(json, {"code"}); said != 0) {
    error.code = static_cast<int>(said);
  }
  const std::int64_t seconds = IntegerAt(json, {"details", "retryAfterSeconds"});
  if (!error.retry_after && seconds > 0) error.retry_after = std::chrono::seconds(seconds);
  const Json& causes = At(json, {"details", "causes"});
  if (causes.is_array()) {
    for (const Json& cause : causes) {
      error.causes.push_back(
          {TextAt(cause, {"reason"}), TextAt(cause, {"message"}), TextAt(cause, {"field"})});
    }
  }
  if (error.message.empty()) error.message = "the server answered " + std::to_string(error.code);
  return error;
}

absl::Status ToStatus(const ApiError& error, std::string_view what) {
  absl::Status status(CodeOf(error), base::av(std::string(what) + ": " + error.message));
  Json payload = {{"code", error.code}, {"reason", error.reason}, {"message", error.message}};
  if (error.retry_after) payload["retryAfter"] = error.retry_after->count();
  for (const ErrorCause& cause : error.causes) {
    payload["causes"].push_back(
        {{"reason", cause.reason}, {"message", cause.message}, {"field", cause.field}});
  }
  status.SetPayload(kPayloadType, absl::Cord(Dump(payload)));
  return status;
}

std::optional<ApiError> ApiErrorOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadType);
  if (!payload) return std::nullopt;
  const Json json = Json::parse(std::string(*payload), nullptr, false);
  if (!json.is_object()) return std::nullopt;
  ApiError error;
  error.code = static_cast<int>(IntegerAt(json, {"code"}));
  error.reason = TextAt(json, {"reason"});
  error.message = TextAt(json, {"message"});
  if (json.contains("retryAfter")) {
    error.retry_after = base::Duration(IntegerAt(json, {"retryAfter"}));
  }
  const Json& causes = At(json, {"causes"});
  if (causes.is_array()) {
    for (const Json& cause : causes) {
      error.causes.push_back(
          {TextAt(cause, {"reason"}), TextAt(cause, {"message"}), TextAt(cause, {"field"})});
    }
  }
  return error;
}

bool IsQuota(const ApiError& error) {
  // The server has no reason of its own for it; the words are those of its ResourceQuota plugin.
  return error.code == 403 && error.message.find("exceeded quota") != std::string::npos;
}

bool IsNamespaceTerminating(const ApiError& error) {
  return error.code == 403 && HasCause(error, "NamespaceTerminating");
}

bool IsBudgetRefusal(const ApiError& error) {
  return error.code == 429 && HasCause(error, "DisruptionBudget");
}

}  // namespace muster::kube
