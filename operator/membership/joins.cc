// How often members come in (M9): where they reduce through NCCL a join costs everybody a new
// communicator.
#include <algorithm>

#include "operator/api/device_line.h"
#include "operator/membership/patience.h"
#include "operator/membership/state.h"

namespace muster::membership {

bool Core::MayTakeIn(const std::vector<base::MemberId>& join, bool complete) const {
  base::Time first = now;
  for (const base::MemberId id : join) first = std::min(first, Find(id)->warm_since);
  JoinTiming timing{base::Duration(0), config.join_batch, joined_at, makes_good, complete, first};
  if (api::ReducesByNccl(device)) {
    timing.interval = kNcclJoinInterval;
    timing.batch = kNcclJoinBatch;
  }
  return now >= JoinDue(timing);
}

// A view comes into force in the place of one of `before`.
void Core::NoteJoins(const std::vector<base::MemberId>& before, const api::View& next) {
  const std::vector<api::ViewMember>& all = next.members;
  const auto is_in_next = [&](base::MemberId id) {
    return std::any_of(all.begin(), all.end(), [&](const auto& v) { return v.id == id; });
  };
  const bool lost = !std::all_of(before.begin(), before.end(), is_in_next);
  const bool took_in = std::any_of(all.begin(), all.end(), [&](const api::ViewMember& v) {
    return std::find(before.begin(), before.end(), v.id) == before.end();
  });
  // Who comes in with a change that is made anyway costs nothing more.
  if (took_in && !lost && next.voluntary) joined_at = now;
  const bool wanting = static_cast<std::int32_t>(all.size()) < target.desired;
  makes_good = wanting && (lost || (makes_good && !took_in));
}

}  // namespace muster::membership
