#include "worker/comm/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <utility>

#include "worker/comm/tls_session.h"

namespace muster::comm {

Channel::Channel() = default;
Channel::Channel(UniqueFd fd) : fd_(std::move(fd)) {}
Channel::Channel(UniqueFd fd, std::unique_ptr<TlsSession> session)
    : fd_(std::move(fd)), session_(std::move(session)) {}
Channel::~Channel() = default;
Channel::Channel(Channel&& other) noexcept = default;
Channel& Channel::operator=(Channel&& other) noexcept = default;

ssize_t Channel::Read(std::span<std::byte> into) {
  if (session_ != nullptr) return session_->Read(into);
  return recv(fd_.get(), into.data(), into.size(), MSG_DONTWAIT);
}

ssize_t Channel::Write(std::span<const std::byte> from) {
  if (session_ != nullptr) return session_->Write(from);
  return send(fd_.get(), from.data(), from.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

short Channel::read_waits_for() const {
  return session_ != nullptr ? session_->read_waits_for() : POLLIN;
}
short Channel::write_waits_for() const {
  return session_ != nullptr ? session_->write_waits_for() : POLLOUT;
}
bool Channel::buffered() const { return session_ != nullptr && session_->buffered(); }
const api::JobMember* Channel::peer() const {
  return session_ != nullptr ? session_->peer() : nullptr;
}

std::string Channel::Trouble() const {
  const int error = errno;
  if (session_ != nullptr && !session_->trouble().empty()) return session_->trouble();
  return base::ErrnoText(error);
}

absl::Status Channel::Error() const {
  const std::string trouble = Trouble();
  const bool refused = session_ != nullptr && session_->refused();
  return refused ? base::PermissionDenied(trouble) : base::Unavailable(trouble);
}

absl::Status WriteAll(Channel& channel, std::span<const std::byte> bytes, base::Time deadline,
                      const AbortFlag& abort) {
  while (!bytes.empty()) {
    const ssize_t n = channel.Write(bytes);
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (Channel::Blocked()) {
      MUSTER_RETURN_IF_ERROR(WaitReady(channel.get(), channel.write_waits_for(), deadline, abort));
    } else {
      return channel.Error();
    }
    if (abort.is_set()) return base::Aborted("aborted");
  }
  return absl::OkStatus();
}

absl::Status ReadAll(Channel& channel, std::span<std::byte> bytes, base::Time deadline,
                     const AbortFlag& abort) {
  while (!bytes.empty()) {
    const ssize_t n = channel.Read(bytes);
    if (n > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (n == 0) {
      return base::Unavailable("the peer closed the connection");
    } else if (Channel::Blocked()) {
      MUSTER_RETURN_IF_ERROR(WaitReady(channel.get(), channel.read_waits_for(), deadline, abort));
    } else {
      return channel.Error();
    }
    if (abort.is_set()) return base::Aborted("aborted");
  }
  return absl::OkStatus();
}

absl::Status Greet(Channel& channel, const Greeting& greeting, base::Time deadline,
                   const AbortFlag& abort) {
  const std::string hello = EncodeGreeting(greeting);
  MUSTER_RETURN_IF_ERROR(WriteAll(channel, std::as_bytes(std::span(hello)), deadline, abort));
  std::uint8_t answer[2] = {};
  MUSTER_RETURN_IF_ERROR(
      ReadAll(channel, std::as_writable_bytes(std::span(answer)), deadline, abort));
  if (answer[0] == static_cast<std::uint8_t>(Verdict::kWelcome)) return absl::OkStatus();
  if (answer[0] > static_cast<std::uint8_t>(kLastVerdict)) {
    return base::FailedPrecondition("it does not answer in this protocol");
  }
  std::string sentence(answer[1], '\0');
  MUSTER_RETURN_IF_ERROR(
      ReadAll(channel, std::as_writable_bytes(std::span(sentence)), deadline, abort));
  const auto verdict = static_cast<Verdict>(answer[0]);
  if (verdict == Verdict::kBusy) return base::Unavailable("refused: " + sentence);
  return base::FailedPrecondition("refused: " + sentence);
}

}  // namespace muster::comm
