// Slot assignment and rank order (M6, M13): see assign.h.
#include "operator/membership/assign.h"

#include <algorithm>

namespace muster::membership {

std::vector<std::vector<api::Slot>> AssignRegular(std::int32_t members, std::int32_t slots) {
  std::vector<std::vector<api::Slot>> out(members);
  api::Slot next = 0;
  for (std::int32_t rank = 0; rank < members; ++rank) {
    const std::int32_t share = slots / members + (rank < slots % members ? 1 : 0);
    for (std::int32_t i = 0; i < share; ++i) out[rank].push_back(next++);
  }
  return out;
}

ResumeSlots AssignResume(const std::vector<std::vector<api::Slot>>& kept, std::int32_t slots) {
  const std::size_t members = kept.size();
  ResumeSlots out;
  out.all.resize(members);
  out.kept.resize(members);
  std::vector<bool> taken(slots, false);
  for (std::size_t rank = 0; rank < members; ++rank) {
    for (const api::Slot slot : kept[rank]) {
      if (slot < 0 || slot >= slots || taken[slot]) continue;
      taken[slot] = true;
      out.kept[rank].push_back(slot);
    }
    std::sort(out.kept[rank].begin(), out.kept[rank].end());
    out.all[rank] = out.kept[rank];
  }
  std::vector<api::Slot> open;
  for (api::Slot slot = 0; slot < slots; ++slot) {
    if (!taken[slot]) open.push_back(slot);
  }
  const auto shares =
      AssignRegular(static_cast<std::int32_t>(members), static_cast<std::int32_t>(open.size()));
  for (std::size_t rank = 0; rank < members; ++rank) {
    for (const api::Slot index : shares[rank]) out.all[rank].push_back(open[index]);
    std::sort(out.all[rank].begin(), out.all[rank].end());
  }
  return out;
}

std::vector<base::MemberId> RankOrder(const std::vector<Placed>& survivors,
                                      const std::vector<Placed>& joiners) {
  std::vector<Placed> order = survivors;
  for (const Placed& joiner : joiners) {
    const auto last = std::find_if(order.rbegin(), order.rend(),
                                   [&](const Placed& p) { return p.node == joiner.node; });
    order.insert(last == order.rend() ? order.end() : last.base(), joiner);
  }
  std::vector<base::MemberId> out;
  for (const Placed& placed : order) out.push_back(placed.member);
  return out;
}

}  // namespace muster::membership
