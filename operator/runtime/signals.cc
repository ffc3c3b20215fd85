#include "operator/runtime/signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace muster::runtime {

absl::StatusOr<std::unique_ptr<Signals>> Signals::Create(const std::vector<int>& numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (int number : numbers) {
    if (sigaddset(&set, number) != 0) {
      return base::InvalidArgument("signal " + std::to_string(number) + " does not exist");
    }
  }
  if (int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return base::Internal("cannot block signals: " + base::ErrnoText(error));
  }
  const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return base::Internal("cannot make a signalfd: " + base::ErrnoText(errno));
  return std::unique_ptr<Signals>(new Signals(fd));
}

Signals::~Signals() { close(fd_); }

std::optional<int> Signals::Wait(base::Duration wait) {
  // Rounded up, so that a caller's loop does not spin through the last millisecond.
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
  pollfd ready{fd_, POLLIN, 0};
  if (poll(&ready, 1, static_cast<int>(std::clamp<decltype(ms)>(ms, 0, 1 << 30))) <= 0) return {};
  signalfd_siginfo info;
  if (read(fd_, &info, sizeof(info)) != sizeof(info)) return {};
  return static_cast<int>(info.ssi_signo);
}

void Signals::RestoreForChild() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace muster::runtime
