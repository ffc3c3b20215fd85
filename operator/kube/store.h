// What an informer knows of a kind: a projection of each object, by key.
//
// Any thread reads; the informer's alone writes. What is read is a value that never changes. An
// entry costs its projection and some 150 bytes.
#pragma once

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

// Entries in the order of their keys, which are not kept a second time.
template <typename T>
struct ByKey {
  using is_transparent = void;
  bool operator()(const StoredPtr<T>& a, const StoredPtr<T>& b) const { return a->key < b->key; }
  bool operator()(const StoredPtr<T>& a, const ObjectKey& b) const { return a->key < b; }
  bool operator()(const ObjectKey& a, const StoredPtr<T>& b) const { return a < b->key; }
};

template <typename T>
class Store {
 public:
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  StoredPtr<T> Find(const ObjectKey& key) const {
    runtime::MutexLock lock(mutex_);
    auto it = entries_.find(key);
    return it == entries_.end() ? nullptr : *it;
  }
  // In the order of their keys.
  std::vector<StoredPtr<T>> All() const {
    runtime::MutexLock lock(mutex_);
    return {entries_.begin(), entries_.end()};
  }
  std::size_t size() const {
    runtime::MutexLock lock(mutex_);
    return entries_.size();
  }

  // ---- the informer's. Deltas come in the order in which they are to be told.

  // Another uid under the same name is a removal and an addition. A value that is equal gives no
  // delta, and the entry that is known stays: whoever was told of it has the same, and not a copy.
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
    for (const StoredPtr<T>& entry : entries_) {
      if (!listed.contains(entry->key)) gone.push_back(entry->key);
    }
    for (const ObjectKey& key : gone) RemoveLocked(key, deltas);
    for (Stored<T>& entry : entries) PutLocked(std::move(entry), deltas);
    return deltas;
  }

 private:
  using Entries = std::set<StoredPtr<T>, ByKey<T>>;

  void PutLocked(Stored<T> entry, std::vector<Delta<T>>& deltas) MUSTER_REQUIRES(mutex_) {
    auto it = entries_.find(entry.key);
    if (it != entries_.end() && (*it)->uid != entry.uid) {
      RemoveLocked(entry.key, deltas);
      it = entries_.end();
    }
    StoredPtr<T> before;
    if (it != entries_.end()) {
      if ((*it)->value == entry.value) return;
      before = *it;
      entries_.erase(it);
    }
    const auto after = std::make_shared<const Stored<T>>(std::move(entry));
    entries_.insert(after);
    deltas.push_back({before, after});
  }
  void RemoveLocked(const ObjectKey& key, std::vector<Delta<T>>& deltas) MUSTER_REQUIRES(mutex_) {
    auto it = entries_.find(key);
    if (it == entries_.end()) return;
    deltas.push_back({*it, nullptr});
    entries_.erase(it);
  }

  mutable runtime::Mutex mutex_;
  Entries entries_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::kube
