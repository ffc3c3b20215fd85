#include "operator/base/pod_members.h"

#include <gtest/gtest.h>

#include <set>

namespace muster::base {
namespace {

TEST(PodMembersTest, APodOfOneProcessIsItsMember) {
  for (const MemberId id : {MemberId{0, 0}, MemberId{3, 2}, MemberId{7, INT32_MAX}}) {
    EXPECT_EQ(MemberOf({id}, 1), id);
    EXPECT_EQ(PodOf(id, 1), id);
    EXPECT_EQ(ProcessOf(id, 1), (PodProcess{id, 0, 0}));
  }
}

TEST(PodMembersTest, IdsOfSeveralProcessesReadAsTheirPods) {
  EXPECT_EQ(MemberOf({{0, 0}, 0, 0}, 2), (MemberId{0, 0}));
  EXPECT_EQ(MemberOf({{0, 0}, 1, 0}, 2), (MemberId{1, 0}));
  EXPECT_EQ(MemberOf({{2, 0}, 1, 3}, 2), (MemberId{5, 3}));
  EXPECT_EQ(MemberOf({{2, 4}, 1, 3}, 8), (MemberId{17, 4003}));
  EXPECT_EQ(PodOf({17, 4003}, 8), (MemberId{2, 4}));
}

TEST(PodMembersTest, NoIdIsUsedTwiceAndEachSaysWhoseItIs) {
  for (const std::int32_t processes : {2, 3, 8, 64}) {
    std::set<MemberId> seen;
    std::size_t made = 0;
    for (const MemberId pod : {MemberId{0, 0}, MemberId{0, 1}, MemberId{1, 0}, MemberId{4, 7},
                               MemberId{10000, kMostPodIncarnation}}) {
      for (std::int32_t process = 0; process < processes; ++process) {
        for (const std::int32_t life : {0, 1, 2, kPodLife}) {
          const PodProcess of{pod, process, life};
          const MemberId member = MemberOf(of, processes);
          EXPECT_EQ(ProcessOf(member, processes), of) << ToString(member);
          EXPECT_GE(member.incarnation, 0);
          seen.insert(member);
          ++made;
        }
      }
    }
    EXPECT_EQ(seen.size(), made);
  }
}

TEST(PodMembersTest, AnIdBeyondWhatFitsIsCutAndNotRunOver) {
  const MemberId most{INT32_MAX, INT32_MAX};
  const MemberId cut = MemberOf({most, 1, 0}, 64);
  EXPECT_GT(cut.ordinal, 0);
  EXPECT_GT(cut.incarnation, 0);
  EXPECT_EQ(ProcessOf(cut, 64).process, 1);
}

TEST(PodMembersTest, APodItselfHasAnIdThatNoProcessHas) {
  EXPECT_EQ(PodItself({3, 2}, 1), (MemberId{3, 2}));
  EXPECT_EQ(PodItself({3, 2}, 4), (MemberId{12, 2999}));
  EXPECT_EQ(PodOf({12, 2999}, 4), (MemberId{3, 2}));
}

TEST(PodMembersTest, ALaterLifeAndALaterPodCompareAsLater) {
  EXPECT_LT(MemberOf({{3, 1}, 1, 0}, 2), MemberOf({{3, 1}, 1, 1}, 2));
  EXPECT_LT(MemberOf({{3, 1}, 1, kPodLife}, 2), MemberOf({{3, 2}, 1, 0}, 2));
}

}  // namespace
}  // namespace muster::base
