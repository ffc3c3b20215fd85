#include "worker/parent/children.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "operator/runtime/signals.h"

namespace muster::parent {
namespace {

struct ForkedChild {
  const char* program;
  char* const* arguments;
  char* const* environment;
  int input;
  int spoken;   // stays open: exec'd programs find its number in the environment
  int failure;  // closed by exec; an errno written to it says that exec failed
  pid_t parent;
};

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void BecomeChild(const ForkedChild& child) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above: then nobody would ever send that signal.
  if (getppid() != child.parent) _exit(127);
  runtime::Signals::RestoreForChild();
  if (dup2(child.input, STDIN_FILENO) >= 0 && fcntl(child.spoken, F_SETFD, 0) == 0) {
    execve(child.program, child.arguments, child.environment);
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(child.failure, &error, sizeof(error));
  _exit(127);
}

// Of exec in the child: 0, or its errno. Returns once one or the other has happened.
int ExecError(int from) {
  int error = 0;
  ssize_t said;
  do {
    said = read(from, &error, sizeof(error));
  } while (said < 0 && errno == EINTR);
  return said == sizeof(error) ? error : 0;
}

}  // namespace

void SayItSpoke(int parent_fd) {
  if (parent_fd < 0) return;
  // No signal where nobody reads: a parent that is gone takes us along by itself.
  [[maybe_unused]] const ssize_t sent = send(parent_fd, "h", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  close(parent_fd);
}

Children::~Children() {
  for (const auto& [pid, child] : running_) kill(pid, SIGKILL);
  for (const auto& [pid, child] : running_) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (child.spoken >= 0) close(child.spoken);
  }
}

absl::Status Children::Start(std::int32_t process, const std::vector<std::string>& environment) {
  int failure[2], spoken[2];
  if (pipe2(failure, O_CLOEXEC) != 0) return base::Internal("pipe2: " + base::ErrnoText(errno));
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, spoken) != 0) {
    const int error = errno;
    for (const int end : failure) close(end);
    return base::Internal("socketpair: " + base::ErrnoText(error));
  }
  auto started = Fork(environment, {failure[0], failure[1], spoken[1]});
  close(failure[0]);
  close(spoken[1]);
  if (!started.ok()) {
    close(spoken[0]);
    return started.status();
  }
  running_.emplace(*started, Child{process, spoken[0]});
  return absl::OkStatus();
}

// The child's number once it has become the program.
absl::StatusOr<pid_t> Children::Fork(std::vector<std::string> environment, const Ends& ends) const {
  environment.push_back("MUSTER_PARENT_FD=" + std::to_string(ends.spoken));
  std::vector<char*> variables;
  for (std::string& text : environment) variables.push_back(text.data());
  variables.push_back(nullptr);
  const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  char* const arguments[] = {const_cast<char*>(program_.c_str()), nullptr};
  const ForkedChild child{program_.c_str(), arguments,          variables.data(), input,
                          ends.spoken,      ends.failure_write, getpid()};
  const pid_t pid = fork();
  if (pid == 0) BecomeChild(child);
  const int fork_error = errno;
  close(ends.failure_write);
  if (input >= 0) close(input);
  if (pid < 0) return base::ResourceExhausted("fork: " + base::ErrnoText(fork_error));
  const int error = ExecError(ends.failure_read);
  if (error == 0) return pid;
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return base::NotFound("cannot run " + program_ + ": " + base::ErrnoText(error));
}

std::vector<std::int32_t> Children::Spoken() {
  std::vector<std::int32_t> said;
  for (auto& [pid, child] : running_) {
    char byte;
    if (child.spoken < 0) continue;
    const ssize_t got = recv(child.spoken, &byte, 1, MSG_DONTWAIT);
    if (got < 0) continue;
    if (got == 1) said.push_back(child.process);
    close(std::exchange(child.spoken, -1));
  }
  return said;
}

pid_t Children::PidOf(std::int32_t process) const {
  for (const auto& [pid, child] : running_) {
    if (child.process == process) return pid;
  }
  return 0;
}

// Until it is reaped its number stays its own, and we alone reap.
void Children::Signal(std::int32_t process, int signal) {
  if (const pid_t pid = PidOf(process); pid != 0) kill(pid, signal);
}

std::vector<Ended> Children::Reap() {
  std::vector<Ended> ended;
  for (;;) {
    siginfo_t info{};
    const int waited = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
    if (waited != 0 && errno == EINTR) continue;
    if (waited != 0 || info.si_pid == 0) return ended;
    while (waitpid(info.si_pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    const auto it = running_.find(info.si_pid);
    if (it == running_.end()) continue;  // an orphan that became ours
    Ended end;
    end.process = it->second.process;
    (info.si_code == CLD_EXITED ? end.exit_code : end.signal) = info.si_status;
    ended.push_back(end);
    if (it->second.spoken >= 0) close(it->second.spoken);
    running_.erase(it);
  }
}

}  // namespace muster::parent
