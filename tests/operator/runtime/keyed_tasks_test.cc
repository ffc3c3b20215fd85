// Calls by key: one at a time, the newest wins, a failed one comes again.
#include "operator/runtime/keyed_tasks.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <set>

#include "operator/runtime/bounded_queue.h"
#include "tests/operator/runtime/soon.h"

namespace muster::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

KeyedTasks::Options Threads(int threads) {
  KeyedTasks::Options options;
  options.name = "test";
  options.threads = threads;
  options.backoff = {milliseconds(1), milliseconds(4), 0.0};
  return options;
}

class KeyedTasksTest : public testing::Test {
 protected:
  const RealClock clock_;
  BoundedQueue<std::string> seen_{64, WhenFull::kBlock};
  Task Tell(std::string text, TaskResult result = TaskResult::kDone) {
    return [this, text = std::move(text), result](std::stop_token) {
      seen_.Push(text);
      return result;
    };
  }
};

TEST_F(KeyedTasksTest, OfOneKeyTheNewestThatHasNotBegunIsMade) {
  KeyedTasks tasks(Threads(1), clock_, nullptr);
  std::latch begun(1), go_on(1);
  tasks.Put("a", [&](std::stop_token) {
    begun.count_down();
    go_on.wait();
    return TaskResult::kDone;
  });
  begun.wait();
  tasks.Put("a", Tell("old"));
  tasks.Put("a", Tell("new"));
  tasks.Put("b", Tell("dropped"));
  tasks.Drop("b");
  EXPECT_EQ(tasks.Waiting(), 1u);
  go_on.count_down();
  EXPECT_EQ(seen_.PopUntil(Soon()), "new");
  tasks.Put("c", Tell("last"));
  EXPECT_EQ(seen_.PopUntil(Soon()), "last");
  EXPECT_EQ(seen_.TryPop(), std::nullopt);
}

TEST_F(KeyedTasksTest, OneThatFailedIsMadeAgainUntilItSucceeds) {
  KeyedTasks tasks(Threads(2), clock_, nullptr);
  std::atomic<int> left = 3;
  tasks.Put("a", [&](std::stop_token) {
    const int now = --left;
    seen_.Push(std::to_string(now));
    return now > 0 ? TaskResult::kRetry : TaskResult::kDone;
  });
  for (const char* expected : {"2", "1", "0"}) EXPECT_EQ(seen_.PopUntil(Soon()), expected);
}

TEST_F(KeyedTasksTest, WhatIsPutMeanwhileTakesThePlaceOfARepetition) {
  KeyedTasks tasks(Threads(1), clock_, nullptr);
  tasks.Put("a", [&](std::stop_token) {
    tasks.Put("a", Tell("instead"));
    seen_.Push("failed");
    return TaskResult::kRetry;
  });
  EXPECT_EQ(seen_.PopUntil(Soon()), "failed");
  EXPECT_EQ(seen_.PopUntil(Soon()), "instead");
  EXPECT_EQ(seen_.PopUntil(RealClock().Now() + milliseconds(50)), std::nullopt);
}

TEST_F(KeyedTasksTest, NoKeyIsWithTwoThreadsAtOnce) {
  KeyedTasks tasks(Threads(4), clock_, nullptr);
  constexpr int kKeys = 5;
  std::vector<std::atomic<int>> inside(kKeys);
  std::atomic<int> most = 0;
  for (int round = 0; round < 200; ++round) {
    const int key = round % kKeys;
    tasks.Put(std::to_string(key), [&, key](std::stop_token) {
      most = std::max(most.load(), ++inside[key]);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      --inside[key];
      return TaskResult::kDone;
    });
  }
  while (tasks.Waiting() > 0) std::this_thread::sleep_for(milliseconds(1));
  tasks.Stop();
  EXPECT_EQ(most, 1);
}

TEST_F(KeyedTasksTest, StopTellsTheOnesThatRunAndForgetsTheOthers) {
  KeyedTasks tasks(Threads(1), clock_, nullptr);
  std::latch begun(1);
  tasks.Put("a", [&](std::stop_token stop) {
    begun.count_down();
    while (!stop.stop_requested()) std::this_thread::sleep_for(milliseconds(1));
    return TaskResult::kRetry;
  });
  tasks.Put("b", Tell("never"));
  begun.wait();
  tasks.Stop();
  EXPECT_EQ(seen_.TryPop(), std::nullopt);
}

}  // namespace
}  // namespace muster::runtime
