// DataListener: the one data-plane port of a process, shared by ring and state transfer.
//
// A thread of its own accepts, reads a bounded greeting under a deadline and hands the socket to
// whoever registered for its (kind, epoch). A peer of another job, token or protocol is refused
// with a sentence that it can read; one of an epoch older than a fence likewise. A neighbour that
// is faster than our own view is parked: at most kMaxParked sockets, each for park_time, the oldest
// refused first. With TLS the handshake is under the greeting's deadline too, and a greeting that
// names another member than the certificate is refused.
//
// Thread rule: every method from any thread. One mutex guards waiters and parked sockets, and
// handlers run under it, on the listener's thread or the one that registers: they must not block or
// call back.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/base/time.h"
#include "worker/comm/channel.h"
#include "worker/comm/greeting.h"
#include "worker/comm/tls.h"

namespace muster::comm {

struct ListenerOptions {
  std::string job_uid;
  std::string token;
  std::string bind_host = "127.0.0.1";  // that others reach, too: the pod's IP in a cluster
  std::uint16_t port = 0;               // 0: any free one
  base::Duration greeting_time = std::chrono::seconds(2);  // a peer that says nothing is closed
  base::Duration park_time = std::chrono::seconds(10);
  Tls* tls = nullptr;  // outlives the listener; null: plain TCP
  // A refusal, as a sentence for the log. From any thread, one at a time; may be empty.
  std::function<void(const std::string&)> on_refused;
};

class DataListener {
 public:
  static constexpr std::size_t kMaxParked = 256;
  static constexpr std::size_t kMaxGreeting = 64;  // sockets whose greeting is awaited at one time

  // Takes over a connection whose greeting was accepted (and answered).
  using Handler = std::function<void(Channel channel, const Greeting& greeting)>;

  static absl::StatusOr<std::unique_ptr<DataListener>> Create(ListenerOptions options);
  ~DataListener();
  DataListener(const DataListener&) = delete;
  DataListener& operator=(const DataListener&) = delete;

  // host:port for the view.
  const std::string& address() const;
  const std::string& job_uid() const;
  const std::string& token() const;
  Tls* tls() const;

  // Sockets of this kind and epoch go to `handler` until Unregister returns; parked ones at once.
  // One handler for a (kind, epoch): a second replaces the first.
  void Register(Kind kind, base::Epoch epoch, Handler handler);
  // All sockets of a kind, whatever their epoch.
  void RegisterKind(Kind kind, Handler handler);
  // No call of the handler is in progress or follows once this returned. Not from within a handler.
  void Unregister(Kind kind, base::Epoch epoch);
  void UnregisterKind(Kind kind);
  // Ring greetings of an epoch below this are refused as stale from now on.
  void Fence(base::Epoch oldest);
  // Peers refused so far.
  std::int64_t refused() const;
  // Counts and tells of one whom this member has dialled and does not believe.
  void ReportRefusal(const std::string& sentence);

 private:
  struct State;
  explicit DataListener(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace muster::comm
