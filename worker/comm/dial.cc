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

}  // namespace

Dialled Dial(const DialOptions& options, const AbortFlag& abort) {
  absl::StatusOr<UniqueFd> fd = Connect(options.address, options.connect_deadline, abort);
  if (!fd.ok()) return {fd.status(), false};
  absl::StatusOr<Channel> channel = Secure(options, *std::move(fd));
  if (!channel.ok()) return {channel.status(), true};
  base::Time until = options.deadline;
  if (options.greeting_time) until = std::min(until, Now() + *options.greeting_time);
  if (auto status = Greet(*channel, options.greeting, until, abort); !status.ok()) {
    if (absl::IsPermissionDenied(status)) {
      options.listener->ReportRefusal("member " + base::ToString(options.peer) + " at " +
                                      options.address + ": " + base::Message(status));
    }
    return {status, true};
  }
  return {std::move(channel), true};
}

base::Duration DialPause::Next(const DialOptions& options, const Dialled& dialled) {
  const bool tls = options.listener != nullptr && options.listener->tls() != nullptr;
  if (!tls || !dialled.reached) return kRetry;
  return std::exchange(reached_, std::min(2 * reached_, kLongestPause));
}

bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsPermissionDenied(status);
}

}  // namespace muster::comm
