#include "tests/kube/history.h"

#include <algorithm>

namespace muster::kubetest {

std::string TypeFor(const Change& change, const std::string& ns, const Selectors& selectors) {
  if (!ns.empty() && change.ns != ns) return "";
  const bool was = !change.before.is_null() && selectors.Matches(change.before);
  const bool is = change.type != "DELETED" && selectors.Matches(change.object);
  if (was) return is ? "MODIFIED" : "DELETED";
  return is ? "ADDED" : "";
}

void History::Compact() {
  changes_.clear();
  rests_.clear();
  compacted_ = version_;
}

const Json* History::Find(const Kind& kind, const std::string& ns, const std::string& name) const {
  const auto all = objects_.find(&kind);
  if (all == objects_.end()) return nullptr;
  const auto at = all->second.find({ns, name});
  return at == all->second.end() ? nullptr : &at->second;
}

std::vector<Json> History::List(const Kind& kind, const std::string& ns,
                                const Selectors& selectors) const {
  std::vector<Json> out;
  const auto all = objects_.find(&kind);
  if (all == objects_.end()) return out;
  for (const auto& [key, object] : all->second) {
    if ((ns.empty() || key.first == ns) && selectors.Matches(object)) out.push_back(object);
  }
  return out;
}

bool History::HasUid(const std::string& uid) const {
  return std::ranges::any_of(objects_, [&uid](const auto& kind) {
    return std::ranges::any_of(kind.second, [&uid](const auto& entry) {
      return entry.second["metadata"].value("uid", "") == uid;
    });
  });
}

Json History::Put(const Kind& kind, Json object) {
  Json& metadata = object["metadata"];
  const Key key = {metadata.value("namespace", ""), metadata.value("name", "")};
  // What is empty is left out, as an API server does.
  for (const char* field : {"labels", "annotations", "finalizers", "ownerReferences"}) {
    if (metadata.contains(field) && metadata[field].empty()) metadata.erase(field);
  }
  metadata["resourceVersion"] = std::to_string(++version_);
  auto [at, added] = objects_[&kind].try_emplace(key);
  Json before = added ? Json() : std::move(at->second);
  at->second = object;
  Note({version_, &kind, key.first, added ? "ADDED" : "MODIFIED", object, std::move(before)});
  return object;
}

void History::Remove(const Kind& kind, const std::string& ns, const std::string& name) {
  const auto node = objects_[&kind].extract({ns, name});
  if (node.empty()) return;
  Json object = node.mapped();
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  Note({version_, &kind, ns, "DELETED", std::move(object), node.mapped()});
}

void History::Note(Change change) {
  changes_.push_back(std::move(change));
  while (changes_.size() > window_) {
    compacted_ = changes_.front().version;
    changes_.pop_front();
  }
}

const Change* History::After(std::uint64_t version) const {
  const auto first = std::ranges::upper_bound(changes_, version, {}, &Change::version);
  return first == changes_.end() ? nullptr : &*first;
}

std::string History::KeepRest(std::uint64_t version, std::vector<Json> rest) {
  const std::string token = "rest-" + std::to_string(++tokens_);
  rests_[token] = {version, std::move(rest)};
  return token;
}

std::optional<std::pair<std::uint64_t, std::vector<Json>>> History::TakeRest(
    const std::string& token) {
  const auto at = rests_.find(token);
  if (at == rests_.end()) return std::nullopt;
  return std::pair(at->second.version, at->second.items);
}

}  // namespace muster::kubetest
