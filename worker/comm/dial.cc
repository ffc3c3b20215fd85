#include "worker/comm/dial.h"

#include <algorithm>
#include <utility>

namespace muster::comm {
namespace {

constexpr base::Duration kRetry = std::chrono::milliseconds(10);
constexpr base::Duration kLongestPause = std::chrono::seconds(2);

absl::StatusOr<Channel> Secure(const DialOptions& options, UniqueFd fd) {
  Tls* const tls = options.listener != nullptr ? options.listener->tls() : nullptr;
  if (tls == nullptr) return Channel(std::move(fd));
  return tls->Begin(std::move(fd), options.peer);
}

absl::StatusOr<Channel> Speak(const DialOptions& options, UniqueFd fd, const AbortFlag& abort) {
  MUSTER_ASSIGN_OR_RETURN(Channel channel, Secure(options, std::move(fd)));
  base::Time until = options.deadline;
  if (options.greeting_time) until = std::min(until, Now() + *options.greeting_time);
  absl::Status status = Greet(channel, options.greeting, until, abort);
  if (status.ok()) return channel;
  if (absl::IsPermissionDenied(status)) {
    options.listener->ReportRefusal("member " + base::ToString(options.peer) + " at " +
                                    options.address + ": " + base::Message(status));
  }
  return status;
}

}  // namespace

Dialled Dial(const DialOptions& options, const AbortFlag& abort) {
  const base::Time begun = Now();
  absl::StatusOr<UniqueFd> fd = Connect(options.address, options.connect_deadline, abort);
  if (!fd.ok()) return {fd.status(), false, Now() - begun};
  absl::StatusOr<Channel> channel = Speak(options, *std::move(fd), abort);
  return {std::move(channel), true, Now() - begun};
}

base::Duration DialPause::Next(const DialOptions& options, const Dialled& dialled) {
  const bool tls = options.listener != nullptr && options.listener->tls() != nullptr;
  if (!tls || !dialled.reached || dialled.took > kLongestPause) return kRetry;
  return std::exchange(reached_, std::min(2 * reached_, kLongestPause));
}

bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsPermissionDenied(status);
}

}  // namespace muster::comm
