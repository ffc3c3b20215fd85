#include "worker/app/slot_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace muster::app {
namespace {

TEST(SlotGateTest, LetsSlotsThroughUntilStopped) {
  SlotGate gate;
  int begun = 0;
  EXPECT_TRUE(gate.Enter([&] { ++begun; }));
  gate.Stop();
  EXPECT_FALSE(gate.Enter([&] { ++begun; }));
  gate.Open();
  EXPECT_TRUE(gate.Enter([&] { ++begun; }));
  EXPECT_EQ(begun, 2);
}

// The property M4 needs: what was begun is in the log ahead of the hold, and nothing follows it
// until the hold is let go.
TEST(SlotGateTest, NothingBeginsBehindAHold) {
  SlotGate gate;
  std::mutex log_mutex;
  std::vector<char> log;
  const auto note = [&](char c) {
    std::lock_guard lock(log_mutex);
    log.push_back(c);
  };
  std::atomic<bool> done{false};
  std::thread training([&] {
    while (gate.Enter([&] { note('s'); })) std::this_thread::yield();
    done = true;
  });
  for (int i = 0; i < 200; ++i) {
    gate.Hold();
    note('I');
    std::this_thread::yield();
    note('i');
    gate.LetGo();
  }
  gate.Stop();
  training.join();
  EXPECT_TRUE(done);
  for (std::size_t i = 0; i + 1 < log.size(); ++i) {
    if (log[i] == 'I') {
      EXPECT_EQ(log[i + 1], 'i') << "a slot began behind a hold, at " << i;
    }
  }
}

TEST(SlotGateTest, StopWinsOverAHoldSoThatShutdownNeverWaits) {
  SlotGate gate;
  gate.Hold();
  std::thread training([&] { EXPECT_FALSE(gate.Enter([] {})); });
  gate.Stop();
  training.join();
}

TEST(SlotGateTest, AHoldOutlivesOpenUntilItsOwnInterruptWasDealtWith) {
  SlotGate gate;
  gate.Stop();
  gate.Hold();  // a second Interrupt is queued while stopped
  gate.Open();  // the view that answered the first one
  std::atomic<bool> begun{false};
  std::atomic<bool> entered{false};
  std::thread training([&] {
    begun = true;
    entered = gate.Enter([] {});
  });
  while (!begun) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // it would be in by now
  EXPECT_FALSE(entered);
  gate.Stop();  // the session answers Ready to the second
  gate.LetGo();
  training.join();
  EXPECT_FALSE(entered);
}

}  // namespace
}  // namespace muster::app
