#include "operator/local/process_table.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "operator/runtime/signals.h"

namespace muster::local {
namespace {

// glibc 2.36 declares its wrapper without C linkage. The descriptor is closed on exec by itself.
int PidfdOpen(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

std::vector<char*> Pointers(const std::vector<std::string>& texts, const std::string* first) {
  std::vector<char*> out;
  if (first != nullptr) out.push_back(const_cast<char*>(first->c_str()));
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

struct ChildPlan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  int input;
  int log;
  int failure;  // closed by exec; an errno written to it says that exec failed
  pid_t parent;
};

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void BecomeProgram(const ChildPlan& plan) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above: then nobody would ever send that signal.
  if (getppid() != plan.parent) _exit(127);
  runtime::Signals::RestoreForChild();
  signal(SIGPIPE, SIG_DFL);
  if (dup2(plan.input, 0) >= 0 && dup2(plan.log, 1) >= 0 && dup2(plan.log, 2) >= 0) {
    execve(plan.program, plan.arguments, plan.environment);
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(plan.failure, &error, sizeof(error));
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProcessTable>> ProcessTable::Create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return base::Internal("epoll_create1: " + base::ErrnoText(errno));
  // A child that died before it read its input must not take us with it.
  signal(SIGPIPE, SIG_IGN);
  return std::unique_ptr<ProcessTable>(new ProcessTable(std::move(epoll)));
}

ProcessTable::~ProcessTable() { KillAll(); }

void ProcessTable::KillAll() {
  for (const auto& [pid, process] : processes_) {
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
  }
  for (const auto& [pid, process] : processes_) waitpid(pid, nullptr, 0);
  processes_.clear();
}

absl::StatusOr<pid_t> ProcessTable::Start(const ProcessSpec& spec) {
  int input[2];
  int failure[2];
  if (pipe2(input, O_CLOEXEC) != 0) return base::Internal("pipe2: " + base::ErrnoText(errno));
  UniqueFd input_read(input[0]);
  UniqueFd input_write(input[1]);
  if (pipe2(failure, O_CLOEXEC) != 0) return base::Internal("pipe2: " + base::ErrnoText(errno));
  UniqueFd failure_read(failure[0]);
  UniqueFd failure_write(failure[1]);
  fcntl(input_write.get(), F_SETFL, O_NONBLOCK);
  UniqueFd log(open(spec.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log) return base::Internal("cannot write " + spec.log_path + ": " + base::ErrnoText(errno));

  const std::vector<char*> arguments = Pointers(spec.arguments, &spec.program);
  const std::vector<char*> environment = Pointers(spec.environment, nullptr);
  const ChildPlan plan{
      spec.program.c_str(), arguments.data(), environment.data(), input_read.get(), log.get(),
      failure_write.get(),  getpid()};
  const pid_t pid = fork();
  if (pid < 0) return base::ResourceExhausted("fork: " + base::ErrnoText(errno));
  if (pid == 0) BecomeProgram(plan);
  // Here as well as in the child: whoever of the two comes first, a signal to the group finds it.
  setpgid(pid, pid);
  failure_write.Reset();
  int error = 0;
  ssize_t said;
  do {
    said = read(failure_read.get(), &error, sizeof(error));
  } while (said < 0 && errno == EINTR);
  if (said == sizeof(error)) {
    waitpid(pid, nullptr, 0);
    return base::NotFound("cannot run " + spec.program + ": " + base::ErrnoText(error));
  }
  Process process;
  process.pidfd.Reset(PidfdOpen(pid));
  process.input = std::move(input_write);
  if (process.pidfd) {
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, process.pidfd.get(), &event);
  }
  processes_.emplace(pid, std::move(process));
  return pid;
}

void ProcessTable::Signal(pid_t pid, int signal) {
  if (!Runs(pid)) return;
  if (kill(-pid, signal) != 0) kill(pid, signal);
}

void ProcessTable::WriteInput(pid_t pid, std::string_view line) {
  auto it = processes_.find(pid);
  if (it == processes_.end()) return;
  // Lines are far below PIPE_BUF, so one is written whole or not at all.
  [[maybe_unused]] const ssize_t written = write(it->second.input.get(), line.data(), line.size());
}

std::vector<ProcessEvent> ProcessTable::Poll() {
  std::vector<ProcessEvent> events;
  for (auto it = processes_.begin(); it != processes_.end();) {
    const pid_t pid = it->first;
    int status = 0;
    bool ended = false;
    while (!ended && waitpid(pid, &status, WNOHANG | WUNTRACED | WCONTINUED) == pid) {
      if (WIFSTOPPED(status)) events.push_back(ProcessStopped{pid});
      if (WIFCONTINUED(status)) events.push_back(ProcessContinued{pid});
      ended = WIFEXITED(status) || WIFSIGNALED(status);
    }
    if (!ended) {
      ++it;
      continue;
    }
    // What it started must not outlive it.
    kill(-pid, SIGKILL);
    ProcessExited exited{pid, std::nullopt, std::nullopt};
    if (WIFEXITED(status)) exited.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) exited.signal = WTERMSIG(status);
    events.push_back(exited);
    it = processes_.erase(it);
  }
  return events;
}

std::vector<std::string> LastLines(const std::string& path, std::size_t count) {
  constexpr std::streamoff kMostBytes = 64 << 10;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const std::streamoff size = file.tellg();
  const std::streamoff begin = size > kMostBytes ? size - kMostBytes : 0;
  file.seekg(begin);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  // Reading began somewhere in a line.
  if (begin > 0 && !lines.empty()) lines.erase(lines.begin());
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<long>(count));
  return lines;
}

}  // namespace muster::local
