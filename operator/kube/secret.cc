#include "operator/kube/secret.h"

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "operator/kube/json.h"
#include "operator/kube/labels.h"

namespace muster::kube {

absl::StatusOr<SecretData> ParseSecret(std::string_view json) {
  MUSTER_ASSIGN_OR_RETURN(const Json secret, ParseObject(json, "the Secret"));
  SecretData out;
  out.version = TextAt(secret, {"metadata", "resourceVersion"});
  for (const auto& [key, value] : At(secret, {"data"}).items()) {
    std::string& text = out.data[key];
    if (!value.is_string() || !absl::Base64Unescape(value.get<std::string>(), &text)) {
      return base::InvalidArgument("data." + key + " of Secret " +
                                   TextAt(secret, {"metadata", "name"}) + " is no base64");
    }
  }
  return out;
}

std::string SecretBody(const ObjectKey& key, const SecretData& secret) {
  Json metadata = {
      {"name", key.name}, {"namespace", key.ns}, {"labels", {{kManagedByLabel, kManagedBy}}}};
  if (!secret.version.empty()) metadata["resourceVersion"] = secret.version;
  Json data = Json::object();
  for (const auto& [name, text] : secret.data) data[name] = absl::Base64Escape(text);
  return Dump({{"apiVersion", "v1"},
               {"kind", "Secret"},
               {"type", "Opaque"},
               {"metadata", std::move(metadata)},
               {"data", std::move(data)}});
}

}  // namespace muster::kube
