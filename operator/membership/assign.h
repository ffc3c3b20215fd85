// Who computes which slot, and in which rank order members stand. Pure functions of their
// arguments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "operator/api/view.h"
#include "operator/base/ids.h"

namespace muster::membership {

// Slots 0..slots-1 in contiguous blocks by rank, balanced to within one.
std::vector<std::vector<api::Slot>> AssignRegular(std::int32_t members, std::int32_t slots);

// The resume step's slots by rank (M6, E9). Kept slots stay with who holds them; all others are
// dealt so that the numbers of slots still to be computed differ by at most one. `kept` has one
// entry per rank; a slot kept by two stays with the lower rank, whose `kept` entry alone then
// counts.
struct ResumeSlots {
  std::vector<std::vector<api::Slot>> all;   // by rank, ascending
  std::vector<std::vector<api::Slot>> kept;  // the part of `all` that is held already
};
ResumeSlots AssignResume(const std::vector<std::vector<api::Slot>>& kept, std::int32_t slots);

struct Placed {
  base::MemberId member;
  std::string node;
  friend bool operator==(const Placed&, const Placed&) = default;
};

// M13: survivors keep their relative order; a joiner stands behind the last member of its node, or
// at the end, where joiners of one node stand together.
std::vector<base::MemberId> RankOrder(const std::vector<Placed>& survivors,
                                      const std::vector<Placed>& joiners);

}  // namespace muster::membership
