// When a change that could be made at once is better made later: joins (M9), and views after a
// reduction that broke (M7). Pure values, for tables.
#pragma once

#include <cstdint>
#include <optional>

#include "operator/base/time.h"

namespace muster::membership {

// A join makes everybody build a new communicator of NCCL. One init of 8 GPUs was reported to take 2.5
// s, so at most about a tenth of the time goes into taking members in. No setting: who is short of
// members after a loss does not wait for it, and who grows a job does not wait long.
inline constexpr base::Duration kNcclJoinInterval = std::chrono::seconds(30);
// Processes that are started together become warm within seconds of each other: contexts, libraries.
// A guess.
inline constexpr base::Duration kNcclJoinBatch = std::chrono::seconds(5);

struct JoinTiming {
  base::Duration interval{0};      // least time between changes that only take members in
  base::Duration batch{0};         // so long others may follow the first
  std::optional<base::Time> last;  // when the last such change came into force
  bool makes_good = false;         // the view has lost somebody, and nobody came in since
  bool complete = false;           // with these all that are wanted are there
  base::Time first_warm;           // of those who wait
};

// The time from which they may be taken in.
base::Time JoinDue(const JoinTiming& timing);

// How a break is answered that no death explains.
enum class BreakAnswer { kTryAgain, kEvict, kFail };
struct BreakDecision {
  BreakAnswer answer = BreakAnswer::kTryAgain;
  base::Duration pause{0};  // before the next view
};
inline constexpr std::int32_t kBreaksToEvict = 3;
inline constexpr std::int32_t kBreaksToFail = 6;

// `in_row`: breaks without a step committed between them, this one included; `by_the_same`: of the
// last of them, those that one member was the first to report; `can_spare`: others hold the state,
// too.
BreakDecision DecideOnBreak(std::int32_t in_row, std::int32_t by_the_same, bool can_spare);

}  // namespace muster::membership
