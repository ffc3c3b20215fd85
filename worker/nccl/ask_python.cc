#include "worker/nccl/ask_python.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "worker/comm/socket.h"

extern char** environ;

namespace muster::nccl {
namespace {

// Looks the package up without importing it: an import of torch takes seconds.
constexpr const char* kQuestion =
    "import importlib.util as u;s=u.find_spec('nvidia.nccl');"
    "print(list(s.submodule_search_locations)[0]+'/lib/libnccl.so.2')";

constexpr const char* kLate = "did not answer in time";

// Until the end of file. An error says what its writer did.
absl::Status ReadAll(int fd, base::Time until, std::string* text) {
  while (text->size() < PATH_MAX) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - comm::Now()).count();
    if (left <= 0) return base::NotFound(kLate);
    pollfd ready{fd, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(std::min<long long>(left, 1000))) <= 0) continue;
    std::array<char, 1024> buffer{};
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got == 0) return absl::OkStatus();
    if (got < 0 && errno != EINTR)
      return base::NotFound("cannot be read: " + base::ErrnoText(errno));
    if (got > 0) text->append(buffer.data(), static_cast<std::size_t>(got));
  }
  return base::NotFound("answered with more than a path");
}

// False when it still runs at `until`: a process may close its output and go on.
bool AwaitEnd(pid_t pid, base::Time until, int* status) {
  while (true) {
    const pid_t ended = ::waitpid(pid, status, WNOHANG);
    if (ended != 0 && !(ended < 0 && errno == EINTR)) return true;
    if (comm::Now() >= until) return false;
    ::poll(nullptr, 0, 1);
  }
}

void KillAndReap(pid_t pid) {
  ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
}

absl::StatusOr<pid_t> Spawn(const std::string& python, int output) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output, 1);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::array<char*, 4> arguments{const_cast<char*>(python.c_str()), const_cast<char*>("-c"),
                                 const_cast<char*>(kQuestion), nullptr};
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, python.c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return base::NotFound(python + " cannot run: " + base::ErrnoText(error));
  return pid;
}

}  // namespace

absl::StatusOr<std::string> AskPython(const std::string& python, base::Duration wait) {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return base::NotFound(base::ErrnoText(errno));
  comm::UniqueFd read_end(ends[0]);
  comm::UniqueFd write_end(ends[1]);
  MUSTER_ASSIGN_OR_RETURN(const pid_t pid, Spawn(python, write_end.get()));
  write_end.Reset();
  const base::Time until = comm::Now() + wait;
  std::string answer;
  int status = 0;
  absl::Status read = ReadAll(read_end.get(), until, &answer);
  if (read.ok() && !AwaitEnd(pid, until, &status)) read = base::NotFound(kLate);
  if (!read.ok()) {
    KillAndReap(pid);
    return base::NotFound(python + " " + base::Message(read));
  }
  while (!answer.empty() && answer.back() == '\n') answer.pop_back();
  if (status != 0 || answer.empty()) return base::NotFound(python + " knows no nvidia.nccl");
  return answer;
}

}  // namespace muster::nccl
