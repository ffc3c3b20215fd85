// What was asked for and is not yet seen.
#include "operator/kube/expectations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace muster::kube {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

base::Time At(int s) { return base::Time(seconds(s)); }
constexpr char kJob[] = "space/job";

TEST(ExpectationsTest, AStaleCacheDoesNotCreateTwice) {
  Expectations expected;
  expected.ExpectCreation(At(0), kJob, "job-0-x");
  // The cache is looked at again and again, and does not have the pod.
  for (int s = 1; s < 10; ++s) {
    const auto verdict = expected.Check(At(s), kJob);
    EXPECT_FALSE(verdict.met);
    EXPECT_EQ(verdict.reason, "waits until the watch shows 1 created and 0 deleted pods");
    EXPECT_EQ(verdict.retry_at, At(0) + minutes(5)) << "unmet expectations are looked at again";
  }
  expected.ObserveObject(kJob, "job-0-x", "u1", false);
  EXPECT_EQ(expected.Check(At(10), kJob), Expectations::Verdict());
  EXPECT_EQ(expected.size(), 0u);
}

TEST(ExpectationsTest, TheEventMayComeBeforeTheAnswerOfTheCreate) {
  Expectations expected;
  expected.ExpectCreation(At(0), kJob, "p");
  expected.ObserveObject(kJob, "p", "u", false);
  expected.ObserveObject(kJob, "p", "u", false);
  EXPECT_TRUE(expected.Check(At(0), kJob).met);
}

TEST(ExpectationsTest, EventsOfOtherPodsAndOtherJobsFulfilNothing) {
  Expectations expected;
  expected.ExpectCreation(At(0), kJob, "p");
  expected.ExpectDeletion(At(0), kJob, "u1");
  expected.ObserveObject(kJob, "q", "u2", false);
  expected.ObserveObject("space/other", "p", "u3", false);
  expected.ObserveGone(kJob, "q", "u4");
  EXPECT_THAT(expected.ExpectedNames(At(0), kJob), ElementsAre("p"));
  EXPECT_THAT(expected.ExpectedGone(At(0), kJob), ElementsAre("u1"));
}

TEST(ExpectationsTest, ADeletionIsSeenWhenThePodIsTerminatingAndOnlyByItsUid) {
  Expectations expected;
  expected.ExpectDeletion(At(0), kJob, "u1");
  expected.ObserveObject(kJob, "p", "u1", false);
  EXPECT_FALSE(expected.Check(At(1), kJob).met) << "an old event that does not show it yet";
  expected.ObserveObject(kJob, "p", "u2", true);
  EXPECT_FALSE(expected.Check(At(1), kJob).met) << "another pod of the same name";
  expected.ObserveObject(kJob, "p", "u1", true);
  EXPECT_TRUE(expected.Check(At(1), kJob).met);
}

TEST(ExpectationsTest, APodThatCameAndWentBetweenTwoLooksFulfilsItsCreation) {
  Expectations expected;
  expected.ExpectCreation(At(0), kJob, "p");
  expected.ObserveGone(kJob, "p", "u");
  EXPECT_TRUE(expected.Check(At(0), kJob).met);
}

TEST(ExpectationsTest, ARefusalIsNotWaitedFor) {
  Expectations expected;
  expected.ExpectCreation(At(0), kJob, "p");
  expected.ExpectDeletion(At(0), kJob, "u");
  expected.CreationRefused(kJob, "p");
  EXPECT_EQ(expected.Check(At(0), kJob).reason,
            "waits until the watch shows 0 created and 1 deleted pods");
  expected.DeletionRefused(kJob, "u");
  EXPECT_TRUE(expected.Check(At(0), kJob).met);
}

TEST(ExpectationsTest, WhatIsNeverSeenIsGivenUpAfterFiveMinutes) {
  Expectations expected;
  expected.ExpectCreation(At(0), kJob, "old");
  expected.ExpectCreation(At(60), kJob, "young");
  EXPECT_EQ(expected.Check(At(299), kJob).retry_at, At(360));
  EXPECT_THAT(expected.ExpectedNames(At(300), kJob), ElementsAre("young"));
  EXPECT_FALSE(expected.Check(At(359), kJob).met);
  EXPECT_TRUE(expected.Check(At(360), kJob).met);
  EXPECT_THAT(expected.ExpectedNames(At(360), kJob), IsEmpty());
}

TEST(ExpectationsTest, AJobThatIsGoneIsForgotten) {
  Expectations expected;
  expected.ExpectCreation(At(0), kJob, "p");
  expected.Forget(kJob);
  EXPECT_EQ(expected.size(), 0u);
}

TEST(SlowStartTest, DoublesAndNeverExceedsTheCap) {
  EXPECT_THAT(SlowStart(0), IsEmpty());
  EXPECT_THAT(SlowStart(-3), IsEmpty());
  EXPECT_THAT(SlowStart(1), ElementsAre(1));
  EXPECT_THAT(SlowStart(2), ElementsAre(1, 1));
  EXPECT_THAT(SlowStart(10), ElementsAre(1, 2, 4, 3));
  EXPECT_THAT(SlowStart(10, 4), ElementsAre(1, 2, 1));
  for (int wanted : {499, 500, 501, 10000}) {
    const auto batches = SlowStart(wanted);
    EXPECT_EQ(std::accumulate(batches.begin(), batches.end(), 0), std::min(wanted, 500));
    EXPECT_EQ(batches.size(), 9u) << "1+2+...+128 = 255, then the 245 that are left of 500";
  }
}

}  // namespace
}  // namespace muster::kube
