// Keeps a Store of projections in step with an API server, and tells each change, from one thread.
//
// `on_delta` is called on the informer's own thread, for a change that the store already shows. It
// may wait (PushTo a queue that blocks when full): the watch then stays unread, the server's line
// buffer fills, and if that lasts the watch is cut and goes on from the last version; nothing is
// lost, and nothing else waits. Whoever makes the queue closes it before the informer is destroyed.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "operator/kube/list_watch.h"
#include "operator/kube/store.h"
#include "operator/runtime/bounded_queue.h"

namespace muster::kube {

template <typename T>
using OnDelta = std::function<void(const Delta<T>&)>;

template <typename T>
OnDelta<T> PushTo(runtime::BoundedQueue<Delta<T>>& queue) {
  return [&queue](const Delta<T>& delta) { queue.Push(delta); };
}

template <typename T>
struct InformerOptions {
  ListWatchOptions list_watch;
  // An object that it cannot read is told as a problem, and taken for absent.
  std::function<absl::StatusOr<T>(const Json& object)> project;
  OnDelta<T> on_delta;              // may be empty
  std::function<void()> on_synced;  // once, after the first list's deltas; may be empty
  std::function<void(const std::string&)> on_problem;  // may be empty
  std::uint64_t seed = 0;                              // of the jitter
};

template <typename T>
class Informer final {
 public:
  // `client` and `clock` outlive it. Starts at once.
  Informer(const Client& client, const runtime::Clock& clock, InformerOptions<T> options)
      : options_(std::move(options)), thread_([this, &client, &clock](std::stop_token stop) {
          RunListWatch(client, options_.list_watch, MakeSink(), clock,
                       base::SplitMix(options_.seed), std::move(stop));
        }) {}
  Informer(const Informer&) = delete;
  Informer& operator=(const Informer&) = delete;
  // Ends the watch at once. A callback that waits must be let go first.
  ~Informer() = default;

  const Store<T>& store() const { return store_; }
  // The first list is complete, and its deltas were told.
  bool Synced() const { return synced_.load(); }
  // Ends the watch; the destructor waits for it.
  void RequestStop() { thread_.request_stop(); }

 private:
  ListWatchSink MakeSink() {
    ListWatchSink sink;
    sink.on_item = [this](const Json& item) { Read(item, listed_); };
    sink.on_list_void = [this] { listed_.clear(); };
    sink.on_list = [this] {
      Tell(store_.ReplaceAll(std::exchange(listed_, {})));
      if (!synced_.exchange(true) && options_.on_synced) options_.on_synced();
    };
    sink.on_put = [this](const Json& object) {
      std::vector<T> read;
      // What cannot be read any more is better absent than stale.
      Tell(Read(object, read) ? store_.Put(std::move(read.front()))
                              : store_.Remove(MetaOf(object).key));
    };
    sink.on_remove = [this](const Json& object) { Tell(store_.Remove(MetaOf(object).key)); };
    sink.on_problem = options_.on_problem;
    return sink;
  }

  bool Read(const Json& object, std::vector<T>& out) {
    absl::StatusOr<T> value = options_.project(object);
    if (!value.ok()) {
      if (options_.on_problem) {
        options_.on_problem(ToString(MetaOf(object).key) + ": " + base::Message(value.status()));
      }
      return false;
    }
    out.push_back(std::move(*value));
    return true;
  }

  void Tell(const std::vector<Delta<T>>& deltas) {
    if (!options_.on_delta) return;
    for (const Delta<T>& delta : deltas) options_.on_delta(delta);
  }

  const InformerOptions<T> options_;
  Store<T> store_;
  std::vector<T> listed_;  // the thread's
  std::atomic<bool> synced_{false};
  std::jthread thread_;  // the last member: it ends before what it uses
};

}  // namespace muster::kube
