// The decisions of the work queue: values in, values out.
#include "operator/runtime/keyed_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <vector>

namespace muster::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

base::Time At(std::int64_t ms) { return base::Time(milliseconds(ms)); }

class KeyedQueueTest : public testing::Test {
 protected:
  std::string Take(std::int64_t ms = 0) {
    const auto taken = queue_.Take(At(ms));
    return taken ? taken->key : "";
  }
  KeyedQueue queue_{Backoff(), 7};
};

TEST_F(KeyedQueueTest, AKeyAddedTwiceIsTakenOnce) {
  EXPECT_TRUE(queue_.Add(At(0), "a", Priority::kLive));
  EXPECT_FALSE(queue_.Add(At(1), "a", Priority::kLive));
  EXPECT_EQ(Take(), "a");
  EXPECT_EQ(Take(), "");
}

TEST_F(KeyedQueueTest, AKeyInWorkIsNotHandedOutAgainAndNotLost) {
  queue_.Add(At(0), "a", Priority::kLive);
  EXPECT_EQ(Take(), "a");
  EXPECT_TRUE(queue_.Add(At(1), "a", Priority::kLive)) << "dirty again: that counts";
  EXPECT_EQ(queue_.queued(), 0u);
  EXPECT_EQ(Take(), "");
  queue_.Done(At(2), "a");
  EXPECT_EQ(Take(), "a");
  queue_.Done(At(3), "a");
  EXPECT_EQ(Take(), "");
  EXPECT_EQ(queue_.processing(), 0u);
}

TEST_F(KeyedQueueTest, LiveEventsOvertakeTheInitialList) {
  for (const char* key : {"l1", "l2"}) queue_.Add(At(0), key, Priority::kInitialList);
  queue_.Add(At(1), "live", Priority::kLive);
  EXPECT_EQ(Take(), "live");
  EXPECT_EQ(Take(), "l1");
  EXPECT_EQ(Take(), "l2");
}

TEST_F(KeyedQueueTest, AListedKeyThatHasALiveEventMovesUpAndIsTakenOnce) {
  for (const char* key : {"l1", "l2"}) queue_.Add(At(0), key, Priority::kInitialList);
  EXPECT_FALSE(queue_.Add(At(1), "l2", Priority::kLive));
  EXPECT_EQ(Take(), "l2");
  EXPECT_EQ(Take(), "l1");
  EXPECT_EQ(Take(), "");
}

TEST_F(KeyedQueueTest, AListedKeyInWorkThatHasALiveEventComesBackLive) {
  queue_.Add(At(0), "a", Priority::kInitialList);
  EXPECT_EQ(Take(), "a");
  queue_.Add(At(1), "a", Priority::kInitialList);
  queue_.Add(At(1), "a", Priority::kLive);
  queue_.Add(At(1), "b", Priority::kInitialList);
  queue_.Done(At(2), "a");
  EXPECT_EQ(Take(), "a");
  EXPECT_EQ(Take(), "b");
}

TEST_F(KeyedQueueTest, EndlessLiveEventsDoNotStarveTheInitialList) {
  queue_.Add(At(0), "listed", Priority::kInitialList);
  int before = 0;
  for (; before < 100; ++before) {
    queue_.Add(At(before), "live", Priority::kLive);
    const std::string key = Take();
    if (key == "listed") break;
    queue_.Done(At(before), key);
  }
  EXPECT_EQ(before, KeyedQueue::kLiveInARow);
}

TEST_F(KeyedQueueTest, ADelayedKeyIsQueuedWhenItIsDueAndOfTwoTheEarlierCounts) {
  queue_.AddAt(At(50), "a", Priority::kLive);
  queue_.AddAt(At(80), "a", Priority::kLive);
  queue_.AddAt(At(20), "a", Priority::kLive);
  queue_.AddAt(At(60), "b", Priority::kInitialList);
  EXPECT_EQ(queue_.NextDue(), At(20));
  EXPECT_EQ(queue_.Advance(At(19)), 0);
  EXPECT_EQ(Take(19), "");
  EXPECT_EQ(queue_.Advance(At(20)), 1);
  EXPECT_EQ(Take(20), "a");
  EXPECT_EQ(queue_.NextDue(), At(60));
  EXPECT_EQ(queue_.Advance(At(1000)), 1) << "a is not due again";
  EXPECT_EQ(Take(1000), "b");
  EXPECT_EQ(queue_.NextDue(), std::nullopt);
}

TEST_F(KeyedQueueTest, AKeyMayBeDelayedWhileItIsInWork) {
  queue_.Add(At(0), "a", Priority::kLive);
  EXPECT_EQ(Take(), "a");
  queue_.AddAt(At(10), "a", Priority::kLive);
  queue_.Done(At(5), "a");
  EXPECT_EQ(Take(5), "");
  queue_.Advance(At(10));
  EXPECT_EQ(Take(10), "a");
}

TEST_F(KeyedQueueTest, WaitingCountsFromWhenItWasDue) {
  queue_.AddAt(At(10), "a", Priority::kLive);
  queue_.Advance(At(25));
  EXPECT_EQ(queue_.Take(At(30))->waited, milliseconds(20));
  EXPECT_EQ(queue_.UnfinishedWork(At(40)), milliseconds(10));
  queue_.Add(At(35), "b", Priority::kLive);
  EXPECT_EQ(queue_.Take(At(40))->waited, milliseconds(5));
  EXPECT_EQ(queue_.UnfinishedWork(At(50)), milliseconds(30));
  EXPECT_EQ(queue_.LongestRunning(At(50)), milliseconds(20));
  EXPECT_EQ(queue_.Done(At(50), "a"), milliseconds(20));
  EXPECT_EQ(queue_.LongestRunning(At(50)), milliseconds(10));
}

TEST_F(KeyedQueueTest, FailuresBackOffForTheirKeyAloneUntilItIsForgotten) {
  EXPECT_LT(queue_.AddAfterFailure(At(0), "a"), milliseconds(7));
  EXPECT_GE(queue_.AddAfterFailure(At(0), "a"), milliseconds(10));
  EXPECT_GE(queue_.AddAfterFailure(At(0), "a"), milliseconds(20));
  EXPECT_EQ(queue_.Failures("a"), 3);
  EXPECT_LT(queue_.AddAfterFailure(At(0), "b"), milliseconds(7));
  queue_.Forget("a");
  EXPECT_EQ(queue_.Failures("a"), 0);
  EXPECT_LT(queue_.AddAfterFailure(At(0), "a"), milliseconds(7));
}

TEST(BackoffTest, DoublesFrom5MillisecondsTo1000SecondsAndStaysThere) {
  base::SplitMix random(1);
  for (int failures = 1; failures <= 100; ++failures) {
    for (int i = 0; i < 50; ++i) {
      const base::Duration delay = BackoffDelay(Backoff(), failures, random);
      const double base = std::min(0.005 * std::pow(2.0, failures - 1), 800.0);
      ASSERT_GE(base::ToSeconds(delay), base * 0.999999) << failures;
      ASSERT_LE(base::ToSeconds(delay), base * 1.250001) << failures;
      ASSERT_LE(delay, seconds(1000));
    }
  }
}

TEST(BackoffTest, KeysThatFailedTogetherComeBackApart) {
  base::SplitMix random(1);
  std::set<base::Duration> delays;
  for (int i = 0; i < 100; ++i) delays.insert(BackoffDelay(Backoff(), 40, random));
  EXPECT_EQ(delays.size(), 100u);
}

// Against a model that is nothing but the three sets: whatever the order of calls, a key that was
// added is worked on afterwards, and never by two.
TEST(KeyedQueueModelTest, AnyOrderOfCallsKeepsTheInvariants) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    base::SplitMix random(seed);
    KeyedQueue queue(Backoff(), seed);
    std::set<std::string> dirty;
    std::set<std::string> processing;
    std::map<std::string, std::int64_t> delayed;
    for (std::int64_t now = 0; now < 400; ++now) {
      const std::string key(1, static_cast<char>('a' + random.Below(6)));
      const Priority priority = random.Below(2) == 0 ? Priority::kLive : Priority::kInitialList;
      switch (random.Below(4)) {
        case 0:
          EXPECT_EQ(queue.Add(At(now), key, priority), dirty.insert(key).second);
          break;
        case 1: {
          const std::int64_t at = now + static_cast<std::int64_t>(random.Below(20));
          const auto [old, fresh] = delayed.emplace(key, at);
          if (!fresh) old->second = std::min(old->second, at);
          queue.AddAt(At(at), key, priority);
          break;
        }
        case 2:
          if (const auto taken = queue.Take(At(now))) {
            ASSERT_EQ(dirty.erase(taken->key), 1u) << "seed " << seed;
            ASSERT_TRUE(processing.insert(taken->key).second) << "seed " << seed;
          } else {
            for (const std::string& waits : dirty) ASSERT_TRUE(processing.contains(waits));
          }
          break;
        default:
          if (!processing.empty()) {
            const std::string done = *processing.begin();
            processing.erase(done);
            queue.Done(At(now), done);
          }
      }
      queue.Advance(At(now));
      for (auto at = delayed.begin(); at != delayed.end();) {
        if (at->second > now) {
          ++at;
          continue;
        }
        dirty.insert(at->first);
        at = delayed.erase(at);
      }
      std::size_t queued = 0;
      for (const std::string& waits : dirty) queued += processing.contains(waits) ? 0 : 1;
      ASSERT_EQ(queue.queued(), queued) << "seed " << seed << " at " << now;
      ASSERT_EQ(queue.processing(), processing.size());
      ASSERT_EQ(queue.delayed(), delayed.size());
    }
  }
}

}  // namespace
}  // namespace muster::runtime
