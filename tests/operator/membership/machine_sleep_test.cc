// A coordinator that was asleep (M3): nobody is to blame for what it did not hear.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operator/membership/rig.h"

namespace muster::membership {
namespace {

using ::testing::IsEmpty;

// Members 0 to 2 in epoch 1, step 1 committed.
Rig ThreeThatTrain() {
  Rig rig(MakeConfig(3, 1));
  const std::vector<base::MemberId> all = {M(0), M(1), M(2)};
  rig.Start().Join({0, 1, 2}).Installed(all, 1, 1).After(20).Committed(all, 1, 1);
  return rig;
}

TEST(SleepTest, ASleepingCoordinatorConvictsNobody) {
  Rig rig = ThreeThatTrain();
  rig.Take();
  rig.now += std::chrono::seconds(5);
  rig.Do(Tick{}, "late tick");
  rig.After(200);
  EXPECT_THAT(Only<Evicted>(rig.Take()), IsEmpty());
}

// Naps of 300 ms, two beats awake between them: whoever is silent all the time is dead, the others
// beat when they are awake to be heard.
TEST(SleepTest, ACoordinatorThatNapsAgainAndAgainStillEvicts) {
  Rig rig = ThreeThatTrain();
  rig.Take();
  rig.Silence(M(1));
  std::size_t evicted = 0;
  int naps = 0;
  while (evicted == 0 && naps < 10) {
    rig.now += std::chrono::milliseconds(300);
    rig.Do(Tick{}, "late tick").After(450);
    const auto commands = rig.Take();
    for (const Evicted& gone : Only<Evicted>(commands)) EXPECT_EQ(gone.member, M(1));
    evicted += Only<Evicted>(commands).size();
    ++naps;
  }
  EXPECT_EQ(evicted, 1U);
  EXPECT_GE(naps, 2);
}

}  // namespace
}  // namespace muster::membership
