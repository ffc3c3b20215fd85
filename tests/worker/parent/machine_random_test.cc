// Random ends, orders and signals: what must hold whatever happens (machine.h).
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "operator/base/rng.h"
#include "worker/parent/machine.h"

namespace muster::parent {
namespace {

using std::chrono::milliseconds;

// A pod whose processes do what chance says; it keeps the books that the invariants are about.
class RandomPod {
 public:
  RandomPod(std::uint64_t seed, std::int32_t processes)
      : seed_(seed), machine_({{1, 3}, processes}), processes_(processes) {}

  void Run() {
    Feed(Start{});
    for (int i = 0; i < 400 && !exited_; ++i) {
      now_ += milliseconds(Chance(3000));
      Feed(Next());
    }
    // Then everybody obeys, and the pod must end.
    Feed(Terminate{});
    for (int i = 0; i < 1000 && !exited_; ++i) EndOne(0);
    EXPECT_TRUE(exited_);
  }

 private:
  std::uint64_t Chance(std::uint64_t below) { return base::Mix64(seed_ ^ ++draws_) % below; }

  Event Next() {
    const std::uint64_t what = Chance(100);
    if (what < 50) return Tick{};
    if (what < 51) return Terminate{};
    if (what < 65) {
      // Anybody: of this pod or not, alive, dead or to come.
      std::vector<base::MemberId> named;
      for (std::uint64_t i = Chance(4); i > 0; --i) {
        const auto ordinal = static_cast<std::int32_t>(Chance(3 * processes_));
        named.push_back({ordinal, 3000 + static_cast<std::int32_t>(Chance(6))});
        if (base::PodOf(named.back(), processes_) == base::MemberId{1, 3}) {
          owed_.insert(named.back());
        }
      }
      return KillOrder{named};
    }
    if (what < 67) return Reachable{Chance(3) > 0};
    if (what < 75) return Spoke{{static_cast<std::int32_t>(Chance(processes_))}};
    if (running_.empty()) return Tick{};
    auto it = running_.begin();
    std::advance(it, Chance(running_.size()));
    const std::int32_t process = it->first;
    if (Chance(20) == 0) {
      running_.erase(it);
      return CannotStart{process, "no reason"};
    }
    running_.erase(it);
    if (Chance(2) == 0) return Ended{process, std::nullopt, 9};
    constexpr int kCodes[] = {0, 1, 70, 71, 71, 76, 78, 73};
    return Ended{process, kCodes[Chance(std::size(kCodes))], std::nullopt};
  }

  void EndOne(int code) {
    now_ += milliseconds(10);
    if (running_.empty()) return Feed(Tick{});
    const std::int32_t process = running_.begin()->first;
    running_.erase(running_.begin());
    Feed(Ended{process, code, std::nullopt});
  }

  void Feed(const Event& event) {
    if (std::holds_alternative<Terminate>(event)) told_to_end_ = true;
    const Commands commands = machine_.Step(now_, event);
    if (exited_) {
      EXPECT_TRUE(commands.empty()) << "something after Exit";
    }
    for (const Command& command : commands) Take(command);
    if (const auto deadline = machine_.NextDeadline(); deadline && !exited_) {
      EXPECT_GT(*deadline, now_) << "something was due and not done";
    }
  }

  void Take(const Command& command) {
    ASSERT_FALSE(exited_);
    if (const auto* spawn = std::get_if<Spawn>(&command)) {
      EXPECT_FALSE(told_to_end_);
      EXPECT_TRUE(running_.emplace(spawn->process, spawn->member).second) << "two at once";
      EXPECT_TRUE(used_.insert(spawn->member).second) << base::ToString(spawn->member) << " twice";
      const base::PodProcess of = base::ProcessOf(spawn->member, processes_);
      EXPECT_EQ(of.pod, (base::MemberId{1, 3}));
      EXPECT_EQ(of.process, spawn->process);
    } else if (const auto* kill = std::get_if<SendKill>(&command)) {
      EXPECT_TRUE(running_.contains(kill->process)) << "nobody is there to be killed";
    } else if (const auto* killed = std::get_if<Killed>(&command)) {
      owed_.erase(killed->member);
      for (const auto& [process, member] : running_) EXPECT_NE(member, killed->member);
    } else if (std::holds_alternative<Exit>(command)) {
      EXPECT_TRUE(running_.empty());
      EXPECT_TRUE(owed_.empty()) << "an order without an answer";
      exited_ = true;
    }
  }

  const std::uint64_t seed_;
  std::uint64_t draws_ = 0;
  Machine machine_;
  const std::int32_t processes_;
  base::Time now_{std::chrono::seconds(1)};
  std::map<std::int32_t, base::MemberId> running_;
  std::set<base::MemberId> used_, owed_;
  bool told_to_end_ = false;
  bool exited_ = false;
};

TEST(MachineRandomTest, TheInvariantsHoldWhateverHappens) {
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomPod(base::Mix64(seed), static_cast<std::int32_t>(2 + seed % 7)).Run();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace muster::parent
