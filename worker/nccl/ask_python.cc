#include "worker/nccl/ask_python.h"

#include <fcntl.h>
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

// Reads until the end of file, at most `wait` and a page: false when it was not reached.
bool ReadAll(int fd, base::Duration wait, std::string* text) {
  const base::Time until = comm::Now() + wait;
  while (text->size() < 4096) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - comm::Now()).count();
    if (left <= 0) return false;
    pollfd ready{fd, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(std::min<long long>(left, 1000))) <= 0) continue;
    std::array<char, 1024> buffer{};
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got == 0) return true;
    if (got < 0 && errno != EINTR) return false;
    if (got > 0) text->append(buffer.data(), static_cast<std::size_t>(got));
  }
  return false;
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
  std::string answer;
  const bool ended = ReadAll(read_end.get(), wait, &answer);
  if (!ended) ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) return base::NotFound(python + " did not answer in time");
  while (!answer.empty() && answer.back() == '\n') answer.pop_back();
  if (status != 0 || answer.empty()) return base::NotFound(python + " knows no nvidia.nccl");
  return answer;
}

}  // namespace muster::nccl
