// The stream of a parent to its coordinator: says who it is, passes on whom to kill, and answers.
//
// Thread rule: `on_evicted` and `on_reached` run on a thread of the stream, one call at a time; SayKilled
// from any. No beats: a parent is no member, and nobody misses it.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/runtime/log.h"
#include "worker/app/options.h"

namespace muster::rpc {
class CoordinatorClient;
class Credentials;
}  // namespace muster::rpc

namespace muster::app {

class ParentStream final {
 public:
  struct Options {
    WorkerOptions worker;  // of the pod: `member` is its id
    std::int32_t processes = 2;
    std::function<void(std::vector<base::MemberId>)> on_evicted;
    std::function<void(bool)> on_reached;  // a stream came up, or is gone
  };
  // Begins to dial at once. InvalidArgument: the token, or an address.
  static absl::StatusOr<std::unique_ptr<ParentStream>> Create(Options options,
                                                              const runtime::Logger& log);
  ~ParentStream();
  // Without a stream nothing is said: the next one's orders name the member again.
  void SayKilled(base::MemberId member);
  ParentStream(const ParentStream&) = delete;
  ParentStream& operator=(const ParentStream&) = delete;

 private:
  ParentStream(Options options, const runtime::Logger& log);
  void SayHello();

  const Options options_;
  const runtime::Logger& log_;
  std::unique_ptr<rpc::Credentials> credentials_;
  std::unique_ptr<rpc::CoordinatorClient> client_;  // after the credentials: it uses them
  // The first stream may be up before Create() has its client.
  std::promise<void> has_client_;
  std::shared_future<void> client_is_there_ = has_client_.get_future().share();
};

}  // namespace muster::app
