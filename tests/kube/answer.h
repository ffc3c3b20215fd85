// Requests and answers of the double as values, and the Status objects of its refusals.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "operator/base/time.h"
#include "tests/kube/kinds.h"

namespace muster::kubetest {

struct Request {
  std::string method;  // GET, POST, PUT, PATCH, DELETE
  std::string path;    // decoded by ParsePath, without the query
  Query query;
  std::string content_type;
  std::string user_agent;
  std::string body;
};
// "/api/v1/pods?limit=1" taken apart.
void SetTarget(Request& request, std::string_view target);

struct Answer {
  int code = 200;
  Json body;
  std::map<std::string, std::string> headers = {};
};

// A metav1.Status of a failure. `details` is merged into it where it is given.
Answer Refusal(int code, std::string_view reason, const std::string& message,
               const Json& details = nullptr);
Answer NotFound(const Kind& kind, const std::string& name);
Answer AlreadyExists(const Kind& kind, const std::string& name);
Answer Conflict(const Kind& kind, const std::string& name, const std::string& why);
Answer BadRequest(const std::string& message);
// 422 with one cause for `field`.
Answer Invalid(const Kind& kind, const std::string& name, const std::string& field,
               const std::string& why, std::string_view cause = "FieldValueInvalid");
Answer Unsupported(const std::string& method);
// The reason that belongs to a code, for faults that name only the code.
std::string_view ReasonOf(int code);

// Seconds alone, as metav1.Time has them, and with microseconds.
std::string Rfc3339(base::WallTime time);

}  // namespace muster::kubetest
