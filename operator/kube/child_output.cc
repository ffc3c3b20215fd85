#include "operator/kube/child_output.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "operator/runtime/clock.h"

extern char** environ;

namespace muster::kube {
namespace {

class Pipe {
 public:
  Pipe() {
    if (pipe2(ends_.data(), O_CLOEXEC) != 0) ends_ = {-1, -1};
  }
  ~Pipe() {
    CloseWriter();
    if (ends_[0] >= 0) close(ends_[0]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  bool ok() const { return ends_[0] >= 0; }
  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }
  void CloseWriter() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

std::vector<std::string> Environment(const ChildProgram& program) {
  std::vector<std::string> out;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    bool replaced = false;
    for (const auto& [name, value] : program.env) {
      replaced = replaced || text.starts_with(name + "=");
    }
    if (!replaced) out.push_back(text);
  }
  for (const auto& [name, value] : program.env) out.push_back(name + "=" + value);
  return out;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// 0, or an errno.
int Spawn(const ChildProgram& program, int output, pid_t* pid) {
  std::vector<std::string> args = {program.command};
  args.insert(args.end(), program.args.begin(), program.args.end());
  std::vector<std::string> env = Environment(program);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  // A group of its own, so that what it starts can be ended with it; and the signals that a server
  // blocks are its own again.
  posix_spawnattr_t how;
  posix_spawnattr_init(&how);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setpgroup(&how, 0);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  const int error = posix_spawnp(pid, program.command.c_str(), &files, &how, Pointers(args).data(),
                                 Pointers(env).data());
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

// All that comes until the end of file.
absl::StatusOr<std::string> ReadAll(int from, base::Time until, std::size_t most_bytes) {
  const runtime::RealClock clock;
  std::string out;
  std::array<char, 4096> piece;
  for (;;) {
    const base::Duration left = until - clock.Now();
    if (left <= base::Duration(0)) return base::DeadlineExceeded("it did not end in time");
    pollfd waiting{from, POLLIN, 0};
    const auto millis = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    const int ready = poll(&waiting, 1, static_cast<int>(millis));
    if (ready < 0 && errno != EINTR) return base::Unavailable(base::ErrnoText(errno));
    if (ready <= 0) continue;
    const ssize_t size = read(from, piece.data(), piece.size());
    if (size == 0) return out;
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return base::Unavailable(base::ErrnoText(errno));
    out.append(piece.data(), static_cast<std::size_t>(size));
    if (out.size() > most_bytes) {
      return base::ResourceExhausted("it printed more than " + std::to_string(most_bytes) +
                                     " bytes");
    }
  }
}

// True when it has ended. It is not reaped: until then its number, and its group's, belong to
// nobody else.
bool HasEnded(pid_t pid, base::Time until) {
  const runtime::RealClock clock;
  for (;;) {
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid) {
      return true;
    }
    if (clock.Now() >= until) return false;
    poll(nullptr, 0, 2);
  }
}

}  // namespace

absl::StatusOr<std::string> OutputOf(const ChildProgram& program, base::Duration deadline,
                                     std::size_t most_bytes) {
  const base::Time until = runtime::RealClock().Now() + deadline;
  Pipe output;
  if (!output.ok()) return base::Unavailable("cannot make a pipe: " + base::ErrnoText(errno));
  pid_t pid = 0;
  if (const int error = Spawn(program, output.writer(), &pid); error != 0) {
    return base::NotFound("cannot run " + program.command + ": " + base::ErrnoText(error));
  }
  output.CloseWriter();
  absl::StatusOr<std::string> text = ReadAll(output.reader(), until, most_bytes);
  const bool ended = text.ok() && HasEnded(pid, until);
  // Also after a good end: what it left behind must not outlive it.
  kill(-pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) {
    if (text.ok()) text = base::DeadlineExceeded("it did not end in time");
    return base::Annotate(text.status(), program.command);
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    const std::string how = WIFEXITED(status) ? "exit status " + std::to_string(WEXITSTATUS(status))
                                              : "signal " + std::to_string(WTERMSIG(status));
    return base::FailedPrecondition(program.command + " ended with " + how);
  }
  return text;
}

}  // namespace muster::kube
