// The loop under an informer: does what WatchState says and hands objects on, for one kind.
//
// One thread runs it, the caller's; everything is called on that thread.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "operator/base/rng.h"
#include "operator/kube/client.h"
#include "operator/kube/watch_state.h"
#include "operator/runtime/clock.h"

namespace muster::kube {

// What the loop tells. `item` and `object` are valid during the call only.
struct ListWatchSink {
  std::function<void(const Json& item)> on_item;  // of the list in progress
  std::function<void()> on_list_void;  // what on_item gave since the last on_list is void
  std::function<void()> on_list;       // the list is complete
  std::function<void(const Json& object)> on_put;
  std::function<void(const Json& object)> on_remove;
  std::function<void(const std::string& problem)> on_problem;
};

struct ListWatchOptions {
  Resource resource;
  std::string ns;  // empty: all
  std::string label_selector;
  std::string field_selector;
  WatchSettings watch;
  base::Duration list_timeout = std::chrono::seconds(60);  // a page
};

// Until `stop`. `clock` is asked how long a watch has lasted.
void RunListWatch(const Client& client, const ListWatchOptions& options, const ListWatchSink& sink,
                  const runtime::Clock& clock, base::SplitMix chance, std::stop_token stop);

// The key, uid and version that an object's metadata says.
struct ObjectMeta {
  ObjectKey key;
  std::string uid;
  std::string version;
};
ObjectMeta MetaOf(const Json& object);

}  // namespace muster::kube
