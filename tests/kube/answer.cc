#include "tests/kube/answer.h"

#include "operator/api/quantity.h"

namespace muster::kubetest {

void SetTarget(Request& request, std::string_view target) {
  const auto question = target.find('?');
  request.path = std::string(target.substr(0, question));
  request.query =
      question == std::string_view::npos ? Query() : ParseQuery(target.substr(question + 1));
}

Answer Refusal(int code, std::string_view reason, const std::string& message, const Json& details) {
  Json status = {{"kind", "Status"},    {"apiVersion", "v1"}, {"metadata", Json::object()},
                 {"status", "Failure"}, {"message", message}, {"reason", reason},
                 {"code", code}};
  if (!details.is_null()) status["details"] = details;
  return {code, std::move(status)};
}

namespace {

Json DetailsOf(const Kind& kind, const std::string& name) {
  Json details = {{"name", name}, {"kind", kind.plural}};
  if (!kind.group.empty()) details["group"] = kind.group;
  return details;
}

}  // namespace

Answer NotFound(const Kind& kind, const std::string& name) {
  return Refusal(404, "NotFound", QualifiedName(kind) + " \"" + name + "\" not found",
                 DetailsOf(kind, name));
}

Answer AlreadyExists(const Kind& kind, const std::string& name) {
  return Refusal(409, "AlreadyExists", QualifiedName(kind) + " \"" + name + "\" already exists",
                 DetailsOf(kind, name));
}

Answer Conflict(const Kind& kind, const std::string& name, const std::string& why) {
  return Refusal(
      409, "Conflict",
      "Operation cannot be fulfilled on " + QualifiedName(kind) + " \"" + name + "\": " + why,
      DetailsOf(kind, name));
}

Answer BadRequest(const std::string& message) { return Refusal(400, "BadRequest", message); }

Answer Invalid(const Kind& kind, const std::string& name, const std::string& field,
               const std::string& why, std::string_view cause) {
  Json details = DetailsOf(kind, name);
  details["kind"] = kind.kind;
  details["causes"] = {{{"reason", cause}, {"message", why}, {"field", field}}};
  return Refusal(422, "Invalid",
                 std::string(kind.kind) +
                     (kind.group.empty() ? "" : "." + std::string(kind.group)) + " \"" + name +
                     "\" is invalid: " + field + ": " + why,
                 details);
}

Answer Unsupported(const std::string& method) {
  return Refusal(405, "MethodNotAllowed", method + " is not supported on the requested resource");
}

std::string_view ReasonOf(int code) {
  switch (code) {
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "NotFound";
    case 409:
      return "Conflict";
    case 410:
      return "Expired";
    case 422:
      return "Invalid";
    case 429:
      return "TooManyRequests";
    case 500:
      return "InternalError";
    case 503:
      return "ServiceUnavailable";
    case 504:
      return "Timeout";
    default:
      return "Unknown";
  }
}

std::string Rfc3339(base::WallTime time) {
  return api::FormatTime(std::chrono::floor<std::chrono::seconds>(time));
}

}  // namespace muster::kubetest
