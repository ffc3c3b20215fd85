// Reads the fields of one entry of a kubeconfig. Pure. Internal to operator/kube.
//
// A field that is absent or null is empty. Errors name the entry ("user 'jane'"), the field and,
// but for secrets, the value.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/api/node.h"
#include "operator/base/status.h"

namespace muster::kube {

// The value under `key`; nothing when it is not there, or `node` is no map.
const api::Node* FindEntry(const api::Node& node, std::string_view key);

class KubeconfigFields {
 public:
  // `node` outlives it. Relative paths begin at `folder`.
  KubeconfigFields(std::string who, const api::Node& node, std::string folder)
      : who_(std::move(who)), node_(node), folder_(std::move(folder)) {}

  absl::Status CheckMap() const;
  // What kubectl may know and we do not: refused by name when it is set.
  absl::Status Refuse(std::initializer_list<const char*> keys) const;

  const api::Node* Find(const char* key) const { return FindEntry(node_, key); }
  absl::StatusOr<std::string> Text(const char* key) const;
  absl::StatusOr<bool> Bool(const char* key) const;
  // Decoded from base64.
  absl::StatusOr<std::string> Data(const char* key) const;
  absl::StatusOr<std::string> Path(const char* key) const;
  absl::StatusOr<std::vector<std::string>> Texts(const char* key) const;
  // A list of {name, value}.
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> NamedValues(
      const char* key) const;

  std::string Absolute(const std::string& path) const;
  absl::Status Wrong(const char* key, std::string_view what) const;
  const std::string& who() const { return who_; }
  const std::string& folder() const { return folder_; }

 private:
  const std::string who_;
  const api::Node& node_;
  const std::string folder_;
};

// Nothing when it is not base64.
absl::StatusOr<std::string> DecodeBase64(std::string_view text);
std::string EncodeBase64(std::string_view bytes);

}  // namespace muster::kube
