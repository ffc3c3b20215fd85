#include "worker/parent/children.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "operator/runtime/signals.h"

namespace muster::parent {
namespace {

struct ForkedChild {
  const char* program;
  char* const* arguments;
  char* const* environment;
  int input;
  int failure;  // closed by exec; an errno written to it says that exec failed
  pid_t parent;
};

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void BecomeChild(const ForkedChild& child) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above: then nobody would ever send that signal.
  if (getppid() != child.parent) _exit(127);
  runtime::Signals::RestoreForChild();
  if (dup2(child.input, STDIN_FILENO) >= 0) {
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

Children::~Children() {
  for (const auto& [pid, process] : running_) kill(pid, SIGKILL);
  for (const auto& [pid, process] : running_) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

absl::Status Children::Start(std::int32_t process, const std::vector<std::string>& environment) {
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) != 0) return base::Internal("pipe2: " + base::ErrnoText(errno));
  const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  std::vector<char*> variables;
  for (const std::string& text : environment) variables.push_back(const_cast<char*>(text.c_str()));
  variables.push_back(nullptr);
  char* const arguments[] = {const_cast<char*>(program_.c_str()), nullptr};
  const ForkedChild child{program_.c_str(), arguments, variables.data(), input,
                          failure[1],       getpid()};
  const pid_t pid = fork();
  if (pid == 0) BecomeChild(child);
  const int fork_error = errno;
  close(failure[1]);
  if (input >= 0) close(input);
  if (pid < 0) {
    close(failure[0]);
    return base::ResourceExhausted("fork: " + base::ErrnoText(fork_error));
  }
  const int error = ExecError(failure[0]);
  close(failure[0]);
  if (error != 0) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return base::NotFound("cannot run " + program_ + ": " + base::ErrnoText(error));
  }
  running_.emplace(pid, process);
  return absl::OkStatus();
}

pid_t Children::PidOf(std::int32_t process) const {
  for (const auto& [pid, number] : running_) {
    if (number == process) return pid;
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
    end.process = it->second;
    (info.si_code == CLD_EXITED ? end.exit_code : end.signal) = info.si_status;
    ended.push_back(end);
    running_.erase(it);
  }
}

}  // namespace muster::parent
