// What a bounded queue promises: order, its declared answer to being full, deadlines, and closing.
#include "operator/runtime/bounded_queue.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/take_some.h"

namespace muster::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(BoundedQueueTest, GivesValuesInOrder) {
  BoundedQueue<int> queue(3, WhenFull::kBlock);
  for (int i : {1, 2, 3}) EXPECT_TRUE(queue.Push(i));
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.TryPop(), 2);
  EXPECT_EQ(queue.PopUntil(base::Time()), 3)
      << "a value that is there beats a deadline that is over";
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

// The one after the last that was taken used to be taken off the queue too, and lost.
TEST(BoundedQueueTest, WhatIsNotTakenInOneGoIsTakenInTheNext) {
  BoundedQueue<int> queue(10, WhenFull::kBlock);
  for (int i = 0; i < 7; ++i) queue.Push(i);
  std::vector<int> taken;
  std::vector<std::size_t> after;
  for (int go = 0; go < 4; ++go) {
    TakeSome(queue, base::Time(), 3, [&](int value) { taken.push_back(value); });
    after.push_back(taken.size());
  }
  EXPECT_EQ(taken, (std::vector<int>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(after, (std::vector<std::size_t>{3, 6, 7, 7}));
}

TEST(BoundedQueueTest, DropsAndCountsWhenFullAndToldTo) {
  BoundedQueue<int> queue(1, WhenFull::kDropAndCount);
  EXPECT_TRUE(queue.Push(1));
  EXPECT_FALSE(queue.Push(2));
  EXPECT_FALSE(queue.Push(3));
  EXPECT_EQ(queue.dropped(), 2u);
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_TRUE(queue.Push(4));
  EXPECT_EQ(queue.Pop(), 4);
}

TEST(BoundedQueueTest, BlockedPushGoesOnWhenThereIsRoom) {
  BoundedQueue<int> queue(1, WhenFull::kBlock);
  ASSERT_TRUE(queue.Push(1));
  std::jthread pusher([&] { EXPECT_TRUE(queue.Push(2)); });
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), 2);
  EXPECT_EQ(queue.dropped(), 0u);
}

TEST(BoundedQueueTest, PopUntilGivesUpAtTheDeadlineAndNotBefore) {
  BoundedQueue<int> queue(1, WhenFull::kBlock);
  const RealClock clock;
  const base::Time deadline = clock.Now() + milliseconds(5);
  EXPECT_EQ(queue.PopUntil(deadline), std::nullopt);
  EXPECT_GE(clock.Now(), deadline);
}

TEST(BoundedQueueTest, CloseWakesAllAndLetsTheRestOut) {
  BoundedQueue<int> full(1, WhenFull::kBlock);
  BoundedQueue<int> empty(1, WhenFull::kBlock);
  ASSERT_TRUE(full.Push(7));
  std::jthread pusher([&] { EXPECT_FALSE(full.Push(8)); });
  std::jthread popper([&] { EXPECT_EQ(empty.Pop(), std::nullopt); });
  std::jthread waiter(
      [&] { EXPECT_EQ(empty.PopUntil(RealClock().Now() + seconds(20)), std::nullopt); });
  std::this_thread::sleep_for(milliseconds(2));
  full.Close();
  empty.Close();
  pusher.join();
  popper.join();
  waiter.join();
  EXPECT_TRUE(full.closed());
  EXPECT_FALSE(full.Push(9));
  EXPECT_EQ(full.Pop(), 7);
  EXPECT_EQ(full.Pop(), std::nullopt);
}

TEST(BoundedQueueTest, ManyThreadsLoseAndDoubleNothing) {
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  BoundedQueue<std::unique_ptr<int>> queue(8, WhenFull::kBlock);
  std::atomic<std::int64_t> sum = 0;
  std::atomic<int> taken = 0;
  std::vector<std::jthread> poppers;
  for (int t = 0; t < kThreads; ++t) {
    poppers.emplace_back([&] {
      while (auto value = queue.Pop()) {
        sum += **value;
        ++taken;
      }
    });
  }
  {
    std::vector<std::jthread> pushers;
    for (int t = 0; t < kThreads; ++t) {
      pushers.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          EXPECT_TRUE(queue.Push(std::make_unique<int>(t * kEach + i)));
        }
      });
    }
  }
  queue.Close();
  poppers.clear();
  constexpr std::int64_t kAll = kThreads * kEach;
  EXPECT_EQ(taken, kAll);
  EXPECT_EQ(sum, kAll * (kAll - 1) / 2);
}

}  // namespace
}  // namespace muster::runtime
