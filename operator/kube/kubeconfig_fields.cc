#include "operator/kube/kubeconfig_fields.h"

#include <openssl/evp.h>

#include <algorithm>

namespace muster::kube {

using api::Node;

const Node* FindEntry(const Node& node, std::string_view key) {
  for (const api::NodeEntry& entry : node.entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

absl::StatusOr<std::string> DecodeBase64(std::string_view text) {
  std::string packed;
  for (const char c : text) {
    if (c != '\n' && c != '\r' && c != ' ') packed += c;
  }
  // OpenSSL counts padding as bytes, and refuses what is no multiple of four.
  const std::size_t padding = packed.ends_with("==") ? 2 : packed.ends_with("=") ? 1 : 0;
  std::string out(packed.size() / 4 * 3, '\0');
  const bool odd = packed.size() % 4 != 0 || packed.find('=') < packed.size() - padding;
  const int size = odd ? -1
                       : EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                         reinterpret_cast<const unsigned char*>(packed.data()),
                                         static_cast<int>(packed.size()));
  if (size < static_cast<int>(padding)) return base::InvalidArgument("is not base64");
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

std::string EncodeBase64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

absl::Status KubeconfigFields::Wrong(const char* key, std::string_view what) const {
  return base::InvalidArgument(who_ + ": " + key + " " + std::string(what));
}

absl::Status KubeconfigFields::CheckMap() const {
  if (node_.kind == Node::Kind::kMap) return absl::OkStatus();
  return base::InvalidArgument(who_ + " is not a map of fields");
}

absl::Status KubeconfigFields::Refuse(std::initializer_list<const char*> keys) const {
  for (const char* key : keys) {
    const Node* found = Find(key);
    const bool set = found != nullptr && found->kind != Node::Kind::kNull &&
                     !(found->kind == Node::Kind::kScalar && found->text.empty());
    if (set) return Wrong(key, "is not supported by muster");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> KubeconfigFields::Text(const char* key) const {
  const Node* found = Find(key);
  if (found == nullptr || found->kind == Node::Kind::kNull) return std::string();
  if (found->kind != Node::Kind::kScalar) return Wrong(key, "is not a text");
  return found->text;
}

absl::StatusOr<bool> KubeconfigFields::Bool(const char* key) const {
  MUSTER_ASSIGN_OR_RETURN(const std::string text, Text(key));
  if (text.empty() || text == "false") return false;
  if (text == "true") return true;
  return Wrong(key, "is '" + text + "'; allowed are true and false");
}

absl::StatusOr<std::string> KubeconfigFields::Data(const char* key) const {
  MUSTER_ASSIGN_OR_RETURN(const std::string text, Text(key));
  absl::StatusOr<std::string> decoded = DecodeBase64(text);
  if (!decoded.ok()) return Wrong(key, base::Message(decoded.status()));
  return decoded;
}

std::string KubeconfigFields::Absolute(const std::string& path) const {
  return path.empty() || path.starts_with('/') ? path : folder_ + "/" + path;
}

absl::StatusOr<std::string> KubeconfigFields::Path(const char* key) const {
  MUSTER_ASSIGN_OR_RETURN(const std::string text, Text(key));
  return Absolute(text);
}

absl::StatusOr<std::vector<std::string>> KubeconfigFields::Texts(const char* key) const {
  std::vector<std::string> out;
  const Node* found = Find(key);
  if (found == nullptr || found->kind == Node::Kind::kNull) return out;
  if (found->kind != Node::Kind::kList) return Wrong(key, "is not a list");
  for (const Node& item : found->items) {
    if (item.kind != Node::Kind::kScalar) return Wrong(key, "holds something that is no text");
    out.push_back(item.text);
  }
  return out;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> KubeconfigFields::NamedValues(
    const char* key) const {
  std::vector<std::pair<std::string, std::string>> out;
  const Node* found = Find(key);
  if (found == nullptr || found->kind == Node::Kind::kNull) return out;
  if (found->kind != Node::Kind::kList) return Wrong(key, "is not a list");
  for (const Node& item : found->items) {
    const Node* name = FindEntry(item, "name");
    const Node* value = FindEntry(item, "value");
    if (name == nullptr || name->text.empty() || value == nullptr) {
      return Wrong(key, "holds something that is not {name, value}");
    }
    out.emplace_back(name->text, value->text);
  }
  return out;
}

}  // namespace muster::kube
