// What an informer knows of a kind: a projection of each object, by key, and by an index if asked
// for.
//
// Any thread reads; the informer's alone writes. What is read is a value that never changes. An
// entry costs its projection and some 200 bytes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "operator/kube/resource.h"
#include "operator/runtime/mutex.h"

namespace muster::kube {

template <typename T>
struct Stored {
  ObjectKey key;
  std::string uid;
  std::string version;  // metadata.resourceVersion
  T value;
};
template <typename T>
using StoredPtr = std::shared_ptr<const Stored<T>>;

// One change. `before` is empty for what is new, `after` for what is gone.
template <typename T>
struct Delta {
  StoredPtr<T> before;
  StoredPtr<T> after;
  bool added() const { return before == nullptr; }
  bool removed() const { return after == nullptr; }
};

template <typename T>
class Store {
 public:
  // `index` names the group that a value belongs to (its job, say); empty: none.
  explicit Store(std::function<std::string(const T&)> index = nullptr) : index_(std::move(index)) {}
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  StoredPtr<T> Find(const ObjectKey& key) const {
    runtime::MutexLock lock(mutex_);
    auto it = entries_.find(key);
    return it == entries_.end() ? nullptr : it->second;
  }
  // In the order of their keys.
  std::vector<StoredPtr<T>> All() const {
    runtime::MutexLock lock(mutex_);
    std::vector<StoredPtr<T>> out;
    out.reserve(entries_.size());
    for (const auto& [key, entry] : entries_) out.push_back(entry);
    return out;
  }
  std::vector<StoredPtr<T>> InGroup(const std::string& group) const {
    runtime::MutexLock lock(mutex_);
    std::vector<StoredPtr<T>> out;
    auto it = groups_.find(group);
    if (it == groups_.end()) return out;
    for (const ObjectKey& key : it->second) out.push_back(entries_.at(key));
    return out;
  }
  std::size_t size() const {
    runtime::MutexLock lock(mutex_);
    return entries_.size();
  }

  // ---- the informer's. Deltas come in the order in which they are to be told.

  // Another uid under the same name is a removal and an addition. A value that is equal gives no
  // delta: only its version moves on.
  std::vector<Delta<T>> Put(Stored<T> entry) {
    runtime::MutexLock lock(mutex_);
    std::vector<Delta<T>> deltas;
    PutLocked(std::move(entry), deltas);
    return deltas;
  }
  std::vector<Delta<T>> Remove(const ObjectKey& key) {
    runtime::MutexLock lock(mutex_);
    std::vector<Delta<T>> deltas;
    RemoveLocked(key, deltas);
    return deltas;
  }
  // What is not in `entries` is gone: removals first, because what replaces them may be among the
  // rest.
  std::vector<Delta<T>> ReplaceAll(std::vector<Stored<T>> entries) {
    runtime::MutexLock lock(mutex_);
    std::vector<Delta<T>> deltas;
    std::set<ObjectKey> listed;
    for (const Stored<T>& entry : entries) listed.insert(entry.key);
    std::vector<ObjectKey> gone;
    for (const auto& [key, entry] : entries_) {
      if (!listed.contains(key)) gone.push_back(key);
    }
    for (const ObjectKey& key : gone) RemoveLocked(key, deltas);
    for (Stored<T>& entry : entries) PutLocked(std::move(entry), deltas);
    return deltas;
  }

 private:
  void PutLocked(Stored<T> entry, std::vector<Delta<T>>& deltas) MUSTER_REQUIRES(mutex_) {
    auto it = entries_.find(entry.key);
    if (it != entries_.end() && it->second->uid != entry.uid) {
      RemoveLocked(entry.key, deltas);
      it = entries_.end();
    }
    auto after = std::make_shared<const Stored<T>>(std::move(entry));
    if (it == entries_.end()) {
      entries_.emplace(after->key, after);
      if (index_) groups_[index_(after->value)].insert(after->key);
      deltas.push_back({nullptr, after});
      return;
    }
    const StoredPtr<T> before = std::exchange(it->second, after);
    if (before->value == after->value) return;
    if (index_) {
      Ungroup(*before);
      groups_[index_(after->value)].insert(after->key);
    }
    deltas.push_back({before, after});
  }
  void RemoveLocked(const ObjectKey& key, std::vector<Delta<T>>& deltas) MUSTER_REQUIRES(mutex_) {
    auto it = entries_.find(key);
    if (it == entries_.end()) return;
    const StoredPtr<T> before = it->second;
    entries_.erase(it);
    if (index_) Ungroup(*before);
    deltas.push_back({before, nullptr});
  }
  void Ungroup(const Stored<T>& entry) MUSTER_REQUIRES(mutex_) {
    auto it = groups_.find(index_(entry.value));
    it->second.erase(entry.key);
    if (it->second.empty()) groups_.erase(it);
  }

  const std::function<std::string(const T&)> index_;
  mutable runtime::Mutex mutex_;
  std::map<ObjectKey, StoredPtr<T>> entries_ MUSTER_GUARDED_BY(mutex_);
  std::map<std::string, std::set<ObjectKey>> groups_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::kube
