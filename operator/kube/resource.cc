#include "operator/kube/resource.h"

namespace muster::kube {

std::string ApiVersion(const Resource& resource) {
  if (resource.group.empty()) return std::string(resource.version);
  return std::string(resource.group) + "/" + std::string(resource.version);
}

std::string ToString(const ObjectKey& key) {
  return key.ns.empty() ? key.name : key.ns + "/" + key.name;
}

std::string PercentEncoded(std::string_view text) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::string CollectionPath(const Resource& resource, std::string_view ns) {
  std::string path = (resource.group.empty() ? "/api/" : "/apis/") + ApiVersion(resource);
  if (resource.namespaced && !ns.empty()) path += "/namespaces/" + PercentEncoded(ns);
  return path + "/" + std::string(resource.plural);
}

std::string ObjectPath(const Resource& resource, const ObjectKey& key,
                       std::string_view subresource) {
  std::string path = CollectionPath(resource, key.ns) + "/" + PercentEncoded(key.name);
  if (!subresource.empty()) path += "/" + std::string(subresource);
  return path;
}

std::string RequestName(std::string_view verb, const Resource& resource, std::string_view rest) {
  std::string text = std::string(verb) + " " + std::string(resource.plural);
  if (!rest.empty()) text += " " + std::string(rest);
  return text;
}

std::string Target(std::string path, const Query& query) {
  char separator = '?';
  for (const auto& [name, value] : query) {
    if (value.empty()) continue;
    path += separator + name + "=" + PercentEncoded(value);
    separator = '&';
  }
  return path;
}

}  // namespace muster::kube
