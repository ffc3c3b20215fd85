// Suspicion as pure logic (M3): what is known about a member in, a verdict with its reason out.
//
// Nothing here remembers or decides for a view; the machine asks after every event. Hints (a node
// that is NotReady, a notice to leave) never convict a member that beats.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "operator/api/messages.h"
#include "operator/base/ids.h"
#include "operator/base/time.h"

namespace muster::membership {

// What speaks for and against one member.
struct Signs {
  base::Time heard;                           // its last message
  std::optional<base::Time> stream_lost;      // set while it has no stream
  std::optional<base::Time> neighbour_reset;  // a neighbour reported its connection reset
  std::optional<base::Time> pod_lost;         // the cluster says that it is gone
  bool node_suspect = false;                  // its node is NotReady or gone: a hint
};

struct Limits {
  base::Duration heartbeat;
  base::Duration timeout;
  base::Duration reconnect_grace;
};

struct Verdict {
  std::string reason;   // of the closed list in docs/reasons.md
  std::string message;  // a sentence
  base::Time since;     // last sign of life, or the instant of the evidence
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

// Set when the signs convict the member.
//
//   signs                          verdict
//   pod lost                       WorkerKilled at once
//   stream lost + neighbour reset  WorkerKilled at once: a process that lives keeps one of the two
//   stream lost alone              StreamLost after reconnect_grace
//   neighbour reset alone          none: it must answer Ready like the others
//   silent                         HeartbeatTimeout after timeout; half of it when its node is
//   suspect
std::optional<Verdict> Judge(const Signs& signs, const Limits& limits, base::Time now);

// How long a member may be silent. A suspect node shortens it for one that has missed two beats (M3).
base::Duration SilenceLimit(const Signs& signs, const Limits& limits);

// A wait of at most `limit` that began at `since`, after its coordinator slept until `now`: it goes
// on where it was, because what was said meanwhile has yet to be read, and at least two beats of it
// are left. It does not begin anew: a coordinator that naps again and again would wait for ever.
base::Time WaitAfterSleep(base::Time since, base::Duration limit, base::Duration heartbeat,
                          base::Duration slept, base::Time now);

// When the verdict may change without a new sign.
base::Time NextJudgement(const Signs& signs, const Limits& limits);

// The time of a step as learned from the last 16 commits. The median ignores a pause for a fault.
class StepTimes {
 public:
  void Add(base::Duration step);
  std::optional<base::Duration> Median() const;

 private:
  std::deque<base::Duration> last_;
};

// What the beats of one member of the view say.
struct Pace {
  base::MemberId member;
  api::MemberPhase phase = api::MemberPhase::kForward;
  base::Step step;
  base::Time progress_at;  // when its progress last grew
};

// A member that does nothing may be so for max(10 x step time, 5 s); 30 s while no step time is
// known.
base::Duration StallLimit(const StepTimes& times);

// The stall rule: who has made no progress for `limit` while another waits in the reduction for it.
std::optional<base::MemberId> FindStalled(const std::vector<Pace>& paces, base::Duration limit,
                                          base::Time now);

}  // namespace muster::membership
