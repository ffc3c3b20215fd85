// The objects, every change of them with its version, and who may still ask for old ones.
//
// One lock's worth of state: ApiDouble guards it. Versions are one counter for all kinds, as etcd's
// revision is.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/kube/kinds.h"
#include "tests/kube/selectors.h"

namespace muster::kubetest {

struct Change {
  std::uint64_t version = 0;
  const Kind* kind = nullptr;
  std::string ns;
  std::string type;  // ADDED | MODIFIED | DELETED
  Json object;       // DELETED: as it was, with the version of its deletion
  Json before;       // null for ADDED
};

// What `change` is to a watcher with these selectors; empty: nothing. An object that no longer
// matches is deleted for it, one that begins to match is added.
std::string TypeFor(const Change& change, const std::string& ns, const Selectors& selectors);

class History final {
 public:
  using Key = std::pair<std::string, std::string>;  // namespace, name

  explicit History(std::size_t window) : window_(window) {}

  std::uint64_t version() const { return version_; }
  // Versions up to this one are forgotten: a watch from below it is told 410.
  std::uint64_t compacted() const { return compacted_; }
  void Compact();  // forgets everything up to now

  const Json* Find(const Kind& kind, const std::string& ns, const std::string& name) const;
  std::vector<Json> List(const Kind& kind, const std::string& ns, const Selectors& selectors) const;
  bool HasUid(const std::string& uid) const;

  // Stores it and stamps its version; gives it back as stored.
  Json Put(const Kind& kind, Json object);
  void Remove(const Kind& kind, const std::string& ns, const std::string& name);

  // The first change after `version`; nothing: there is none yet. `version` >= compacted().
  const Change* After(std::uint64_t version) const;

  // Pages of one consistent list. Nothing: the token is unknown or too old.
  std::string KeepRest(std::uint64_t version, std::vector<Json> rest);
  std::optional<std::pair<std::uint64_t, std::vector<Json>>> TakeRest(const std::string& token);

 private:
  struct Rest {
    std::uint64_t version = 0;
    std::vector<Json> items;
  };
  void Note(Change change);

  const std::size_t window_;
  std::uint64_t version_ = 1;
  std::uint64_t compacted_ = 1;
  std::map<const Kind*, std::map<Key, Json>> objects_;
  std::deque<Change> changes_;
  std::map<std::string, Rest> rests_;
  std::uint64_t tokens_ = 0;
};

}  // namespace muster::kubetest
