// Opening a data-plane connection as this process's listener would have it: plain or TLS, greeted
// and answered. Private to this folder.
#pragma once

#include <optional>
#include <string>

#include "worker/comm/channel.h"
#include "worker/comm/listener.h"

namespace muster::comm {

struct DialOptions {
  DataListener* listener = nullptr;  // gives TLS and counts refusals; null: plain TCP
  base::MemberId peer;
  std::string address;  // its host:port
  Greeting greeting;
  base::Time connect_deadline;
  base::Time deadline;
  std::optional<base::Duration> greeting_time;  // from the connection on, if less is left then
};

struct Dialled {
  absl::StatusOr<Channel> channel;
  // Somebody listens there: what went wrong was said by a peer or about one.
  bool reached = false;
  base::Duration took{};
};

Dialled Dial(const DialOptions& options, const AbortFlag& abort);

// How long to wait before the same address is dialled again. A listener that is not up yet comes in
// a moment, and so may one that has kept this member waiting; a certificate that one end does not
// believe yet may need a bundle to arrive, and each attempt costs both ends a line in their logs.
class DialPause {
 public:
  base::Duration Next(const DialOptions& options, const Dialled& dialled);

 private:
  base::Duration reached_ = std::chrono::milliseconds(20);
};

// May it go better the next time?
bool MayPass(const absl::Status& status);

}  // namespace muster::comm
