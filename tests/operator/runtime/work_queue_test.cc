// The work queue with its lock, its workers and its series. Time is a clock that is moved by hand.
#include "operator/runtime/work_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "operator/runtime/bounded_queue.h"
#include "tests/operator/runtime/soon.h"

namespace muster::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

class WorkQueueTest : public testing::Test {
 protected:
  ManualClock clock_;
  Metrics metrics_;
  WorkQueue queue_{{"job", Backoff(), 1}, clock_, &metrics_};
};

TEST_F(WorkQueueTest, ADelayedKeyComesWhenTheClockSaysSo) {
  queue_.AddAfter("a", seconds(5));
  EXPECT_EQ(queue_.TryTake(), std::nullopt);
  clock_.Advance(seconds(5));
  EXPECT_EQ(queue_.TryTake(), "a");
}

TEST_F(WorkQueueTest, AWaitingWorkerIsWokenByAnAddAndByTheClock) {
  BoundedQueue<std::string> seen(8, WhenFull::kBlock);
  std::jthread worker([&] {
    while (auto key = queue_.Take()) {
      seen.Push(*key);
      queue_.Done(*key);
    }
  });
  queue_.Add("now");
  EXPECT_EQ(seen.PopUntil(Soon()), "now");
  queue_.AddAfter("later", std::chrono::hours(1));
  clock_.Advance(std::chrono::hours(1));
  queue_.WakeUp();
  EXPECT_EQ(seen.PopUntil(Soon()), "later");
  queue_.ShutDown();
}

TEST_F(WorkQueueTest, NoKeyIsWithTwoWorkersAndNoneIsLost) {
  constexpr int kWorkers = 4;
  constexpr int kKeys = 16;
  std::vector<std::atomic<int>> in_work(kKeys);
  std::vector<std::atomic<int>> wanted(kKeys);
  std::vector<std::atomic<int>> served(kKeys);
  std::atomic<bool> twice = false;
  std::vector<std::jthread> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.emplace_back([&] {
      while (auto key = queue_.Take()) {
        const int k = std::stoi(*key);
        if (in_work[k].fetch_add(1) != 0) twice = true;
        served[k] = wanted[k].load();
        in_work[k].fetch_sub(1);
        queue_.Done(*key);
      }
    });
  }
  {
    std::vector<std::jthread> adders;
    for (int a = 0; a < 2; ++a) {
      adders.emplace_back([&, a] {
        base::SplitMix random(static_cast<std::uint64_t>(a));
        for (int i = 0; i < 5000; ++i) {
          const auto k = random.Below(kKeys);
          ++wanted[k];
          queue_.Add(std::to_string(k));
        }
      });
    }
  }
  EXPECT_TRUE(queue_.Drain(Soon()));
  workers.clear();
  EXPECT_FALSE(twice);
  for (int k = 0; k < kKeys; ++k) EXPECT_EQ(served[k], wanted[k]) << "key " << k;
}

TEST_F(WorkQueueTest, ShutDownHandsNothingOutThoughKeysAreQueued) {
  queue_.Add("a");
  queue_.Add("b");
  EXPECT_EQ(queue_.Take(), "a");
  queue_.ShutDown();
  EXPECT_EQ(queue_.Take(), std::nullopt);
  queue_.Add("c");
  queue_.Done("a");
  EXPECT_EQ(queue_.TryTake(), std::nullopt);
}

TEST_F(WorkQueueTest, DrainHandsOutWhatIsQueuedAndNothingNew) {
  queue_.Add("a");
  queue_.Add("b");
  queue_.AddAfter("delayed", seconds(1));
  EXPECT_EQ(queue_.Take(), "a");
  queue_.Add("a");  // dirty while in work: still has to be looked at
  std::atomic<bool> drained = false;
  std::jthread drainer([&] { drained = queue_.Drain(Soon()); });
  // Until the drain has begun a new key is taken; it has begun when one is not.
  int added = 0;
  while (queue_.Depth() == static_cast<std::size_t>(1 + added) && added < 1'000'000) {
    queue_.Add("n" + std::to_string(added));
    if (queue_.Depth() == static_cast<std::size_t>(1 + added)) break;
    ++added;
  }
  queue_.Done("a");
  std::map<std::string, int> taken;
  while (auto key = queue_.Take()) {
    ++taken[*key];
    queue_.Done(*key);
  }
  drainer.join();
  EXPECT_TRUE(drained);
  EXPECT_EQ(taken["a"], 1);
  EXPECT_EQ(taken["b"], 1);
  EXPECT_EQ(taken["delayed"], 0);
  EXPECT_EQ(taken.size(), static_cast<std::size_t>(3 + added));
}

TEST_F(WorkQueueTest, DrainGivesUpAtItsDeadlineWhenAWorkerIsStuck) {
  queue_.Add("stuck");
  EXPECT_EQ(queue_.Take(), "stuck");
  EXPECT_FALSE(queue_.Drain(RealClock().Now()));
  EXPECT_EQ(queue_.Take(), std::nullopt);
}

TEST_F(WorkQueueTest, SeriesSayWhatWaitsWhatWorksAndWhatFailed) {
  queue_.Add("a");
  queue_.Add("a");
  queue_.Add("b");
  clock_.Advance(seconds(2));
  EXPECT_EQ(queue_.Take(), "a");
  clock_.Advance(seconds(3));
  EXPECT_EQ(queue_.Take(), "b");
  clock_.Advance(seconds(1));
  queue_.AddAfterFailure("a");
  queue_.Add("c");
  const std::string text = metrics_.Text();
  for (const char* line : {
           "# TYPE workqueue_depth gauge\nworkqueue_depth{name=\"job\"} 1\n",
           "workqueue_adds_total{name=\"job\"} 3\n",
           "workqueue_retries_total{name=\"job\"} 1\n",
           "workqueue_queue_duration_seconds_sum{name=\"job\"} 7\n",
           "workqueue_queue_duration_seconds_count{name=\"job\"} 2\n",
           "workqueue_work_duration_seconds_count{name=\"job\"} 0\n",
           "workqueue_unfinished_work_seconds{name=\"job\"} 5\n",
           "workqueue_longest_running_processor_seconds{name=\"job\"} 4\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  queue_.Done("a");
  EXPECT_THAT(metrics_.Text(), HasSubstr("workqueue_work_duration_seconds_sum{name=\"job\"} 4\n"));
}

TEST(WorkQueueSeriesTest, TwoQueuesAreTwoSeriesOfOneNameAndAnEndedOneIsGone) {
  ManualClock clock;
  Metrics metrics;
  WorkQueue jobs({"job", Backoff(), 1}, clock, &metrics);
  {
    WorkQueue nodes({"node", Backoff(), 1}, clock, &metrics);
    EXPECT_THAT(metrics.Text(),
                HasSubstr("# TYPE workqueue_depth gauge\nworkqueue_depth{name=\"job\"} 0\n"
                          "workqueue_depth{name=\"node\"} 0\n"));
  }
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("workqueue_depth{name=\"node\"}")));
}

}  // namespace
}  // namespace muster::runtime
