#include "operator/api/member_uri.h"

#include <algorithm>

namespace muster::api {
namespace {

constexpr std::string_view kJob = "muster://job/";
constexpr std::string_view kMember = "/member/";
constexpr std::size_t kLongestUid = 128;

bool IsUidCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

bool IsUid(std::string_view uid) {
  return !uid.empty() && uid.size() <= kLongestUid && std::ranges::all_of(uid, IsUidCharacter);
}

}  // namespace

std::string ToString(const JobMember& who) {
  return "member " + base::ToString(who.member) + " of job " + who.job_uid;
}

absl::StatusOr<std::string> MemberUri(const JobMember& who) {
  if (!IsUid(who.job_uid)) {
    return base::InvalidArgument("job uid '" + who.job_uid.substr(0, kLongestUid) +
                                 "' is not 1 to 128 letters, digits, '-', '_' or '.'");
  }
  return std::string(kJob) + who.job_uid + std::string(kMember) + base::ToString(who.member);
}

absl::StatusOr<JobMember> ParseMemberUri(std::string_view text) {
  const auto bad = [&] {
    return base::InvalidArgument("'" + std::string(text.substr(0, 200)) +
                                 "' is not muster://job/<uid>/member/<ordinal.incarnation>");
  };
  if (!text.starts_with(kJob)) return bad();
  const std::string_view rest = text.substr(kJob.size());
  const auto end = rest.find('/');
  if (end == std::string_view::npos || !rest.substr(end).starts_with(kMember)) return bad();
  const std::string_view uid = rest.substr(0, end);
  auto member = base::ParseMemberId(rest.substr(end + kMember.size()));
  if (!IsUid(uid) || !member.ok()) return bad();
  JobMember who{std::string(uid), *member};
  // "03.2" is the number of 3.2, but one member has one name.
  if (base::ToString(who.member) != rest.substr(end + kMember.size())) return bad();
  return who;
}

}  // namespace muster::api
