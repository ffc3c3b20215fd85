// Expected failures: absl::Status and StatusOr, with helpers for an absl whose string_view is not
// std's.
//
// Debian builds absl with string types of its own, so std::string_view does not convert to absl's.
// Pass std::string to these helpers and read messages through Message(); nothing else in the code
// base meets absl::string_view. The status *code* decides about retry; its text is for people.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace muster::base {

inline absl::string_view av(std::string_view s) { return {s.data(), s.size()}; }
inline std::string Message(const absl::Status& s) { return std::string(s.message()); }

inline absl::Status InvalidArgument(std::string_view m) {
  return absl::InvalidArgumentError(av(m));
}
inline absl::Status FailedPrecondition(std::string_view m) {
  return absl::FailedPreconditionError(av(m));
}
inline absl::Status NotFound(std::string_view m) { return absl::NotFoundError(av(m)); }
inline absl::Status Unavailable(std::string_view m) { return absl::UnavailableError(av(m)); }
inline absl::Status DeadlineExceeded(std::string_view m) {
  return absl::DeadlineExceededError(av(m));
}
inline absl::Status Aborted(std::string_view m) { return absl::AbortedError(av(m)); }
inline absl::Status DataLoss(std::string_view m) { return absl::DataLossError(av(m)); }
inline absl::Status ResourceExhausted(std::string_view m) {
  return absl::ResourceExhaustedError(av(m));
}
inline absl::Status PermissionDenied(std::string_view m) {
  return absl::PermissionDeniedError(av(m));
}
inline absl::Status AlreadyExists(std::string_view m) { return absl::AlreadyExistsError(av(m)); }
inline absl::Status Internal(std::string_view m) { return absl::InternalError(av(m)); }

// `context: message`, the code unchanged; OK stays OK.
inline absl::Status Annotate(const absl::Status& s, std::string_view context) {
  if (s.ok()) return s;
  return absl::Status(s.code(), av(std::string(context) + ": " + Message(s)));
}

// "strerror (errno N)" for a failed system call.
std::string ErrnoText(int error);

}  // namespace muster::base

#define MUSTER_RETURN_IF_ERROR(expr)                                                       \
  do {                                                                                     \
    if (absl::Status muster_status_ = (expr); !muster_status_.ok()) return muster_status_; \
  } while (false)

#define MUSTER_CONCAT_INNER_(a, b) a##b
#define MUSTER_CONCAT_(a, b) MUSTER_CONCAT_INNER_(a, b)
#define MUSTER_ASSIGN_OR_RETURN(lhs, expr) \
  MUSTER_ASSIGN_OR_RETURN_IMPL_(MUSTER_CONCAT_(muster_or_, __LINE__), lhs, expr)
#define MUSTER_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                                  \
  if (!tmp.ok()) return tmp.status();                 \
  lhs = std::move(tmp).value()
