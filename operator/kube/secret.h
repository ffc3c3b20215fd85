// A Secret's data, as text in and out. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "operator/base/status.h"
#include "operator/kube/resource.h"

namespace muster::kube {

struct SecretData {
  std::string version;  // metadata.resourceVersion; empty: it is not there yet
  std::map<std::string, std::string> data;
  friend bool operator==(const SecretData&, const SecretData&) = default;
};

// InvalidArgument names the key whose value is no base64.
absl::StatusOr<SecretData> ParseSecret(std::string_view json);
// A whole Secret; with a version a replace of it is a compare-and-swap.
std::string SecretBody(const ObjectKey& key, const SecretData& secret);

}  // namespace muster::kube
