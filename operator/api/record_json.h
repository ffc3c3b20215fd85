// The record as JSON and back, whole: what Persist writes on one machine (M1).
#pragma once

#include <string>
#include <string_view>

#include "operator/api/view.h"
#include "operator/base/status.h"

namespace muster::api {

// The oldest protocol version that is still read (M2: the current and the previous one).
inline constexpr std::int32_t kOldestProtocolVersion = 1;

std::string RecordToJson(const Record& record, int indent = -1);
// FailedPrecondition: another protocol version, by name. InvalidArgument: the field that is wrong.
absl::StatusOr<Record> ParseRecord(std::string_view json);

// The short form of a view's members: "0.1 1.1 3.2", in rank order.
std::string MembersToText(const std::vector<base::MemberId>& members);
absl::StatusOr<std::vector<base::MemberId>> ParseMembers(std::string_view text);

}  // namespace muster::api
