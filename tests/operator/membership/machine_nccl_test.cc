// What is different where members reduce through NCCL: joins apart from each other (M9), breaks that no
// death explains (M7).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operator/membership/rig.h"

namespace muster::membership {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kSoon = 100;

// `n` members that reduce through NCCL, and a view of all that has committed step 1.
Rig Gpus(int n, const char* device = "gpu, sums by nccl") {
  Rig rig(MakeConfig(n, 1));
  rig.device = device;
  std::vector<int> ordinals;
  std::vector<base::MemberId> ids;
  for (int i = 0; i < n; ++i) ordinals.push_back(i), ids.push_back(M(i));
  rig.Start().Join(ordinals).Installed(ids, 1, 1).Committed(ids, 1, 1).Take();
  return rig;
}

// A voluntary view goes through: it is out, its step is committed, it is installed.
void Switch(Rig& rig, const std::vector<base::MemberId>& before,
            const std::vector<base::MemberId>& after, int epoch, int step) {
  ASSERT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(after.size()));
  rig.Committed(before, epoch - 1, step).Installed(after, epoch, step + 1);
  rig.Committed(after, epoch, step + 1).Take();
}

TEST(NcclJoinsTest, ALeastIntervalLiesBetweenChangesThatOnlyTakeIn) {
  Rig rig = Gpus(1);
  rig.Do(SetTarget{2, 1}, "target 2").Join({1});
  Switch(rig, {M(0)}, {M(0), M(1)}, 2, 2);  // the first one waits for nothing
  rig.Do(SetTarget{4, 1}, "target 4").Join({2}).After(10'000).Join({3}).After(19'900);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty()) << "29.9 s after the one before";
  rig.After(kSoon);
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(4)) << "both at once";
  EXPECT_TRUE(views[0].view.voluntary);
}

TEST(NcclJoinsTest, TheFirstJoinAfterALossDoesNotWait) {
  Rig rig = Gpus(3);
  rig.Do(SetTarget{4, 1}, "target 4").Join({3});
  Switch(rig, {M(0), M(1), M(2)}, {M(0), M(1), M(2), M(3)}, 2, 2);
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost").Do(PodLost{M(2), "killed"}, "pod 2.0 lost");
  rig.Ready(M(0), 2, 3).Ready(M(3), 2, 3).Installed({M(0), M(3)}, 3, 4);
  rig.Committed({M(0), M(3)}, 3, 4).Take();
  rig.Join({1}).After(4900);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty()) << "the other one may follow soon";
  rig.After(kSoon + 100);
  Switch(rig, {M(0), M(3)}, {M(0), M(3), M(1, 1)}, 4, 5);
  rig.Join({2}).After(29'500);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty()) << "it did not: now it waits";
  rig.After(600);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(4));
}

TEST(NcclJoinsTest, WhoMakesTheViewWholeAfterALossComesInAtOnce) {
  Rig rig = Gpus(2);
  rig.Do(SetTarget{3, 1}, "target 3").Join({2});
  Switch(rig, {M(0), M(1)}, {M(0), M(1), M(2)}, 2, 2);
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost").Ready(M(0), 2, 3).Ready(M(2), 2, 3);
  rig.Installed({M(0), M(2)}, 3, 4).Committed({M(0), M(2)}, 3, 4).Take();
  rig.Join({1});
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(3));
}

TEST(NcclJoinsTest, WhoWaitsComesInWithAChangeThatIsMadeAnyway) {
  Rig rig = Gpus(2);
  rig.Do(SetTarget{3, 1}, "target 3").Join({2});
  Switch(rig, {M(0), M(1)}, {M(0), M(1), M(2)}, 2, 2);
  rig.Do(SetTarget{4, 1}, "target 4").Join({3}).After(300);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty());
  rig.Say(M(1), api::Leave{30}, "Leave");
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(4));
  EXPECT_THAT(views[0].view.members, SizeIs(3)) << "0, 2 and 3";
}

TEST(NcclJoinsTest, ByTheRingNobodyWaits) {
  for (const char* device : {"gpu, sums by ring", "cpu", ""}) {
    Rig rig = Gpus(1, device);
    rig.Do(SetTarget{2, 1}, "target 2").Join({1});
    Switch(rig, {M(0)}, {M(0), M(1)}, 2, 2);
    rig.Do(SetTarget{3, 1}, "target 3").Join({2});
    EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(3)) << device;
  }
}

// `id` says that the reduction broke, everybody answers, and the next view is installed.
void BreakOnce(Rig& rig, base::MemberId id, const std::vector<base::MemberId>& all, int epoch,
               int pause_ms) {
  SCOPED_TRACE(epoch);
  rig.Say(id, api::Suspect{base::Epoch(epoch), id, api::Evidence::kTimeout, "remote error"},
          "Suspect itself");
  for (const base::MemberId m : all) rig.Ready(m, epoch, 1);
  if (pause_ms > 0) {
    rig.After(pause_ms - 20);
    EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty());
    rig.After(30);
  }
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(all.size()));
  rig.Installed(all, epoch + 1, 2);
}

TEST(BreaksTest, SixWithoutAStepInBetweenFailTheJob) {
  Rig rig = RunningAll(2, 1, MakeConfig(2, 1));
  const std::vector<base::MemberId> all = {M(0), M(1)};
  for (int i = 0; i < 5; ++i) BreakOnce(rig, M(i % 2), all, 1 + i, i == 0 ? 0 : 1000 << (i - 1));
  rig.Say(M(1), api::Suspect{base::Epoch(6), M(1), api::Evidence::kTimeout, "remote error"},
          "Suspect itself");
  const auto commands = rig.Take();
  EXPECT_THAT(Only<Evicted>(commands), IsEmpty());
  ASSERT_THAT(Only<JobFailed>(commands), SizeIs(1));
  EXPECT_EQ(Only<JobFailed>(commands)[0].reason, "NcclBroken");
  EXPECT_THAT(Only<JobFailed>(commands)[0].message,
              HasSubstr("broke 6 times without a step in between, and nobody had died; the last "
                        "time 1.0 was told: remote error"));
}

TEST(BreaksTest, WhoIsTheFirstToSeeThreeIsReplaced) {
  Rig rig = RunningAll(2, 1, MakeConfig(2, 1));
  BreakOnce(rig, M(1), {M(0), M(1)}, 1, 0);
  BreakOnce(rig, M(1), {M(0), M(1)}, 2, 1000);
  rig.Say(M(1), api::Suspect{base::Epoch(3), M(1), api::Evidence::kTimeout, "remote error"},
          "Suspect itself");
  const auto evicted = Only<Evicted>(rig.Take());
  ASSERT_THAT(evicted, SizeIs(1));
  EXPECT_EQ(evicted[0].member, M(1));
  EXPECT_EQ(evicted[0].reason, "NcclBroken");
  EXPECT_THAT(evicted[0].message, HasSubstr("remote error"));
  rig.Ready(M(0), 3, 1).After(2100);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(1)) << "the others go on";
}

TEST(BreaksTest, AStepInBetweenForgetsThem) {
  Rig rig = RunningAll(2, 1, MakeConfig(2, 1));
  for (int round = 0; round < 8; ++round) {
    const int epoch = 1 + round, step = 1 + round;
    rig.Say(M(1), api::Suspect{base::Epoch(epoch), M(1), api::Evidence::kTimeout, "remote error"},
            "Suspect itself");
    rig.Ready(M(0), epoch, step).Ready(M(1), epoch, step);
    rig.Installed({M(0), M(1)}, epoch + 1, step + 1).Committed({M(0), M(1)}, epoch + 1, step + 1);
    const auto commands = rig.Take();
    EXPECT_THAT(Only<Evicted>(commands), IsEmpty());
    EXPECT_THAT(Only<JobFailed>(commands), IsEmpty());
    ASSERT_THAT(Only<RescaleDone>(commands), SizeIs(1));
    EXPECT_EQ(Only<RescaleDone>(commands)[0].rescale.cause, "NcclBroken");
  }
}

TEST(BreaksTest, ADeathExplainsThemAndIsTheCause) {
  Rig rig = RunningAll(3, 1, MakeConfig(3, 1));
  BreakOnce(rig, M(0), {M(0), M(1), M(2)}, 1, 0);
  rig.Say(M(0), api::Suspect{base::Epoch(2), M(0), api::Evidence::kTimeout, "remote error"},
          "Suspect itself");
  rig.Do(PodLost{M(2), "killed"}, "pod 2.0 lost").Ready(M(0), 2, 1).Ready(M(1), 2, 1);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(2))
      << "without the pause of a second break";
  rig.Installed({M(0), M(1)}, 3, 2).Committed({M(0), M(1)}, 3, 2);
  const auto done = Only<RescaleDone>(rig.Take());
  ASSERT_THAT(done, SizeIs(1));
  EXPECT_EQ(done[0].rescale.cause, "WorkerKilled");
}

TEST(BreaksTest, WhoHoldsTheStateAloneIsKept) {
  Rig rig = RunningAll(1, 1, MakeConfig(1, 1));
  for (int i = 0; i < 5; ++i) BreakOnce(rig, M(0), {M(0)}, 1 + i, i == 0 ? 0 : 1000 << (i - 1));
  rig.Say(M(0), api::Suspect{base::Epoch(6), M(0), api::Evidence::kTimeout, "remote error"},
          "Suspect itself");
  const auto commands = rig.Take();
  EXPECT_THAT(Only<Evicted>(commands), IsEmpty());
  EXPECT_THAT(Only<JobFailed>(commands), SizeIs(1));
}

}  // namespace
}  // namespace muster::membership
