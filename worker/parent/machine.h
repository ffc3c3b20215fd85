// What the parent of a pod's processes does: which it starts, makes good, kills and waits for, and
// with what code the pod ends. Pure: Step(now, event) -> commands.
//
//   each process:              ended, to be made good
//              +----------------------------------------------+
//              v                                              |
//          Waiting ------ its back-off is over: Spawn ----> Running ------> Over
//              |                                              (0, a code that is final, or the
//              +-------------- the pod ends -------------->    pod ends)
//
// A dead process comes again as a new member (docs/decisions/0009-several-processes.md): the others keep
// their process and their id. Codes by which another process would fare no better end the pod, and
// so does a process that dies again and again: the operator judges the pod's code, and makes a pod
// elsewhere if that may help.
//
// Invariants: an id is spawned once; at most one process of each number runs; nothing is spawned once
// the pod ends; Exit is the last command and comes once, when nothing runs; each member that a
// KillOrder names and that is this pod's is answered with Killed once it does not run; a process that
// says nothing for kHelloDeadline, while its parent is heard, is killed and made good.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "operator/base/pod_members.h"
#include "operator/base/time.h"

namespace muster::parent {

// ---- events

struct Start {};  // the first
// A process has ended and was reaped: exactly one of the two is set.
struct Ended {
  std::int32_t process = 0;
  std::optional<int> exit_code;
  std::optional<int> signal;
};
struct CannotStart {  // the answer to a Spawn that failed
  std::int32_t process = 0;
  std::string why;
};
// The coordinator has evicted these: their processes end before the others abort (M4).
struct KillOrder {
  std::vector<base::MemberId> members;
};
// Whether the parent itself has a stream to the coordinator; none at first. Who has said nothing while
// nobody is there to hear it is not to blame.
struct Reachable {
  bool now = false;
};
struct Spoke {  // of each of these the one that runs has said its first Hello
  std::vector<std::int32_t> processes;
};
struct Terminate {};  // SIGTERM: everybody leaves in order
struct Tick {};       // at NextDeadline() or before

using Event = std::variant<Start, Ended, CannotStart, KillOrder, Reachable, Spoke, Terminate, Tick>;

// ---- commands

struct Spawn {
  std::int32_t process = 0;
  base::MemberId member;
  friend bool operator==(const Spawn&, const Spawn&) = default;
};
struct SendTerm {
  std::int32_t process = 0;
  friend bool operator==(const SendTerm&, const SendTerm&) = default;
};
struct SendKill {
  std::int32_t process = 0;
  friend bool operator==(const SendKill&, const SendKill&) = default;
};
// For the coordinator: the member's process does not run, because it was told to kill it.
struct Killed {
  base::MemberId member;
  friend bool operator==(const Killed&, const Killed&) = default;
};
// For the coordinator: the cluster's word about one process (M3), which comes before its silence.
struct MemberEnded {
  base::MemberId member;
  std::optional<int> exit_code;
  std::optional<int> signal;
  friend bool operator==(const MemberEnded&, const MemberEnded&) = default;
};
struct Exit {
  int code = 0;
  friend bool operator==(const Exit&, const Exit&) = default;
};
struct Note {
  std::string text;
  friend bool operator==(const Note&, const Note&) = default;
};

using Command = std::variant<Spawn, SendTerm, SendKill, Killed, MemberEnded, Exit, Note>;
using Commands = std::vector<Command>;

// ---- numbers

// Deaths of one process in a row, each less than kStreakGap after its start, before the pod ends with
// the last one's code: elsewhere it may fare better, as a pod of one process is made elsewhere at once.
inline constexpr std::int32_t kMostDeathsInRow = 6;
inline constexpr base::Duration kStreakGap = std::chrono::minutes(2);
// Of what still runs once a code has ended the pod. The kubelet's own grace ends it after a SIGTERM.
inline constexpr base::Duration kEndGrace = std::chrono::seconds(10);
// From its start, and from when the parent's stream came up, to its first Hello. Loading comes after the
// Hello, so all that a process does until then is to start: one that has not in this time hangs, and
// nobody else would ever miss it, because the coordinator does not know of it.
inline constexpr base::Duration kHelloDeadline = std::chrono::seconds(60);
// Before the process comes again: 0, 1, 2, 4 ... 30 s by deaths in a row.
base::Duration RestartBackOff(std::int32_t deaths);

struct Config {
  base::MemberId pod;
  std::int32_t processes = 2;
  base::Duration hello_deadline = kHelloDeadline;
};

class Machine {
 public:
  explicit Machine(const Config& config);

  Commands Step(base::Time now, const Event& event);
  // When time alone will do something; nothing: never.
  std::optional<base::Time> NextDeadline() const;

 private:
  enum class State { kWaiting, kRunning, kOver };
  struct Process {
    State state = State::kWaiting;
    std::int32_t life = -1;   // of the process that runs, or ran last
    std::int32_t deaths = 0;  // in a row
    base::Time since;         // its start
    base::Time due;           // while waiting
    bool spoke = false;       // the one that runs has said Hello, or is killed because it has not
  };

  void On(const Start& start);
  void On(const Ended& ended);
  void On(const CannotStart& failed);
  void On(const KillOrder& order);
  void On(const Reachable& reachable);
  void On(const Spoke& spoke);
  void On(const Terminate& terminate);
  void On(const Tick& tick);

  base::MemberId MemberOf(std::int32_t process) const;
  void Died(std::int32_t process, const std::string& how, int shown_code);
  void EndPod(int code, const std::string& why);
  void StopWaiting();
  std::optional<base::Time> HelloDue(const Process& process) const;
  void KillMute();
  void Advance();

  const Config config_;
  base::Time now_;
  std::vector<Process> processes_;
  std::set<base::MemberId> ordered_;  // to be killed, and still running
  bool ending_ = false;               // nothing is started any more
  std::optional<base::Time> kill_at_;
  std::optional<base::Time> reachable_since_;
  std::optional<int> code_;  // the first that tells something
  bool exited_ = false;
  Commands out_;
};

}  // namespace muster::parent
