// The life of one communicator after another, as a pure machine: Step(now, event) -> commands.
//
// The shell (communicator.cc) has one owner thread. It obeys the commands in order, each before the
// next, and answers those that ask with one event; between events it rests until WaitUntil or until
// it is woken, and while it owes an answer it sends nothing else. The machine holds no handle: the
// shell makes its own null before it calls Abort.
//
//            Install                answers: success
//   Idle ------------> Installing -------------------> Installed <-------------- Committed
//    ^                  |     |                         |  |  |                      |
//    |   refused at     |     |                   Close |  |  | Reduce               |
//    +---once-----------+     |                         |  |  v                      |
//    |                        |          Finalising <---+  | Enqueueing ---------> Running
//    |<----- destroyed -------|--------------+  |          |  | |  ^   all enqueued,  |
//    |                        |                 |          |  | v  |   event recorded |
//    |                        |                 |          |  | Gathering             |
//    |                        v   error, flag or deadline  v  v                       v
//    +--- Synchronising <--- Aborting <----------------------------------------------+
//                |              |
//                v              v  answered past its deadline, or the device is broken
//                +-----------> Lost: this process has to end
//
// Promises. A reduction is committed only when its event was done, then the asynchronous error was
// success, then the flag was clear, read in this order. The flag is raised before an abort; nothing
// is launched after it. Each attempt has an id that none of the 256 before it had. An event is
// recorded only when the last group is enqueued: before that it would stand in front of kernels.
//
// A reduction is one group or several, given one after the other while their inputs are computed. A
// group is launched when the one before it is enqueued (NCCL takes no other call before that), the
// event is recorded behind the last one, and all of them count or none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/base/time.h"
#include "worker/nccl/nccl_api.h"

namespace muster::nccl {

// An epoch's attempts are numbered from 1; each has a unique id of its own.
struct Attempt {
  base::Epoch epoch;
  std::int32_t number = 0;
  friend auto operator<=>(const Attempt&, const Attempt&) = default;
};
std::string ToString(const Attempt& attempt);

// ---- events: asked for by the caller

struct Install {
  Attempt attempt;
  InitConfig config;
};
struct Reduce {
  std::uint64_t sequence = 0;
  base::Time deadline;
  bool whole = true;  // this group is all of it
};
struct Continue {  // the next group; nothing happens when that reduction has failed meanwhile
  std::uint64_t sequence = 0;
  bool last = false;
};
struct Close {};  // clean end while all members live; aborts what is not Installed or closing
struct Tick {};   // woken: the flag may have been raised, or WaitUntil has come

// ---- events: answers of the shell

struct InitBegun {
  Result result;
  bool has_handle = false;
};
struct AsyncRead {
  Result result;
};
struct EventRead {
  EventState state = EventState::kPending;
};
struct FlagRead {
  bool raised = false;
};
struct Launched {
  Result result;
};  // the group's end
struct Recorded {
  Result result;
};
struct AbortDone {
  Result result;
};
struct Synchronised {
  Result result;
};  // of the device, then its last error since
struct FinalizeBegun {
  Result result;
};
struct Destroyed {
  Result result;
};

using MachineEvent =
    std::variant<Install, Reduce, Continue, Close, Tick, InitBegun, AsyncRead, EventRead, FlagRead,
                 Launched, Recorded, AbortDone, Synchronised, FinalizeBegun, Destroyed>;

// ---- commands: calls of NcclApi, each with its answer

struct InitRank {
  Attempt attempt;
  InitConfig config;
};  // -> InitBegun
struct AskAsync {};      // -> AsyncRead
struct AskEvent {};      // -> EventRead
struct ReadFlag {};      // -> FlagRead
struct LaunchGroup {};   // -> Launched. The first that was given and not launched
struct RecordDone {};    // -> Recorded
struct AbortComm {};     // -> AbortDone
struct Synchronise {};   // -> Synchronised
struct FinalizeComm {};  // -> FinalizeBegun
struct DestroyComm {};   // -> Destroyed

// ---- commands: everything else

struct RaiseFlag {};  // of the attempt that runs
// Unless DisarmWatchdog comes first, the process ends at `deadline` with the sentence. A second one
// moves no deadline back.
struct ArmWatchdog {
  base::Time deadline;
  std::string sentence;
};
struct DisarmWatchdog {};
struct WaitUntil {
  base::Time time;
};
struct ReportInstalled {
  Attempt attempt;
};
struct ReportInstallFailed {
  Attempt attempt;
  absl::Status status;
};
struct ReportCommitted {
  std::uint64_t sequence = 0;
};
// Aborted: the flag. Unavailable: a peer, the network or time. Internal: a bug or a broken device.
struct ReportReductionFailed {
  std::uint64_t sequence = 0;
  absl::Status status;
};
// No kernel of ours runs any more: buffers may be used again. Not OK: the process has to end.
struct ReportQuiet {
  absl::Status status;
};

using Command =
    std::variant<InitRank, AskAsync, AskEvent, ReadFlag, LaunchGroup, RecordDone, AbortComm,
                 Synchronise, FinalizeComm, DestroyComm, RaiseFlag, ArmWatchdog, DisarmWatchdog,
                 WaitUntil, ReportInstalled, ReportInstallFailed, ReportCommitted,
                 ReportReductionFailed, ReportQuiet>;
using Commands = std::vector<Command>;

struct Limits {
  // Several times what one cold init of 8 ranks was reported to take (2.5 s).
  base::Duration init = std::chrono::seconds(15);
  // Five times the longest abort that is read to be usual (1.1 s).
  base::Duration abort = std::chrono::seconds(5);
  base::Duration finalize = std::chrono::seconds(5);
  // Each failed one leaks (leaks.h).
  std::int32_t attempts = 4;
  base::Duration init_poll = std::chrono::milliseconds(1);
  base::Duration step_poll = std::chrono::microseconds(50);
  // While a group is computed: its coming wakes, and so does the flag.
  base::Duration gather_poll = std::chrono::milliseconds(1);
};

// What was read in one round of looking; a round ends with the flag, whatever it began with.
struct Round {
  enum class Stage { kResting, kEvent, kAsync, kFlag };
  Stage stage = Stage::kResting;
  EventState event = EventState::kPending;
  Result async{Code::kInProgress, ""};
};

struct Idle {};
struct Installing {
  base::Time deadline;
  bool begun = false;  // InitRank was answered
  Round round{};
};
struct Installed {
  bool reading = false;
};
struct Enqueueing {
  std::uint64_t sequence = 0;
  base::Time deadline;
  bool whole = false;        // the last group was given
  std::int32_t waiting = 0;  // groups behind the one in hand
  bool launched = false;     // the one in hand
  Round round{};
};
struct Gathering {  // all that was given is enqueued, and more will come
  std::uint64_t sequence = 0;
  base::Time deadline;
  Round round{};
};
struct Running {
  std::uint64_t sequence = 0;
  base::Time deadline;
  bool recorded = false;
  Round round{};
};
struct Finalising {
  base::Time deadline;
  bool begun = false;
  bool destroying = false;
  Round round{};
};
struct Aborting {
  base::Time deadline;
};
struct Synchronising {
  base::Time deadline;
};
struct Lost {
  std::string why;
};
using State = std::variant<Idle, Installing, Installed, Enqueueing, Gathering, Running, Finalising,
                           Aborting, Synchronising, Lost>;

class Machine {
 public:
  explicit Machine(Limits limits) : limits_(limits) {}

  // An answer that was not asked for is a bug of the shell.
  Commands Step(base::Time now, const MachineEvent& event);

  const State& state() const { return state_; }
  bool idle() const { return std::holds_alternative<Idle>(state_); }

 private:
  Commands On(base::Time now, const Install& e);
  Commands On(base::Time now, const Reduce& e);
  Commands On(base::Time now, const Continue& e);
  Commands On(base::Time now, const Close& e);
  Commands On(base::Time now, const Tick& e);
  Commands On(base::Time now, const InitBegun& e);
  Commands On(base::Time now, const AsyncRead& e);
  Commands On(base::Time now, const EventRead& e);
  Commands On(base::Time now, const FlagRead& e);
  Commands On(base::Time now, const Launched& e);
  Commands On(base::Time now, const Recorded& e);
  Commands On(base::Time now, const AbortDone& e);
  Commands On(base::Time now, const Synchronised& e);
  Commands On(base::Time now, const FinalizeBegun& e);
  Commands On(base::Time now, const Destroyed& e);

  // The end of a round, with the flag clear.
  Commands Conclude(base::Time now, Installing& s);
  Commands Conclude(base::Time now, Enqueueing& s);
  Commands Conclude(base::Time now, Gathering& s);
  Commands Conclude(base::Time now, Running& s);
  Commands Conclude(base::Time now, Finalising& s);

  absl::Status Refusal(const Install& e) const;
  Commands Enqueue(std::uint64_t sequence, base::Time deadline, bool whole);
  Commands Gather(base::Time now, base::Time deadline);
  Round* round();
  Commands Fail(base::Time now, const absl::Status& status);
  Commands Lose(std::string why);

  const Limits limits_;
  State state_ = Idle{};
  Attempt attempt_;            // the last that began
  std::vector<UniqueId> ids_;  // of attempts that began, however they ended; the newest kIdsKept
};

}  // namespace muster::nccl
