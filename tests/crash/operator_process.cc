#include "tests/crash/operator_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "operator/base/check.h"

namespace muster::crash {

void OperatorProcess::Start() {
  std::vector<char*> words;
  for (const std::string& word : command_) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const int log = open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  MUSTER_CHECK(log >= 0, "cannot open " + log_);
  const pid_t parent = getpid();
  runtime::MutexLock lock(mutex_);
  MUSTER_CHECK(pid_ < 0, "it runs already");
  pid_ = fork();
  MUSTER_CHECK(pid_ >= 0, "fork failed");
  if (pid_ == 0) {
    // Between fork and exec only what may be called in a child of a program with threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    if (getppid() == parent) execv(words[0], words.data());
    _exit(127);
  }
  close(log);
}

void OperatorProcess::Kill() {
  runtime::MutexLock lock(mutex_);
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  int status = 0;
  waitpid(pid_, &status, 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) Note(status);
  pid_ = -1;
}

bool OperatorProcess::Runs() {
  runtime::MutexLock lock(mutex_);
  if (pid_ < 0) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == 0) return true;
  Note(status);
  pid_ = -1;
  return false;
}

pid_t OperatorProcess::pid() {
  runtime::MutexLock lock(mutex_);
  return pid_;
}

std::string OperatorProcess::OwnEnd() {
  runtime::MutexLock lock(mutex_);
  return own_end_;
}

void OperatorProcess::Note(int wait_status) {
  own_end_ = WIFSIGNALED(wait_status) ? "signal " + std::to_string(WTERMSIG(wait_status))
                                      : "exit status " + std::to_string(WEXITSTATUS(wait_status));
}

}  // namespace muster::crash
