// Who leads, decided by a Lease: the election as a pure machine, Step(now, wall, event) -> commands.
//
// One thread; the shell is elector.h. Times are of one process's monotonic clock.
//
//   Follower --- lease is free, or unchanged for its duration: write it ---> Leader
//      ^                                                                     |    ^
//      |                renewDeadline after the sending of the last write    |    | a renewal
//      |                that succeeded                                       v    |
//      +------ leaseDuration after it, when another may lead -------------- Waiting
//              (from both: another holder is read, or it is asked to stop: releases)
//
// Who waits may not write and leads on: its streams stay, and where it renews the lease that it still
// holds, nobody else has led meanwhile. An API server that stands for four seconds would otherwise
// cost a reading of everything, at a time at which it is the last thing that it needs.
//
// What it guarantees: at no instant have two processes the right to write, as long as the fastest
// of their clocks runs less than lease_duration / renew_deadline (5/3 by default) times as fast as
// the slowest, and identities are unique to a process. It needs no two clocks to show the same time
// and no bound on delays: a leader counts its right from the *sending* of its last successful
// write, a follower counts the wait from its own *seeing* of the last change, which is later.
//
// What it does not guarantee:
// - That nothing written by a former leader lands later: a request that was sent in time may reach
//   the API server after the right has ended. What must not be overtaken carries the record's term
//   and a compare-and-swap (M1).
// - Anything while a process's clock stands still and its process runs on (a paused and resumed
//   virtual machine whose monotonic clock does not count the pause). The term fences that too.
// - That deleting the Lease is harmless: a process that had seen it waits as for a dead leader, but
//   one that starts afterwards finds no Lease and takes it at once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "operator/api/lease.h"
#include "operator/base/rng.h"
#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::kube {

struct ElectorConfig {
  std::string identity;  // of this process and no other, not even of its own restart
  // A follower takes the lease when it has not changed for so long; also what the Lease says.
  base::Duration lease_duration = std::chrono::seconds(5);
  // A leader that has not renewed for so long has lost the right to write.
  base::Duration renew_deadline = std::chrono::seconds(3);
  base::Duration retry_period = std::chrono::seconds(1);
  // A request without an answer is Unknown after this: one lost answer costs no leadership.
  base::Duration request_timeout = std::chrono::milliseconds(1500);
  double jitter = 0.2;  // a follower looks again after up to this share more than retry_period
  std::uint64_t seed = 0;
};
// InvalidArgument names the field and the order that must hold: retry_period with its jitter and
// request_timeout are below renew_deadline, which is below lease_duration.
absl::Status CheckElectorConfig(const ElectorConfig& config);

enum class LeaseWriteOutcome { kOk, kConflict, kUnknown };

// ---- events
struct LeaseRead {  // answer to ReadLease; none: there is no such Lease
  absl::StatusOr<std::optional<api::Lease>> lease;
};
struct LeaseWritten {  // answer to WriteLease
  LeaseWriteOutcome outcome = LeaseWriteOutcome::kOk;
  api::Lease lease;    // as stored, when kOk
  std::string reason;  // a sentence, otherwise
};
struct LeaseSeen {  // from a watch, where there is one; it may come late
  api::Lease lease;
};
struct Waited {};         // NextWake() has come
struct StopRequested {};  // SIGTERM
using ElectorEvent = std::variant<Waited, LeaseRead, LeaseWritten, LeaseSeen, StopRequested>;

// ---- commands, obeyed in order
// The shell answers each of these two within its timeout, and there is one at a time.
struct ReadLease {
  base::Duration timeout{0};
  friend bool operator==(const ReadLease&, const ReadLease&) = default;
};
// A create when `lease` has no resource version, else a replace of just that version.
struct WriteLease {
  api::Lease lease;
  base::Duration timeout{0};
  friend bool operator==(const WriteLease&, const WriteLease&) = default;
};
struct StartLeading {
  friend bool operator==(const StartLeading&, const StartLeading&) = default;
};
// The right to write is over when this is said, if not before.
struct StopLeading {
  std::string reason;
  friend bool operator==(const StopLeading&, const StopLeading&) = default;
};
struct NewHolder {  // for people; empty: nobody
  std::string identity;
  friend bool operator==(const NewHolder&, const NewHolder&) = default;
};
struct Trouble {  // a request failed; for the log, each half minute while none succeeds
  std::string reason;
  friend bool operator==(const Trouble&, const Trouble&) = default;
};
struct Finished {  // after StopRequested: the lease is released, or it was not ours
  friend bool operator==(const Finished&, const Finished&) = default;
};
using ElectorCommand =
    std::variant<ReadLease, WriteLease, StartLeading, StopLeading, NewHolder, Trouble, Finished>;

class ElectorMachine final {
 public:
  // The config has been checked. Its first request is due at once.
  ElectorMachine(ElectorConfig config, base::Time now);

  std::vector<ElectorCommand> Step(base::Time now, base::WallTime wall, const ElectorEvent& event);
  // When to Step with Waited at the latest.
  std::optional<base::Time> NextWake() const;
  // The right to write: until when, if it leads. Whoever writes compares with the clock just
  // before.
  std::optional<base::Time> RightUntil() const { return right_until_; }
  bool MayWrite(base::Time now) const { return right_until_ && now < *right_until_; }

 private:
  struct Request {
    base::Time sent;
    bool write = false;
  };

  void OnRead(base::Time now, const LeaseRead& read);
  void OnWritten(base::Time now, const LeaseWritten& written);
  void OnSeen(base::Time now, const api::Lease& lease);
  void Observe(base::Time now, const std::optional<api::Lease>& lease);
  void TellFailure(base::Time now, std::string sentence);
  void EndWhatIsDue(base::Time now);
  void EndLeading(std::string reason);
  void Act(base::Time now, base::WallTime wall);
  void ActStopping(base::Time now, base::WallTime wall);
  void Read(base::Time now);
  void Write(base::Time now, base::WallTime wall, bool release);
  bool HeldByUs() const { return lease_ && lease_->holder == config_.identity; }
  // When this process may take the lease that it sees.
  base::Time TakeAt() const;

  const ElectorConfig config_;
  base::SplitMix random_;
  std::vector<ElectorCommand> out_;

  std::optional<api::Lease> lease_;  // the newest that was seen
  bool ever_seen_ = false;           // there was a Lease once
  bool stale_ = true;                // a write was refused or unanswered: read before writing
  bool unsure_ = false;              // a write without an answer may have landed
  base::Time changed_at_;            // when lease_ was first seen as it is
  base::Time next_;                  // no request before this, except to take what is expired
  std::optional<Request> request_;
  std::optional<base::Time> failure_told_;  // since the last request that succeeded
  std::optional<base::Time> right_until_;
  std::optional<base::Time> leads_until_;  // unless it renews; not before right_until_
  std::optional<base::Time> stop_by_;      // set: asked to stop, and tries to release until then
  bool finished_ = false;
};

}  // namespace muster::kube
