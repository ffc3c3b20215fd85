// What an informer knows of a kind: a projection of each object, by key.
//
// Any thread reads; the informer's alone writes. What is read is a value that never changes. An
// entry costs its projection and some 60 bytes. Of T is asked:
//   KeyView Key() const             which object it is
//   const std::string& Uid() const  and which of those that had its name
//   operator==                      nothing that anybody is told of has changed
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
using StoredPtr = std::shared_ptr<const T>;

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
  bool operator()(const StoredPtr<T>& a, const StoredPtr<T>& b) const {
    return a->Key() < b->Key();
  }
  bool operator()(const StoredPtr<T>& a, const KeyView& b) const { return a->Key() < b; }
  bool operator()(const KeyView& a, const StoredPtr<T>& b) const { return a < b->Key(); }
};

template <typename T>
class Store {
 public:
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  StoredPtr<T> Find(const ObjectKey& key) const {
    runtime::MutexLock lock(mutex_);
    auto it = entries_.find(KeyView(key));
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
  std::vector<Delta<T>> Put(T value) {
    runtime::MutexLock lock(mutex_);
    std::vector<Delta<T>> deltas;
    PutLocked(std::move(value), deltas);
    return deltas;
  }
  std::vector<Delta<T>> Remove(const ObjectKey& key) {
    runtime::MutexLock lock(mutex_);
    std::vector<Delta<T>> deltas;
    auto it = entries_.find(KeyView(key));
    if (it != entries_.end()) RemoveLocked(it, deltas);
    return deltas;
  }
  // What is not in `values` is gone: removals first, because what replaces them may be among the
  // rest.
  std::vector<Delta<T>> ReplaceAll(std::vector<T> values) {
    runtime::MutexLock lock(mutex_);
    std::vector<Delta<T>> deltas;
    std::set<KeyView> listed;
    for (const T& value : values) listed.insert(value.Key());
    for (auto it = entries_.begin(); it != entries_.end();) {
      const auto here = it++;
      if (!listed.contains((*here)->Key())) RemoveLocked(here, deltas);
    }
    for (T& value : values) PutLocked(std::move(value), deltas);
    return deltas;
  }

 private:
  using Entries = std::set<StoredPtr<T>, ByKey<T>>;

  void PutLocked(T value, std::vector<Delta<T>>& deltas) MUSTER_REQUIRES(mutex_) {
    auto it = entries_.find(value.Key());
    StoredPtr<T> before;
    if (it != entries_.end() && (*it)->Uid() != value.Uid()) {
      RemoveLocked(it, deltas);
    } else if (it != entries_.end()) {
      if (**it == value) return;
      before = *it;
      entries_.erase(it);
    }
    const auto after = std::make_shared<const T>(std::move(value));
    entries_.insert(after);
    deltas.push_back({before, after});
  }
  void RemoveLocked(typename Entries::iterator entry, std::vector<Delta<T>>& deltas)
      MUSTER_REQUIRES(mutex_) {
    deltas.push_back({*entry, nullptr});
    entries_.erase(entry);
  }

  mutable runtime::Mutex mutex_;
  Entries entries_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::kube
