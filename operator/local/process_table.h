// The processes of one machine: started with nothing inherited by accident, watched, and never left
// behind.
//
// One thread, which must outlive the children: each gets SIGKILL when the thread that started it
// ends (PR_SET_PDEATHSIG). A child leads a process group of its own, so that Ctrl-C at a terminal
// reaches only us and a signal reaches what the child started too. Its standard input is a pipe
// from us, its output goes straight to a log file: a slow reader never slows training, and the log
// survives us.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "operator/base/status.h"
#include "operator/local/unique_fd.h"

namespace muster::local {

struct ProcessSpec {
  std::string program;                   // absolute path
  std::vector<std::string> arguments;    // without the program itself
  std::vector<std::string> environment;  // NAME=value, the whole of it
  std::string log_path;                  // appended to
};

struct ProcessExited {
  pid_t pid = 0;
  std::optional<int> exit_code;  // exactly one of the two is set
  std::optional<int> signal;
};
struct ProcessStopped {
  pid_t pid = 0;
};
struct ProcessContinued {
  pid_t pid = 0;
};
using ProcessEvent = std::variant<ProcessExited, ProcessStopped, ProcessContinued>;

class ProcessTable final {
 public:
  static absl::StatusOr<std::unique_ptr<ProcessTable>> Create();
  // Kills what still runs and waits for it.
  ~ProcessTable();
  ProcessTable(const ProcessTable&) = delete;
  ProcessTable& operator=(const ProcessTable&) = delete;

  // The error says which program could not be started and why (not there, not executable, ...).
  absl::StatusOr<pid_t> Start(const ProcessSpec& spec);
  // To the whole group. A process that has ended is left alone: its number may be another's by now.
  void Signal(pid_t pid, int signal);
  // A line for its standard input. Dropped when the process does not read and the pipe is full.
  void WriteInput(pid_t pid, std::string_view line);

  // Kills everything, waits for it and forgets it.
  void KillAll();

  // What has happened since the last call; never waits. Exits are seen at once through fd(); stops
  // and continuations only by calling this.
  std::vector<ProcessEvent> Poll();
  // Readable when a process has exited.
  int fd() const { return epoll_.get(); }
  bool Runs(pid_t pid) const { return processes_.contains(pid); }
  std::size_t size() const { return processes_.size(); }

 private:
  struct Process {
    UniqueFd pidfd;
    UniqueFd input;
  };
  explicit ProcessTable(UniqueFd epoll) : epoll_(std::move(epoll)) {}

  UniqueFd epoll_;
  std::map<pid_t, Process> processes_;
};

// The last `count` lines of a file; nothing when it cannot be read.
std::vector<std::string> LastLines(const std::string& path, std::size_t count);

}  // namespace muster::local
