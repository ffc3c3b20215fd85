// Golden transcripts of failures: what the machine says, and when, for events that are written
// down.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operator/membership/rig.h"

namespace muster::membership {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Slots = std::vector<api::Slot>;

// Members 0..n-1 in epoch 1, all installed, steps up to `step` committed.
Rig RunningAtLeast(int n, int min, int step = 0) {
  Rig rig(MakeConfig(n, min));
  rig.Start();
  std::vector<int> ordinals;
  std::vector<base::MemberId> ids;
  for (int i = 0; i < n; ++i) {
    ordinals.push_back(i);
    ids.push_back(M(i));
  }
  rig.Join(ordinals).Installed(ids, 1, 1);
  for (int s = 1; s <= step; ++s) rig.After(20).Committed(ids, 1, s);
  return rig;
}

TEST(MachineTest, FirstViewWaitsForAllAndBeginsFresh) {
  Rig rig(MakeConfig(3, 2));
  rig.Start().After(20).Join({0, 1});
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty());
  rig.After(50).Join({2});
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(3));
  EXPECT_TRUE(views[0].view.fresh);
  EXPECT_EQ(views[0].view.resume_step, base::Step(1));
  rig.Installed({M(0), M(1), M(2)}, 1, 1).Committed({M(0), M(1), M(2)}, 1, 1);
  EXPECT_EQ(rig.machine.GetSnapshot(rig.now).time_state, "productive");
  rig.ExpectGolden("first_view");
}

TEST(MachineTest, FirstViewBeginsWithFewerAfterTheWindow) {
  Rig rig(MakeConfig(3, 2));
  rig.Start().Join({0, 1}).After(9990);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty());
  rig.After(10);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(2));
}

TEST(MachineTest, KillKeepsSumsAndDealsOnlyWhatIsMissing) {
  Rig rig = RunningAtLeast(4, 1, 3);
  rig.Take();
  rig.After(5).Close(M(3)).Say(M(0), api::Suspect{base::Epoch(1), M(3), api::Evidence::kReset, ""},
                               "Suspect 3.0");
  rig.Ready(M(0), 1, 3, {0, 1}).Ready(M(1), 1, 3, {2}).Ready(M(2), 1, 3, {4, 5});
  const auto commands = rig.Take();
  EXPECT_THAT(Only<Evicted>(commands), SizeIs(1));
  const auto views = Said<api::InstallView>(commands);
  ASSERT_THAT(views, SizeIs(3));
  const api::View& view = views[0].view;
  EXPECT_EQ(view.resume_step, base::Step(4));
  EXPECT_EQ(view.state_digest, DigestOf(3));
  EXPECT_EQ(view.members[0].kept_slots, (Slots{0, 1}));
  EXPECT_EQ(view.members[1].kept_slots, (Slots{2}));
  rig.Installed({M(0), M(1), M(2)}, 2, 4).Committed({M(0), M(1), M(2)}, 2, 4);
  EXPECT_THAT(Only<RescaleDone>(rig.Take()), SizeIs(1));
  rig.ExpectGolden("kill_with_kept_sums");
}

TEST(MachineTest, TwoKillsAreOneChange) {
  Rig rig = RunningAtLeast(4, 1, 2);
  rig.Take();
  rig.After(5).Close(M(3)).Close(M(2));
  rig.Do(PodLost{M(3), "killed by signal 9"}, "pod 3.0 lost").After(10);
  rig.Ready(M(0), 1, 2).Ready(M(1), 1, 2).After(30).Do(PodLost{M(2), "killed"}, "pod 2.0 lost");
  const auto commands = rig.Take();
  EXPECT_THAT(Only<Evicted>(commands), SizeIs(2));
  EXPECT_THAT(Said<api::InstallView>(commands), SizeIs(2));
  EXPECT_EQ(Said<api::InstallView>(commands)[0].view.epoch, base::Epoch(2));
  rig.ExpectGolden("two_kills");
}

TEST(MachineTest, SilentMemberIsEvictedAndFencedWhenItWakes) {
  Rig rig = RunningAtLeast(3, 1, 2);
  rig.Silence(M(1)).After(990);
  EXPECT_THAT(Only<Evicted>(rig.Take()), IsEmpty());
  rig.After(110);
  rig.Ready(M(0), 1, 2).Ready(M(2), 1, 2);
  const auto commands = rig.Take();
  ASSERT_THAT(Only<Evicted>(commands), SizeIs(1));
  EXPECT_EQ(Only<Evicted>(commands)[0].reason, "HeartbeatTimeout");
  EXPECT_THAT(Said<api::Fenced>(commands), SizeIs(1));
  api::Hello hello;
  hello.epoch = base::Epoch(1);
  hello.phase = api::MemberPhase::kForward;
  rig.Hello(M(1), hello);
  EXPECT_THAT(Said<api::Fenced>(rig.Take()), SizeIs(1));
  rig.ExpectGolden("silence");
}

TEST(MachineTest, AnotherHeartbeatTimeoutHoldsAtOnceAndForWhoComesLater) {
  struct Case {
    int timeout_ms, evicted_after_ms;
  };
  // Five beats of 200 ms that its members were told are the least.
  for (const Case& c : {Case{3000, 3000}, Case{500, 1000}, Case{1000, 1000}}) {
    SCOPED_TRACE(c.timeout_ms);
    Rig rig = RunningAtLeast(3, 1, 2);
    rig.Do(SetTimeout{std::chrono::milliseconds(c.timeout_ms)}, "timeout").Silence(M(1));
    rig.After(c.evicted_after_ms - 20);
    EXPECT_THAT(Only<Evicted>(rig.Take()), IsEmpty());
    rig.After(120);
    EXPECT_THAT(Only<Evicted>(rig.Take()), SizeIs(1));
    rig.Hello(M(1, 1));
    const auto welcomes = Said<api::Welcome>(rig.Take());
    ASSERT_THAT(welcomes, SizeIs(1));
    EXPECT_EQ(welcomes[0].heartbeat_timeout_seconds, c.evicted_after_ms / 1000.0);
  }
}

TEST(MachineTest, ANodeThatIsNotReadyShortensTheWaitForTheSilentAndIsTakenBack) {
  struct Case {
    bool silent, taken_back;
    std::size_t evicted;
  };
  for (const Case& c : {Case{true, false, 1}, Case{true, true, 0}, Case{false, false, 0}}) {
    Rig rig = RunningAtLeast(3, 1, 2);
    const std::string node = rig.machine.GetSnapshot(rig.now).members.at(1).node;
    ASSERT_FALSE(node.empty());
    rig.Do(NodeSuspect{node}, "node not ready");
    if (c.taken_back) rig.Do(NodeSuspect{node, false}, "node ready");
    if (c.silent) rig.Silence(M(1));
    rig.After(700);
    EXPECT_THAT(Only<Evicted>(rig.Take()), SizeIs(c.evicted)) << c.silent << c.taken_back;
  }
}

TEST(MachineTest, ReconnectionWithinTheGraceIsNoFault) {
  Rig rig = RunningAtLeast(3, 1, 1);
  rig.Take();
  rig.Close(M(1)).After(90);
  api::Hello hello;
  hello.epoch = base::Epoch(1);
  hello.phase = api::MemberPhase::kForward;
  hello.committed = base::Step(1);
  hello.has_state = true;
  hello.digest = DigestOf(1);
  rig.Hello(M(1), hello).After(200);
  const auto commands = rig.Take();
  EXPECT_THAT(Only<Evicted>(commands), IsEmpty());
  EXPECT_THAT(Said<api::Interrupt>(commands), IsEmpty());
}

TEST(MachineTest, MembersBehindReceiveTheHighestCommittedState) {
  Rig rig = RunningAtLeast(3, 1, 2);
  rig.Take();
  rig.Committed({M(0)}, 1, 3).Do(PodLost{M(2), "killed"}, "pod 2.0 lost");
  rig.Ready(M(0), 1, 3).Ready(M(1), 1, 2, {3}, 3);
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(2));
  EXPECT_EQ(views[0].view.resume_step, base::Step(4));
  EXPECT_TRUE(views[0].view.members[0].has_state);
  EXPECT_FALSE(views[0].view.members[1].has_state);
  EXPECT_THAT(views[0].view.members[1].kept_slots, IsEmpty()) << "its sums are of another step";
  rig.Installed({M(0), M(1)}, 2, 4);
  const auto steps = Only<StepCommitted>(rig.Take());
  ASSERT_THAT(steps, SizeIs(1)) << "the step that one had committed is said once all have it";
  EXPECT_EQ(steps[0].step, base::Step(3));
}

// A member whose reduction was aborted never learned the redo's exponents (found by the
// simulation).
TEST(MachineTest, RedoGoesOnOnlyWhenEverybodyIsAtIt) {
  for (const int other : {0, 1}) {
    Rig rig = RunningAtLeast(3, 1, 1);
    rig.Take();
    rig.Do(PodLost{M(2), "killed"}, "pod 2.0 lost");
    rig.Ready(M(0), 1, 1, {0, 1}, 2, other).Ready(M(1), 1, 1, {3}, 2, 1);
    const auto views = Said<api::InstallView>(rig.Take());
    ASSERT_THAT(views, SizeIs(2));
    EXPECT_EQ(views[0].view.resume_tag.attempt, other);
    EXPECT_THAT(views[0].view.members[0].kept_slots, ElementsAre(0, 1));
    if (other == 0) {
      EXPECT_THAT(views[0].view.members[1].kept_slots, IsEmpty());
    } else {
      EXPECT_THAT(views[0].view.members[1].kept_slots, ElementsAre(3));
    }
  }
}

// A joiner receives the exponents of the first attempt, never those of the redo.
TEST(MachineTest, RedoDoesNotGoOnWithAJoiner) {
  Rig rig = RunningAtLeast(3, 1, 1);
  rig.Do(PodLost{M(2), "killed"}, "pod 2.0 lost").Join({2}).Take();
  rig.Ready(M(0), 1, 1, {0, 1}, 2, 1).Ready(M(1), 1, 1, {3}, 2, 1);
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(3));
  EXPECT_EQ(views[0].view.resume_tag.attempt, 0);
  for (const api::ViewMember& m : views[0].view.members) EXPECT_THAT(m.kept_slots, IsEmpty());
}

TEST(MachineTest, BelowMinimumWaitsAndRefills) {
  Rig rig = RunningAtLeast(2, 2, 2);
  rig.Take();
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost").Ready(M(0), 1, 2, {0}).After(100);
  EXPECT_TRUE(rig.machine.GetSnapshot(rig.now).below_min);
  EXPECT_EQ(rig.machine.GetSnapshot(rig.now).time_state, "waiting_for_members");
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty());
  rig.Join({1});
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(2));
  EXPECT_EQ(views[0].view.members[0].kept_slots, (Slots{0}));
  EXPECT_FALSE(views[0].view.members[1].has_state);
  rig.Installed({M(0), M(1, 1)}, 2, 3);
  EXPECT_FALSE(rig.machine.GetSnapshot(rig.now).below_min);
  rig.ExpectGolden("below_min");
}

TEST(MachineTest, NobodyWithStateGoesBackToTheCheckpoint) {
  Rig rig = RunningAtLeast(2, 1, 2);
  for (int i : {0, 1}) rig.Part(M(i), 1, 2);
  rig.Say(M(0), api::ManifestWritten{base::Epoch(1), base::Step(2), "m2", "", ""},
          "ManifestWritten");
  rig.Committed({M(0), M(1)}, 1, 3).Take();
  rig.Do(PodLost{M(0), "killed"}, "pod 0.0 lost").Do(PodLost{M(1), "killed"}, "pod 1.0 lost");
  rig.Join({0, 1});
  const auto commands = rig.Take();
  const auto views = Said<api::InstallView>(commands);
  ASSERT_FALSE(views.empty());
  ASSERT_TRUE(views[0].view.restore);
  EXPECT_EQ(views[0].view.resume_step, base::Step(3));
  ASSERT_THAT(Only<RolledBack>(commands), SizeIs(1));
  EXPECT_EQ(Only<RolledBack>(commands)[0].step, base::Step(2));
  rig.ExpectGolden("all_die");
}

TEST(MachineTest, DigestMismatchEvictsTheMinorityAndTakesAllBack) {
  Rig rig = RunningAtLeast(3, 1, 2);
  rig.Take();
  rig.Committed({M(0), M(2)}, 1, 3).Committed({M(1)}, 1, 3, 0xbad);
  rig.Ready(M(0), 1, 3).Ready(M(2), 1, 3);
  const auto commands = rig.Take();
  EXPECT_THAT(Only<DigestMismatch>(commands), SizeIs(1));
  ASSERT_THAT(Only<Evicted>(commands), SizeIs(1));
  EXPECT_EQ(Only<Evicted>(commands)[0].member, M(1));
  ASSERT_THAT(Said<api::InstallView>(commands), SizeIs(2));
  EXPECT_TRUE(Said<api::InstallView>(commands)[0].view.fresh);
  rig.Installed({M(0), M(2)}, 2, 1).Committed({M(0), M(2)}, 2, 1);
  EXPECT_EQ(Only<RescaleDone>(rig.Take())[0].rescale.steps_lost, 3);
  rig.ExpectGolden("digest_mismatch");
}

TEST(MachineTest, CannotReachEvictsWhoIsReportedMost) {
  Rig rig = RunningAtLeast(4, 1, 1);
  rig.Do(PodLost{M(3), "killed"}, "pod 3.0 lost");
  rig.Ready(M(0), 1, 1).Ready(M(1), 1, 1).Ready(M(2), 1, 1).Take();
  rig.Say(M(0), api::CannotReach{base::Epoch(2), {M(1)}, "refused"}, "CannotReach 1.0");
  rig.Say(M(2), api::CannotReach{base::Epoch(2), {M(1)}, "refused"}, "CannotReach 1.0");
  EXPECT_THAT(Only<Evicted>(rig.Take()), IsEmpty()) << "one has not answered yet";
  rig.Say(M(1), api::CannotReach{base::Epoch(2), {M(0), M(2)}, "refused"}, "CannotReach 0.0 2.0");
  const auto evicted = Only<Evicted>(rig.Take());
  ASSERT_THAT(evicted, SizeIs(1));
  EXPECT_EQ(evicted[0].member, M(1));
  EXPECT_EQ(evicted[0].reason, "CannotReach");
}

TEST(MachineTest, ThreeSkippedStepsFailTheJob) {
  Rig rig = RunningAtLeast(1, 1);
  for (int step = 1; step <= 3; ++step) {
    EXPECT_THAT(Only<JobFailed>(rig.Take()), IsEmpty());
    api::Committed c;
    c.epoch = base::Epoch(1);
    c.step = base::Step(step);
    c.digest = 1;
    c.skipped = true;
    c.offence = "the gradient of tensor \"wte\" in slot " + std::to_string(step) + " is NaN";
    rig.Say(M(0), c, "Committed skipped");
  }
  const auto failed = Only<JobFailed>(rig.Take());
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].reason, "NonFiniteGradient");
  EXPECT_THAT(failed[0].message,
              ::testing::EndsWith("step 3: the gradient of tensor \"wte\" in slot 3 is NaN"));
}

TEST(MachineTest, StrangersAreRefusedWithASentence) {
  Rig rig = RunningAtLeast(1, 1);
  rig.Take();
  api::Hello hello;
  hello.member = M(5);
  const auto try_hello = [&](api::Hello h) {
    rig.Do(Received{77, {{}, h}}, "a stranger's Hello");
    return Said<api::Refused>(rig.Take());
  };
  hello.job_uid = "other";
  hello.token = "secret";
  hello.build_id = "build";
  hello.kernel_families = {"SkylakeX"};
  EXPECT_THAT(try_hello(hello), SizeIs(1));
  hello.job_uid = "uid";
  hello.token = "guess";
  EXPECT_THAT(try_hello(hello), SizeIs(1));
  hello.token = "secret";
  hello.build_id = "newer";
  auto refused = try_hello(hello);
  ASSERT_THAT(refused, SizeIs(1));
  EXPECT_THAT(refused[0].reason,
              ::testing::AllOf(::testing::HasSubstr("newer"), ::testing::HasSubstr("\"build\"")));
  hello.build_id = "build";
  hello.kernel_families = {"Zen"};
  refused = try_hello(hello);
  ASSERT_THAT(refused, SizeIs(1));
  EXPECT_THAT(refused[0].reason,
              ::testing::AllOf(::testing::HasSubstr("Zen"), ::testing::HasSubstr("SkylakeX")));
  hello.protocol = 9;
  EXPECT_THAT(try_hello(hello), SizeIs(1));
}

// program.weights: who forms the first view has read one and the same file.
class StartWeightsTest : public ::testing::Test {
 protected:
  // Hello and Warm of a member that has read these weights; whether it was refused, and why.
  std::string Join(int ordinal, const std::string& read) {
    rig_->Hello(M(ordinal)).Take();
    api::Warm warm{"host:1", "SkylakeX", "data", 10, 2.1, "cpu", read};
    rig_->Say(M(ordinal), warm, "Warm");
    const auto commands = rig_->Take();
    for (const auto& view : Said<api::InstallView>(commands)) seen_ = view.view.members.size();
    const auto refused = Said<api::Refused>(commands);
    return refused.empty() ? "" : refused.front().reason;
  }
  std::optional<Rig> rig_{MakeConfig(2, 2)};
  std::size_t seen_ = 0;  // members of the view
};

TEST_F(StartWeightsTest, AMixtureIsRefusedBeforeAnybodyTrains) {
  rig_->Start();
  EXPECT_EQ(Join(0, "aaa"), "");
  EXPECT_THAT(Join(1, "bbb"),
              ::testing::AllOf(::testing::HasSubstr("SHA-256 bbb"), ::testing::HasSubstr("aaa"),
                               ::testing::HasSubstr("program.weights.path")));
  EXPECT_EQ(seen_, 0u);
  EXPECT_EQ(Join(2, "aaa"), "");
  EXPECT_EQ(seen_, 2u);
  EXPECT_EQ(rig_->last_write->next.start_weights_digest, "aaa");
}

TEST_F(StartWeightsTest, OnceTheRecordHasThemAWelcomeNamesThemAndNobodyNeedsToReadThem) {
  rig_->Start().Hello(M(0));
  EXPECT_EQ(Said<api::Welcome>(rig_->Take()).at(0).start_weights_digest, "");
  EXPECT_EQ(Join(1, "aaa"), "");
  rig_->Hello(M(2));
  EXPECT_EQ(Said<api::Welcome>(rig_->Take()).at(0).start_weights_digest, "")
      << "what is not in the record may be forgotten";
  EXPECT_EQ(Join(3, "aaa"), "");
  ASSERT_EQ(seen_, 2u);
  rig_->Hello(M(4));
  EXPECT_EQ(Said<api::Welcome>(rig_->Take()).at(0).start_weights_digest, "aaa");
  EXPECT_EQ(Join(5, ""), "");
  EXPECT_NE(Join(6, "bbb"), "") << "it was welcomed before and has read others";
}

TEST_F(StartWeightsTest, TheNextCoordinatorHasThemFromTheRecord) {
  Config config = MakeConfig(2, 1);
  config.record = api::Record{};
  config.record->kernel_family = "SkylakeX";
  config.record->start_weights_digest = "aaa";
  rig_.emplace(config);
  rig_->Start().Hello(M(0));
  EXPECT_EQ(Said<api::Welcome>(rig_->Take()).at(0).start_weights_digest, "aaa");
  EXPECT_NE(Join(1, "bbb"), "");
  EXPECT_EQ(Join(2, ""), "");
}

}  // namespace
}  // namespace muster::membership
