// What an API server's refusal says, and the absl::Status that carries it.
//
// The status code decides about retry, the payload keeps what the server said. Values only, pure.
//
//   HTTP, Status.reason       absl code            means for us
//   400, 413                  InvalidArgument      the object is wrong
//   422 with causes           InvalidArgument      the object is wrong; the causes name its fields
//   422 without causes        FailedPrecondition   a `test` of a JSON patch did not hold
//   401                       Unauthenticated      the token has expired, or is not known
//   403                       PermissionDenied     RBAC, a quota, a namespace that is being deleted
//   404                       NotFound
//   405, 406, 415             Unimplemented
//   408, 504                  DeadlineExceeded     it may or may not have happened
//   409 AlreadyExists         AlreadyExists
//   409 otherwise             Aborted              somebody else has written: read again
//   410                       OutOfRange           the version or the continue token is too old
//   429                       ResourceExhausted    too many requests, or a disruption budget
//   500                       Internal
//   502, 503, no answer       Unavailable
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::kube {

struct ErrorCause {
  std::string reason;   // FieldValueInvalid, DisruptionBudget, NamespaceTerminating, ...
  std::string message;  // a sentence
  std::string field;    // spec.training.slots; may be empty
  friend bool operator==(const ErrorCause&, const ErrorCause&) = default;
};

struct ApiError {
  int code = 0;         // HTTP status; 0: no answer came
  std::string reason;   // Status.reason; empty when the body was no Status
  std::string message;  // Status.message, or what is known without one
  std::optional<base::Duration> retry_after;
  std::vector<ErrorCause> causes;
  friend bool operator==(const ApiError&, const ApiError&) = default;
};

// From an answer that is not 2xx. A body that is no Status object is quoted, shortened.
ApiError MakeApiError(int code, std::string_view body, std::optional<base::Duration> retry_after);

// `what` is what was tried ("create pod a/b") and begins the sentence.
absl::Status ToStatus(const ApiError& error, std::string_view what);
// Of a status made by ToStatus, also after base::Annotate has been given the same payload; nothing
// for others.
std::optional<ApiError> ApiErrorOf(const absl::Status& status);

// 403 because the namespace's quota is used up: waiting may help, asking again at once does not.
bool IsQuota(const ApiError& error);
// 403 because the namespace is being deleted.
bool IsNamespaceTerminating(const ApiError& error);
// 429 of an eviction: the disruption budget allows none now.
bool IsBudgetRefusal(const ApiError& error);

}  // namespace muster::kube
