// `muster operator` as a process that is killed and started again.
//
// Kill is safe from every thread; the process ends with the thread that started it, too.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "operator/runtime/mutex.h"

namespace muster::crash {

class OperatorProcess final {
 public:
  // What it prints is appended to the file `log`.
  OperatorProcess(std::vector<std::string> command, std::string log)
      : command_(std::move(command)), log_(std::move(log)) {}
  ~OperatorProcess() { Kill(); }
  OperatorProcess(const OperatorProcess&) = delete;
  OperatorProcess& operator=(const OperatorProcess&) = delete;

  void Start();
  // SIGKILL. It is gone when this returns: no byte that is sent later reaches it.
  void Kill();
  // It runs; false also when it ended by itself.
  bool Runs();
  pid_t pid();  // -1: it does not run
  // How it ended without having been killed here, which a well operator never does; empty: never.
  std::string OwnEnd();

 private:
  void Note(int wait_status) MUSTER_REQUIRES(mutex_);

  const std::vector<std::string> command_;
  const std::string log_;
  runtime::Mutex mutex_;
  pid_t pid_ MUSTER_GUARDED_BY(mutex_) = -1;
  std::string own_end_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::crash
