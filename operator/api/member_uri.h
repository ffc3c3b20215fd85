// Who a certificate speaks for, as the URI in it: muster://job/<uid>/member/<ordinal.incarnation>.
// The coordinator writes it when it signs; the coordinator and the neighbours on the ring read it.
#pragma once

#include <string>
#include <string_view>

#include "operator/base/ids.h"
#include "operator/base/status.h"

namespace muster::api {

struct JobMember {
  std::string job_uid;
  base::MemberId member;
  friend bool operator==(const JobMember&, const JobMember&) = default;
};

// "member 3.2 of job <uid>", for sentences.
std::string ToString(const JobMember& who);

// InvalidArgument when the uid is not 1 to 128 letters, digits, '-', '_' or '.': nothing in it may
// end its part of the URI.
absl::StatusOr<std::string> MemberUri(const JobMember& who);

// Accepts what MemberUri writes and nothing else.
absl::StatusOr<JobMember> ParseMemberUri(std::string_view text);

}  // namespace muster::api
