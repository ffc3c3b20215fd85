// The coordinator's end of the Unix socket.
//
// Send() is safe from every thread and does not wait for the cluster: a thread of its own writes.
// What arrives is handed to on_message on a reader thread; on_closed is called there once when the
// cluster is gone, which for a coordinator is the end of the world.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "operator/base/status.h"
#include "operator/local/protocol.h"
#include "operator/local/unique_fd.h"
#include "operator/runtime/bounded_queue.h"
#include "operator/runtime/clock.h"

namespace muster::local {

class ApiClient final {
 public:
  struct Options {
    std::function<void(ClusterMessage)> on_message;
    std::function<void(const std::string& why)> on_closed;
  };
  static absl::StatusOr<std::unique_ptr<ApiClient>> Connect(const std::string& path,
                                                            Options options);
  // Over a connected stream socket.
  static std::unique_ptr<ApiClient> Adopt(UniqueFd fd, Options options);
  ~ApiClient();  // writes what was sent, up to a second, and closes, also when nobody reads
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  void Send(const CoordinatorRequest& request);

 private:
  ApiClient(UniqueFd fd, Options options);
  void ReadLoop();
  void WriteLoop();
  bool WriteWhole(std::string_view line);

  const UniqueFd fd_;
  const Options options_;
  const runtime::RealClock clock_;
  // every thread of the coordinator -> writer, 4096 lines, when full: the sender waits (the cluster
  // reads always, so this means that the machine is overloaded and slowing down is right).
  runtime::BoundedQueue<std::string> outgoing_{4096, runtime::WhenFull::kBlock};
  std::optional<base::Time> give_up_;  // the writer's: a second after it has seen the queue closed
  std::jthread reader_;
  std::jthread writer_;
};

}  // namespace muster::local
