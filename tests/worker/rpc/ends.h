// Both ends of the streams for tests: a server and clients that remember what they were told.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "operator/rpc/server.h"
#include "worker/rpc/client.h"

namespace muster::rpc {

// Far above what anything here takes, and far below what is wrong when it is reached.
inline constexpr std::chrono::seconds kPatience{10};

api::FromMember HelloOf(int ordinal);
api::FromMember Beat(std::uint64_t sequence);
api::FromCoordinator Ack(std::uint64_t sequence);

// Values that are looked at from several threads.
class Watched {
 public:
  // Waits until `holds` is true, at most kPatience.
  bool Await(const std::function<bool()>& holds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, holds);
  }
  template <typename F>
  auto With(const F& f) {
    std::lock_guard lock(mutex_);
    return f();
  }
  void Change(const std::function<void()>& f) {
    std::lock_guard lock(mutex_);
    f();
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

// A server that answers a Heartbeat with its BeatAck.
class TestServer : public Watched {
 public:
  explicit TestServer(int port = 0, std::size_t send_queue = 1024);
  MembershipServer& operator*() { return *server_; }
  MembershipServer* operator->() { return server_.get(); }

  // Under With() or in Await()'s condition:
  std::vector<std::pair<StreamId, api::FromMember>> received;
  std::vector<StreamId> closed;
  std::size_t Count(StreamId stream) const;  // messages of one stream
  std::vector<StreamId> Greeted() const;     // streams that said Hello, in order

 private:
  std::unique_ptr<MembershipServer> server_;
};

// A client that says Hello when its stream is up.
class TestClient : public Watched {
 public:
  explicit TestClient(std::vector<std::string> addresses, int ordinal = 0,
                      const std::function<void(CoordinatorClient::Options*)>& change = nullptr);
  TestClient(int port, int ordinal) : TestClient({"127.0.0.1:" + std::to_string(port)}, ordinal) {}
  ~TestClient() { client_->Stop(); }
  CoordinatorClient* operator->() { return client_.get(); }

  // Under With() or in Await()'s condition:
  int ups = 0;
  int downs = 0;
  std::vector<api::FromCoordinator> received;
  // Called on the client's own thread for each message, before it is remembered.
  std::function<void()> on_message;

 private:
  std::unique_ptr<CoordinatorClient> client_;
};

}  // namespace muster::rpc
