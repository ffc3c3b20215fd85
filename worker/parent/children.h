// The processes of a pod, as its parent starts, signals and reaps them.
//
// One thread, which must outlive the children: each gets SIGKILL when the thread that started it
// ends (PR_SET_PDEATHSIG), so no process goes on in a pod without its parent. A child shares our
// standard output and error, which are the container's log, and our process group, so that who stops
// or kills the pod on one machine reaches all of it; it has no input. In a container we are the first
// process, and orphans become ours: they are reaped, too, and told to nobody. Each child gets a socket,
// whose number is in MUSTER_PARENT_FD, and says over it that it has said its first Hello.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "operator/base/status.h"
#include "worker/parent/machine.h"

namespace muster::parent {

// In the child: to its parent, once. -1: there is none.
void SayItSpoke(int parent_fd);

class Children final {
 public:
  // `program`: an absolute path, run without arguments.
  explicit Children(std::string program) : program_(std::move(program)) {}
  // Kills what still runs and waits for it.
  ~Children();
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  // `environment`: NAME=value, the whole of it. The error says why the program could not be run;
  // a child of that number must not run.
  absl::Status Start(std::int32_t process, const std::vector<std::string>& environment);
  // To the child alone; one that has ended is left alone: its number may be another's by now.
  void Signal(std::int32_t process, int signal);
  // Who has ended since the last call; never waits. To be called on SIGCHLD, which may stand for
  // several.
  std::vector<Ended> Reap();
  // Whose byte has come since the last call; never waits.
  std::vector<std::int32_t> Spoken();
  // 0: it does not run.
  pid_t PidOf(std::int32_t process) const;

 private:
  // Of what a child and we share while it starts, and afterwards.
  struct Ends {
    int failure_read;
    int failure_write;
    int spoken;
  };
  absl::StatusOr<pid_t> Fork(std::vector<std::string> environment, const Ends& ends) const;

  const std::string program_;
  struct Child {
    std::int32_t process = 0;
    int spoken = -1;  // our end of its socket; -1: nothing more will come
  };
  std::map<pid_t, Child> running_;  // by process id
};

}  // namespace muster::parent
