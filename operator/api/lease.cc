#include "operator/api/lease.h"

#include <nlohmann/json.hpp>

#include "operator/api/json_fields.h"
#include "operator/api/quantity.h"
#include "operator/base/text.h"

namespace muster::api {
namespace {

std::string MicroTime(base::WallTime time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const auto micro = std::chrono::duration_cast<std::chrono::microseconds>(time - whole).count();
  std::string text = FormatTime(whole);  // ends in Z
  text.pop_back();
  return text + "." + base::Padded(micro, 6) + "Z";
}

}  // namespace

std::string LeaseToJson(const Lease& lease, std::string_view name_space, std::string_view name) {
  Json metadata = {{"namespace", name_space}, {"name", name}};
  if (!lease.resource_version.empty()) metadata["resourceVersion"] = lease.resource_version;
  if (!lease.uid.empty()) metadata["uid"] = lease.uid;
  Json spec = Json::object();
  // Absent, not empty: an empty holder is refused by some releases.
  if (!lease.holder.empty()) spec["holderIdentity"] = lease.holder;
  if (lease.duration_seconds > 0) spec["leaseDurationSeconds"] = lease.duration_seconds;
  if (lease.acquire_time) spec["acquireTime"] = MicroTime(*lease.acquire_time);
  if (lease.renew_time) spec["renewTime"] = MicroTime(*lease.renew_time);
  spec["leaseTransitions"] = lease.transitions;
  return Dump({{"apiVersion", "coordination.k8s.io/v1"},
               {"kind", "Lease"},
               {"metadata", metadata},
               {"spec", spec}},
              -1);
}

absl::StatusOr<Lease> ParseLease(std::string_view json) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_discarded()) return base::InvalidArgument("the lease is not JSON");
  absl::Status status;
  const JsonFields fields(parsed, "lease", &status);
  Lease lease;
  if (fields.Has("metadata")) {
    lease.resource_version = fields.Object("metadata").Text("resourceVersion");
    lease.uid = fields.Object("metadata").Text("uid");
  }
  if (fields.Has("spec")) {
    const JsonFields spec = fields.Object("spec");
    lease.holder = spec.Text("holderIdentity");
    lease.duration_seconds = spec.Integer<std::int32_t>("leaseDurationSeconds");
    lease.transitions = spec.Integer<std::int32_t>("leaseTransitions");
    if (spec.Has("acquireTime")) lease.acquire_time = spec.Time("acquireTime");
    if (spec.Has("renewTime")) lease.renew_time = spec.Time("renewTime");
  }
  MUSTER_RETURN_IF_ERROR(status);
  return lease;
}

}  // namespace muster::api
