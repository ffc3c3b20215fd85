// Members summed up by their pods.
#include "operator/job/by_pods.h"

#include <gtest/gtest.h>

namespace muster::job {
namespace {

using base::MemberId;

base::WallTime Second(int seconds) { return base::WallTime(std::chrono::seconds(seconds)); }

MembershipView View(std::vector<KnownMember> members) {
  MembershipView view;
  view.members = std::move(members);
  return view;
}

TEST(ByPodsTest, WithOneProcessNothingChanges) {
  MembershipView view = View({{{0, 3}, true, false, false}, {{2, 0}, false, true, true}});
  view.evicted[{1, 1}] = {"Stalled", "why"};
  view.evicted_at[{1, 1}] = Second(5);
  view.last_words[{1, 1}] = {74, "words"};
  EXPECT_EQ(ByPods(view, 1), view);
}

TEST(ByPodsTest, APodIsInTheViewWithOneMemberAndReleasedWithAll) {
  const struct {
    const char* name;
    std::vector<KnownMember> members;  // of pod 1.2: members 2.2000 and 3.2000
    KnownMember pod;
  } rows[] = {
      {"both train",
       {{{2, 2000}, true, false, false}, {{3, 2000}, true, false, false}},
       {{1, 2}, true, false, false}},
      {"one came again and waits",
       {{{2, 2000}, true, false, false}, {{3, 2001}, false, false, false}},
       {{1, 2}, true, false, false}},
      {"both leave",
       {{{2, 2000}, true, true, false}, {{3, 2000}, true, true, false}},
       {{1, 2}, true, true, false}},
      {"one is let go and one still serves",
       {{{2, 2000}, false, true, true}, {{3, 2000}, false, true, false}},
       {{1, 2}, false, true, false}},
      {"one is let go and one waits",
       {{{2, 2000}, false, true, true}, {{3, 2000}, false, false, false}},
       {{1, 2}, false, false, false}},
      {"both are let go",
       {{{2, 2000}, false, true, true}, {{3, 2000}, false, true, true}},
       {{1, 2}, false, false, true}},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(ByPods(View(row.members), 2), View({row.pod})) << row.name;
  }
}

TEST(ByPodsTest, PodsComeInTheOrderOfTheirFirstMembers) {
  const MembershipView view = ByPods(View({{{5, 0}, true, false, false},
                                           {{0, 0}, true, false, false},
                                           {{4, 0}, true, false, false},
                                           {{1, 1000}, false, false, false}}),
                                     2);
  ASSERT_EQ(view.members.size(), 3u);
  EXPECT_EQ(view.members[0].id, (MemberId{2, 0}));
  EXPECT_EQ(view.members[1].id, (MemberId{0, 0}));
  EXPECT_EQ(view.members[2].id, (MemberId{0, 1})) << "another pod of the same ordinal";
}

TEST(ByPodsTest, APodIsEvictedOnlyWithAllItsProcesses) {
  MembershipView view = View({{{0, 0}, true, false, false}});
  view.evicted[{1, 0}] = {"WorkerKilled", "process 1 of pod 0.0"};
  view.evicted_at[{1, 0}] = Second(7);
  // Of pod 1.0 both, the first of them twice.
  view.evicted[{2, 0}] = {"WorkerKilled", "long ago"};
  view.evicted_at[{2, 0}] = Second(1);
  view.evicted[{2, 1}] = {"HeartbeatTimeout", "no beat"};
  view.evicted_at[{2, 1}] = Second(9);
  view.evicted[{3, 0}] = {"HeartbeatTimeout", "nor from this one"};
  view.evicted_at[{3, 0}] = Second(8);
  // Of pod 2.0 one; the other has never said hello.
  view.evicted[{4, 0}] = {"Stalled", "stuck"};
  view.last_words[{2, 0}] = {70, "first"};
  view.last_words[{2, 1}] = {71, "second"};
  const MembershipView out = ByPods(view, 2);
  EXPECT_EQ(out.evicted, (std::map<MemberId, Verdict>{{{1, 0}, {"HeartbeatTimeout", "no beat"}}}));
  EXPECT_EQ(out.evicted_at, (std::map<MemberId, base::WallTime>{{{1, 0}, Second(9)}}));
  EXPECT_EQ(out.last_words, (std::map<MemberId, LastWords>{{{1, 0}, {71, "second"}}}));
  EXPECT_EQ(out.lost_processes, (std::map<MemberId, LostProcess>{
                                    {{1, 0}, {{"WorkerKilled", "process 1 of pod 0.0"}, Second(7)}},
                                    {{4, 0}, {{"Stalled", "stuck"}, base::WallTime()}}}));
}

TEST(ByPodsTest, APodWhoseProcessesCameAgainIsNotEvicted) {
  MembershipView view = View({{{1, 1}, false, false, false}});
  view.evicted[{0, 0}] = view.evicted[{1, 0}] = {"WorkerKilled", "killed"};
  const MembershipView out = ByPods(view, 2);
  EXPECT_TRUE(out.evicted.empty());
  EXPECT_EQ(out.lost_processes.size(), 2u);
}

TEST(LossIdTest, IsThePodsOwnWithOneProcessAndNoMembersWithSeveral) {
  EXPECT_EQ(LossId({3, 2}, 1), (MemberId{3, 2}));
  EXPECT_EQ(LossId({3, 2}, 4), (MemberId{12, 2999}));
  EXPECT_EQ(base::PodOf(LossId({3, 2}, 4), 4), (MemberId{3, 2}));
}

}  // namespace
}  // namespace muster::job
