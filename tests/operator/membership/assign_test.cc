// Slot assignment and rank order, over small domains exhaustively.
#include "operator/membership/assign.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace muster::membership {
namespace {

using ::testing::ElementsAre;
using Slots = std::vector<api::Slot>;

void ExpectPartition(const std::vector<Slots>& by_rank, std::int32_t slots) {
  Slots all;
  for (const Slots& s : by_rank) {
    EXPECT_TRUE(std::is_sorted(s.begin(), s.end()));
    all.insert(all.end(), s.begin(), s.end());
  }
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), static_cast<std::size_t>(slots));
  for (std::int32_t i = 0; i < slots; ++i) EXPECT_EQ(all[i], i);
}

TEST(AssignTest, RegularIsAPartitionBalancedToWithinOne) {
  for (std::int32_t members = 1; members <= 7; ++members) {
    for (std::int32_t slots = members; slots <= 40; ++slots) {
      const auto by_rank = AssignRegular(members, slots);
      ExpectPartition(by_rank, slots);
      const auto [low, high] = std::minmax_element(
          by_rank.begin(), by_rank.end(), [](auto& a, auto& b) { return a.size() < b.size(); });
      EXPECT_LE(high->size() - low->size(), 1u);
    }
  }
}

TEST(AssignTest, KeptSlotsStayAndTheRestIsBalanced) {
  // Every way in which three survivors can keep eight slots: each slot is kept by one of them or
  // nobody.
  for (int code = 0; code < 65536; ++code) {
    std::vector<Slots> kept(3);
    for (int slot = 0; slot < 8; ++slot) {
      const int owner = (code >> (2 * slot)) & 3;
      if (owner < 3) kept[owner].push_back(slot);
    }
    const ResumeSlots out = AssignResume(kept, 8);
    ExpectPartition(out.all, 8);
    ASSERT_EQ(out.kept, kept);
    std::size_t low = 99, high = 0;
    for (int rank = 0; rank < 3; ++rank) {
      ASSERT_TRUE(std::includes(out.all[rank].begin(), out.all[rank].end(), kept[rank].begin(),
                                kept[rank].end()));
      low = std::min(low, out.all[rank].size() - kept[rank].size());
      high = std::max(high, out.all[rank].size() - kept[rank].size());
    }
    ASSERT_LE(high - low, 1u);
  }
}

TEST(AssignTest, ASlotKeptByTwoStaysWithTheLowerRank) {
  const ResumeSlots out = AssignResume({{0, 1}, {1, 2}}, 4);
  EXPECT_THAT(out.kept, ElementsAre(Slots{0, 1}, Slots{2}));
  ExpectPartition(out.all, 4);
}

TEST(AssignTest, SlotsOutsideTheStepAreNotBelieved) {
  const ResumeSlots out = AssignResume({{-1, 0, 9}}, 2);
  EXPECT_THAT(out.kept, ElementsAre(Slots{0}));
  EXPECT_THAT(out.all, ElementsAre(Slots{0, 1}));
}

TEST(AssignTest, RankOrderKeepsSurvivorsAndNeighbours) {
  const std::vector<Placed> survivors = {{{3, 0}, "b"}, {{0, 0}, "a"}, {{1, 0}, "a"}};
  const std::vector<Placed> joiners = {{{2, 1}, "b"}, {{4, 0}, "c"}, {{5, 0}, "a"}, {{6, 0}, "c"}};
  EXPECT_THAT(RankOrder(survivors, joiners),
              ElementsAre(base::MemberId{3, 0}, base::MemberId{2, 1}, base::MemberId{0, 0},
                          base::MemberId{1, 0}, base::MemberId{5, 0}, base::MemberId{4, 0},
                          base::MemberId{6, 0}));
}

}  // namespace
}  // namespace muster::membership
