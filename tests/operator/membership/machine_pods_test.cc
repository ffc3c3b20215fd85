// Pods with several processes: what the cluster says of a pod holds for each of its members, and pods go
// as a whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/base/pod_members.h"
#include "tests/operator/membership/rig.h"

namespace muster::membership {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// Pods 0, 1 and 2 with the members 0 and 1, 2 and 3, 4 and 5.
Rig ThreePods(int step) {
  Config config = MakeConfig(3, 1);
  config.spec.workers.processes_per_worker = 2;
  return RunningAll(6, step, config);
}

std::vector<base::MemberId> Ids(const std::vector<Evicted>& evicted) {
  std::vector<base::MemberId> ids;
  for (const Evicted& e : evicted) ids.push_back(e.member);
  return ids;
}

std::vector<base::MemberId> IdsOf(const api::View& view) {
  std::vector<base::MemberId> ids;
  for (const api::ViewMember& member : view.members) ids.push_back(member.id);
  return ids;
}

TEST(PodsTest, ALostPodIsTheLossOfAllItsMembersInOneChange) {
  Rig rig = ThreePods(2);
  rig.Do(PodLost{M(1), "its node is gone"}, "pod 1.0 lost");
  std::vector<Command> commands = rig.Take();
  EXPECT_EQ(Ids(Only<Evicted>(commands)), (std::vector{M(2), M(3)}));
  EXPECT_THAT(Notes(commands), testing::Contains("the cluster reports 1.0 gone: its node is gone"));
  for (const int ordinal : {0, 1, 4, 5}) rig.Ready(M(ordinal), 1, 2);
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(4));
  EXPECT_EQ(IdsOf(views[0].view), (std::vector{M(0), M(1), M(4), M(5)}));
}

TEST(PodsTest, ADeadProcessTakesNobodyAlongAndComesAgainAsAnother) {
  Rig rig = ThreePods(2);
  rig.Close(M(3)).After(110);
  EXPECT_EQ(Ids(Only<Evicted>(rig.Take())), (std::vector{M(3)}));
  for (const int ordinal : {0, 1, 2, 4, 5}) rig.Ready(M(ordinal), 1, 2);
  rig.Installed({M(0), M(1), M(2), M(4), M(5)}, 2, 3);
  rig.Committed({M(0), M(1), M(2), M(4), M(5)}, 2, 3).Take();
  rig.Join({3}).After(10);  // as 3.1
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_FALSE(views.empty());
  EXPECT_TRUE(views[0].view.voluntary);
  EXPECT_THAT(IdsOf(views[0].view), testing::Contains(M(3, 1)));
  EXPECT_THAT(views[0].view.members, SizeIs(6));
}

TEST(PodsTest, AProcessOfALostPodIsFencedThoughNobodyKnewIt) {
  Rig rig = ThreePods(2);
  rig.Do(PodLost{M(1), "deleted"}, "pod 1.0 lost").Take();
  rig.Hello(M(3, 7));  // pod 1.0, a later life
  EXPECT_THAT(Said<api::Fenced>(rig.Take()), SizeIs(1));
  rig.Hello(M(3, 1000));  // pod 1.1 took its place
  const auto commands = rig.Take();
  EXPECT_THAT(Said<api::Fenced>(commands), IsEmpty());
  EXPECT_THAT(Said<api::Welcome>(commands), SizeIs(1));
}

TEST(PodsTest, OfALostPodThatWaitsNobodyIsEvictedAndNobodyTakenIn) {
  Config config = MakeConfig(2, 1);
  config.spec.workers.processes_per_worker = 2;
  Rig rig = RunningAll(4, 2, config);
  rig.Join({4, 5}).Do(PodLost{M(2), "deleted"}, "pod 2.0 lost");
  rig.Do(SetTarget{6, 2}, "target 6").After(500);
  const auto commands = rig.Take();
  EXPECT_THAT(Only<Evicted>(commands), IsEmpty());
  EXPECT_THAT(Said<api::InstallView>(commands), IsEmpty());
}

// Interrupts on the streams of nobody who trains.
std::vector<std::vector<base::MemberId>> ToldParents(const std::vector<Command>& commands,
                                                     StreamId parent) {
  std::vector<std::vector<base::MemberId>> told;
  for (const Send& send : Only<Send>(commands)) {
    const auto* interrupt = std::get_if<api::Interrupt>(&send.message.message);
    if (interrupt != nullptr && send.stream == parent) told.push_back(interrupt->evicted);
  }
  return told;
}

api::Hello ParentHello(int pod) {
  api::Hello hello;
  hello.job_uid = "uid";
  hello.token = "secret";
  hello.build_id = "build";
  hello.kernel_families = {"SkylakeX"};
  hello.member = base::PodItself(M(pod), 2);
  return hello;
}

constexpr StreamId kParent = 900, kOther = 901;

// Three pods with a parent of 1.0 and one of 2.0, whose member 3.0 has hung and is evicted.
Rig AHungProcess(api::Transport transport) {
  Config config = MakeConfig(3, 1);
  config.spec.workers.processes_per_worker = 2;
  config.spec.training.transport = transport;
  Rig rig = RunningAll(6, 2, config);
  rig.Do(Received{kParent, {{}, ParentHello(1)}}, "parent of 1.0");
  rig.Do(Received{kOther, {{}, ParentHello(2)}}, "parent of 2.0");
  const auto greeted = rig.Take();
  EXPECT_THAT(Only<Send>(greeted), IsEmpty()) << "no member: no Welcome";
  EXPECT_THAT(rig.machine.GetSnapshot(rig.now).members, SizeIs(6));
  rig.Silence(M(3)).After(1020);
  return rig;
}

Received SaysKilled(StreamId stream, base::MemberId member) {
  return {stream, {{}, api::Killed{member}}};
}

TEST(PodsTest, AParentHearsWhomOfItsPodToKill) {
  Rig rig = AHungProcess(api::Transport::kRing);
  const auto commands = rig.Take();
  EXPECT_EQ(Ids(Only<Evicted>(commands)), (std::vector{M(3)}));
  EXPECT_EQ(ToldParents(commands, kParent), (std::vector<std::vector<base::MemberId>>{{M(3)}}));
  EXPECT_THAT(ToldParents(commands, kOther), IsEmpty());
  EXPECT_THAT(Said<api::Interrupt>(commands), SizeIs(1 + 5)) << "the ring's abort needs nobody";
}

TEST(PodsTest, TheOthersOfThePodAbortWhenTheEvictedIsKilled) {
  for (const api::Transport transport : {api::Transport::kNccl, api::Transport::kAuto}) {
    Rig rig = AHungProcess(transport);
    EXPECT_THAT(Said<api::Interrupt>(rig.Take()), SizeIs(1 + 4)) << "2.0 waits";
    rig.Do(SaysKilled(kOther, M(3)), "another pod's parent");
    rig.Do(SaysKilled(kParent, M(2)), "of another member").After(100);
    EXPECT_THAT(Said<api::Interrupt>(rig.Take()), IsEmpty());
    rig.Do(SaysKilled(kParent, M(3)), "3.0 is killed");
    const auto interrupts = Said<api::Interrupt>(rig.Take());
    ASSERT_THAT(interrupts, SizeIs(1));
    EXPECT_EQ(interrupts[0].evicted, (std::vector{M(3)}));
    rig.Do(SaysKilled(kParent, M(3)), "once more").After(300);
    EXPECT_THAT(Said<api::Interrupt>(rig.Take()), IsEmpty());
    for (const int ordinal : {0, 1, 2, 4, 5}) rig.Ready(M(ordinal), 1, 2);
    const auto views = Said<api::InstallView>(rig.Take());
    ASSERT_THAT(views, SizeIs(5));
    EXPECT_EQ(IdsOf(views[0].view), (std::vector{M(0), M(1), M(2), M(4), M(5)}));
  }
}

TEST(PodsTest, AParentThatDoesNotAnswerIsNotWaitedForLong) {
  Rig rig = AHungProcess(api::Transport::kNccl);
  rig.Take();
  rig.After(150);
  EXPECT_THAT(Said<api::Interrupt>(rig.Take()), IsEmpty());
  rig.After(60);
  auto commands = rig.Take();
  EXPECT_THAT(Said<api::Interrupt>(commands), SizeIs(1));
  EXPECT_THAT(Notes(commands),
              testing::Contains("no word that the evicted of the pod of 2.0 are killed; it "
                                "aborts all the same"));
  // The time in which it could not know does not count against it.
  for (const int ordinal : {0, 1, 4, 5}) rig.Ready(M(ordinal), 1, 2);
  rig.After(900);
  EXPECT_THAT(Only<Evicted>(rig.Take()), IsEmpty());
  rig.Ready(M(2), 1, 2);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(5));
}

TEST(PodsTest, NobodyWaitsForTheKillOfALostPod) {
  Config config = MakeConfig(3, 1);
  config.spec.workers.processes_per_worker = 2;
  Rig rig = RunningAll(6, 2, config);
  rig.Do(PodLost{M(1), "its node is gone"}, "pod 1.0 lost");
  std::vector<api::Interrupt> last = Said<api::Interrupt>(rig.Take());
  std::erase_if(last, [](const api::Interrupt& i) { return i.evicted.size() < 2; });
  EXPECT_THAT(last, SizeIs(4)) << "once both are evicted, at once";
  rig.After(300);
  EXPECT_THAT(Said<api::Interrupt>(rig.Take()), IsEmpty());
}

TEST(PodsTest, AParentsLostStreamIsNoEvidenceAndItsNextOneHearsAllAgain) {
  Rig rig = ThreePods(2);
  rig.Do(Received{900, {{}, ParentHello(1)}}, "parent of 1.0").Do(StreamClosed{900}, "its end");
  rig.After(500);
  EXPECT_THAT(Only<Evicted>(rig.Take()), IsEmpty());
  rig.Silence(M(3)).After(1100).Take();
  rig.Do(Received{901, {{}, ParentHello(1)}}, "parent of 1.0 again");
  EXPECT_EQ(ToldParents(rig.Take(), 901), (std::vector<std::vector<base::MemberId>>{{M(3)}}));
  // One that comes while the stream before it is not known to be gone takes its place.
  rig.Do(Received{902, {{}, ParentHello(1)}}, "parent of 1.0 once more");
  const auto closed = Only<CloseStream>(rig.Take());
  ASSERT_THAT(closed, SizeIs(1));
  EXPECT_EQ(closed[0].stream, 901u);
}

TEST(PodsTest, ScalingDownTakesWholePods) {
  Rig rig = ThreePods(1);
  rig.Do(SetTarget{4, 2}, "target 4");
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_FALSE(views.empty());
  EXPECT_EQ(IdsOf(views[0].view), (std::vector{M(0), M(1), M(2), M(3)}));
  EXPECT_THAT(views[0].view.leavers, SizeIs(2));
}

TEST(PodsTest, ScalingDownTakesTheWholePodAlsoWhereOneIsMissing) {
  Rig rig = ThreePods(2);
  rig.Close(M(0)).After(110);
  for (const int ordinal : {1, 2, 3, 4, 5}) rig.Ready(M(ordinal), 1, 2);
  rig.Installed({M(1), M(2), M(3), M(4), M(5)}, 2, 3);
  rig.Committed({M(1), M(2), M(3), M(4), M(5)}, 2, 3).Take();
  rig.Do(SetTarget{4, 2}, "target 4");
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_FALSE(views.empty());
  EXPECT_EQ(IdsOf(views[0].view), (std::vector{M(1), M(2), M(3)}))
      << "member 4 would hold its pod up";
}

}  // namespace
}  // namespace muster::membership
