// The parts that record and status share, as JSON. Internal to operator/api; only in .cc files.
#pragma once

#include "operator/api/json_fields.h"
#include "operator/api/view.h"

namespace muster::api {

Json CheckpointJson(const CheckpointRef& checkpoint);
CheckpointRef ReadCheckpoint(const JsonFields& fields);

Json ResultJson(const JobResult& result);
JobResult ReadResult(const JsonFields& fields);

// The short form: protocol, version, term, nonce, epoch, size, members, previous, what is kept.
Json MembershipJson(const Record& record);
// FailedPrecondition in `status` for another protocol version.
Record ReadMembership(const JsonFields& fields, absl::Status* status);

}  // namespace muster::api
