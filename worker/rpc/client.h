// The member's end of the stream to the coordinator: reconnects for ever, beats whatever else
// happens.
//
// Thread rule: Send and Stop are safe from every thread. on_up, on_down and on_message run one at a
// time on a thread of the client and may take their time: beats and reconnections do not wait for
// them. make_beat runs on the beat thread and must be quick; on_trouble may come on any thread of
// the client. Invariants: on_up and on_down
// alternate, beginning with on_up; on_message comes only between them. The first message on every
// stream is a Hello: until the application has sent one after on_up, Send refuses everything else
// and no beat is sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/api/messages.h"
#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::rpc {

class Credentials;
class NameService;

class CoordinatorClient final {
 public:
  struct Options {
    // HOST:PORT; all addresses of all hosts are dialled at once, the first that answers wins. Who
    // refuses is asked again soon; who says nothing is waited for without holding the others up.
    std::vector<std::string> addresses = {};
    // What is shown and believed; it outlives the client. Null, or without a CA file: plain text.
    // The client asks for a certificate over the first stream that answers, and for the next one in
    // time; the application never sees these messages.
    Credentials* credentials = nullptr;
    std::shared_ptr<NameService> names = nullptr;  // null: the machine's
    std::function<void()> on_up = nullptr;         // a stream is open: say Hello
    std::function<void()> on_down = nullptr;
    std::function<void(api::FromCoordinator)> on_message = nullptr;
    // Why there is no stream, as a sentence; each once until another comes. May be null.
    std::function<void(const std::string&)> on_trouble = nullptr;
    // Nothing: no beat now. Called every `beat_interval` while a stream is open and greeted.
    std::function<std::optional<api::FromMember>()> make_beat = nullptr;
    base::Duration beat_interval = std::chrono::milliseconds(200);
    // Of one address. The others are dialled on meanwhile; this one is not given up sooner, because
    // a coordinator that all members come back to at once has a long queue of handshakes, and one
    // that is begun anew stands at its end again.
    base::Duration attempt_timeout = std::chrono::seconds(5);
    // To gRPC, behind the one write in flight. When full: the stream is cut and made anew.
    std::size_t send_queue = 1024;
    // From gRPC to the callbacks. When full: reading pauses, and the sender's queue fills in its
    // turn.
    std::size_t receive_queue = 256;
  };
  struct Counts {
    std::uint64_t connected = 0;  // streams that came up
    std::uint64_t beats = 0;
    std::uint64_t malformed = 0;     // messages that did not convert; each cuts its stream
    std::uint64_t certificates = 0;  // taken, and bundles alone
  };

  // Begins to dial at once. InvalidArgument names an address that is not HOST:PORT.
  static absl::StatusOr<std::unique_ptr<CoordinatorClient>> Create(Options options);
  ~CoordinatorClient();  // Stop(), if it was not called
  CoordinatorClient(const CoordinatorClient&) = delete;
  CoordinatorClient& operator=(const CoordinatorClient&) = delete;

  // False while no stream is open and greeted (a Hello needs only an open one): the message is
  // dropped.
  bool Send(const api::FromMember& message);
  // Gives what is queued up to 100 ms to leave, cuts the stream, and waits for a callback in
  // progress; no callback runs after it. Not to be called from a callback. Idempotent.
  void Stop();

  Counts counts() const;

 private:
  struct Impl;
  explicit CoordinatorClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::rpc
