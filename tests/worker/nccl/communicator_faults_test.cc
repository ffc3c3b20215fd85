// The communicator over a NCCL that hangs, breaks, and ends its aborts late.
#include <gtest/gtest.h>

#include <thread>

#include "tests/worker/nccl/cluster.h"

namespace muster::nccl {
namespace {

using std::chrono::milliseconds;

Attempt Try(std::uint64_t epoch, std::int32_t number = 1) { return {base::Epoch(epoch), number}; }

enum class Phase { kInit, kEnqueue, kCollective, kBetween };
struct Kill {
  Phase phase;
  bool noticed;  // NCCL tells; otherwise the coordinator does, and Abort is called
};
class KillTest : public testing::TestWithParam<Kill> {};
INSTANTIATE_TEST_SUITE_P(Phases, KillTest,
                         testing::Values(Kill{Phase::kInit, true}, Kill{Phase::kInit, false},
                                         Kill{Phase::kEnqueue, true}, Kill{Phase::kEnqueue, false},
                                         Kill{Phase::kCollective, true},
                                         Kill{Phase::kCollective, false},
                                         Kill{Phase::kBetween, false}));

// Rank 2 of 3 dies; the others keep their sums, and go on as two under a new id.
TEST_P(KillTest, SurvivorsKeepTheirSumsAndGoOn) {
  const auto [phase, noticed] = GetParam();
  std::vector<Sum> sums;
  for (std::int32_t i = 0; i < 3; ++i) sums.emplace_back(i);
  Cluster cluster(3);
  for (std::int32_t i = 0; i < 3; ++i) {
    cluster.nccl(i).Set([&](Faults& f) {
      f.notices_death = noticed;
      f.hang_init = phase == Phase::kInit;
      f.hang_enqueue = phase == Phase::kEnqueue;
      f.hang_collective = phase == Phase::kCollective;
    });
  }
  if (phase == Phase::kInit) {
    cluster.Begin(Try(1));
    for (std::int32_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(Eventually([&] { return cluster.nccl(i).calls().inits == 1; }));
    }
  } else {
    cluster.Install(Try(1));
    for (std::int32_t i = 0; i < 3 && phase != Phase::kBetween; ++i) {
      ASSERT_TRUE(cluster[i].BeginAllReduce(sums[i].reduction()).ok());
      EXPECT_TRUE(Eventually([&] { return cluster.nccl(i).calls().groups == 1; }));
    }
  }
  cluster.Kill(2);
  for (std::int32_t i = 0; i < 2; ++i) {
    if (!noticed) cluster[i].Abort();
    const auto end = phase == Phase::kInit ? cluster[i].PollInstall(kLong) : cluster[i].Poll(kLong);
    if (phase != Phase::kBetween) {
      EXPECT_EQ(CodeOfPoll(end), noticed ? kUnavailable : kAborted);
    }
    cluster.AwaitQuiet(i);
    EXPECT_EQ(sums[i].in, sums[i].given);
    EXPECT_FALSE(sums[i].Right(3));
    EXPECT_EQ(cluster[i].bytes_sent(), 0);
    EXPECT_EQ(cluster.nccl(i).calls().aborts, 1);
    cluster.nccl(i).Set([](Faults& f) { f = Faults{}; });
  }
  cluster.Remove(2);
  cluster.Install(Try(2));
  ExpectSum(cluster);
  EXPECT_EQ(cluster[0].rebuilds().failed_inits, phase == Phase::kInit ? 1 : 0);
}

class AbortTest : public testing::TestWithParam<Phase> {};
INSTANTIATE_TEST_SUITE_P(Phases, AbortTest,
                         testing::Values(Phase::kInit, Phase::kEnqueue, Phase::kCollective));

// While NCCL's own abort takes its time, the callers hear of it at once.
TEST_P(AbortTest, IsFeltAtOnceFromAnotherThread) {
  Limits limits;
  limits.abort = kLong;
  Sum sum(0);
  Cluster cluster(2, limits);
  const Phase phase = GetParam();
  cluster.nccl(0).Set([&](Faults& f) {
    f.hang_init = phase == Phase::kInit;
    f.hang_enqueue = phase == Phase::kEnqueue;
    f.hang_collective = phase == Phase::kCollective;
    f.abort_waits_for_peers = true;
  });
  // Or it would abort by itself when rank 0 does so while it still waits for its own init.
  cluster.nccl(1).Set([](Faults& f) { f.notices_death = false; });
  if (phase == Phase::kInit) {
    cluster.Begin(Try(1));
  } else {
    cluster.Install(Try(1));
    ASSERT_TRUE(cluster[0].BeginAllReduce(sum.reduction()).ok());
  }
  std::jthread other([&] {
    EXPECT_TRUE(Eventually([&] {
      return cluster.nccl(1).calls().inits == 1 && cluster.nccl(0).calls().inits == 1 &&
             cluster.nccl(0).calls().groups == (phase == Phase::kInit ? 0 : 1);
    }));
    cluster[0].Abort();
    cluster[0].Abort();
  });
  const auto end = phase == Phase::kInit ? cluster[0].PollInstall(kLong) : cluster[0].Poll(kLong);
  EXPECT_EQ(CodeOfPoll(end), kAborted);
  // Rank 1 has not aborted, so NCCL's abort of rank 0 does not come back yet.
  EXPECT_EQ(cluster[0].AwaitQuiet(milliseconds(20)), std::nullopt);
  EXPECT_EQ(cluster[0].BeginAllReduce(sum.reduction()).code(), kAborted);
  EXPECT_EQ(cluster[0].BeginInstall({Try(1, 2), {{}, 0, 2}, {}}).code(), kAborted);
  cluster[1].Abort();
  cluster.AwaitQuiet(0);
  cluster.AwaitQuiet(1);
  EXPECT_EQ(sum.in, sum.given);
  EXPECT_EQ(cluster.expired(0), 0);
}

// The flag comes up after the event was seen done: the sum is there, and must not count.
TEST(NcclFaultsTest, AFlagRaisedAfterTheEventEndsTheReduction) {
  std::vector<Sum> sums{Sum(0), Sum(1)};
  Cluster cluster(2);
  cluster.Install(Try(1));
  // Rank 1 may look after rank 0 has aborted: its sum is right all the same.
  cluster.nccl(1).Set([](Faults& f) { f.notices_death = false; });
  ASSERT_TRUE(cluster[1].BeginAllReduce(sums[1].reduction()).ok());
  cluster.nccl(0).Set([&](Faults& f) {
    f.on_async = [&] {
      if (sums[0].out[0] != -1) cluster[0].Abort();
    };
  });
  ASSERT_TRUE(cluster[0].BeginAllReduce(sums[0].reduction()).ok());
  EXPECT_EQ(CodeOfPoll(cluster[0].Poll(kLong)), kAborted);
  cluster.AwaitQuiet(0);
  EXPECT_EQ(cluster[0].bytes_sent(), 0);
  EXPECT_EQ(CodeOfPoll(cluster[1].Poll(kLong)), absl::StatusCode::kOk);
  cluster.nccl(0).Set([](Faults& f) { f = Faults{}; });
}

TEST(NcclFaultsTest, ASumThatWasNotTakenBeforeTheAbortIsNone) {
  std::vector<Sum> sums{Sum(0), Sum(1)};
  Cluster cluster(2);
  cluster.Install(Try(1));
  for (std::int32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(cluster[i].BeginAllReduce(sums[i].reduction()).ok());
  }
  EXPECT_TRUE(Eventually([&] { return cluster[0].bytes_sent() > 0; }));  // committed
  cluster[0].Abort();
  EXPECT_EQ(CodeOfPoll(cluster[0].Poll(kLong)), kAborted);
}

TEST(NcclFaultsTest, AnInitThatHangsIsTriedAgainWithANewId) {
  Limits limits;
  limits.init = milliseconds(30);
  limits.attempts = 3;
  Cluster cluster(2, limits);
  cluster.nccl(0).Set([](Faults& f) { f.hang_init = true; });
  cluster.nccl(1).Set([](Faults& f) { f.hang_init = true; });
  cluster.Begin(Try(1));
  for (std::int32_t i = 0; i < 2; ++i) {
    EXPECT_EQ(CodeOfPoll(cluster[i].PollInstall(kLong)), kUnavailable);
    cluster.AwaitQuiet(i);
  }
  // It cannot be told from outside which id an attempt has, so the communicator compares.
  UniqueId first;
  first.bytes[0] = std::byte{1};
  ASSERT_TRUE(cluster[0].BeginInstall({Try(1, 2), {first, 0, 2}, {}}).ok());
  EXPECT_EQ(CodeOfPoll(cluster[0].PollInstall(kLong)), absl::StatusCode::kInvalidArgument);
  cluster.AwaitQuiet(0);
  for (std::int32_t i = 0; i < 2; ++i) {
    cluster.nccl(i).Set([](Faults& f) { f.init_at_once = Code::kSystemError; });
  }
  cluster.Begin(Try(1, 3));
  EXPECT_EQ(CodeOfPoll(cluster[0].PollInstall(kLong)), kUnavailable);
  cluster.AwaitQuiet(0);
  cluster.AwaitQuiet(1);
  EXPECT_EQ(cluster[0].rebuilds(), (Rebuilds{2, 2}));
  EXPECT_EQ(cluster[1].rebuilds(), (Rebuilds{2, 0}));
  EXPECT_EQ(cluster[0].Mint(Try(1, 4)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(cluster.fabric().ids_leaked(), 1);
}

TEST(NcclFaultsTest, TheWatchdogBarksWhenAnAbortIsLate) {
  Limits limits;
  limits.abort = milliseconds(50);
  Cluster cluster(1, limits);
  cluster.Install(Try(1));
  cluster.nccl(0).Set([](Faults& f) { f.abort_takes = milliseconds(300); });
  cluster[0].Abort();
  EXPECT_TRUE(Eventually([&] { return cluster.expired(0) > 0; }));
  std::optional<absl::Status> quiet;
  EXPECT_TRUE(Eventually([&] { return (quiet = cluster[0].AwaitQuiet(milliseconds(1))); }));
  EXPECT_EQ(CodeOfPoll(quiet), absl::StatusCode::kInternal);
  EXPECT_EQ(cluster[0].BeginInstall({Try(2), {{}, 0, 1}, {}}).code(), absl::StatusCode::kInternal);
}

// The owner is inside a call that does not return: it cannot abort, and nobody else may.
TEST(NcclFaultsTest, TheWatchdogCountsFromTheAbortThatWasAskedFor) {
  Limits limits;
  limits.abort = milliseconds(50);
  Sum sum(0);
  Cluster cluster(1, limits);
  cluster.Install(Try(1));
  cluster.nccl(0).Set([](Faults& f) { f.block_group_end = true; });
  ASSERT_TRUE(cluster[0].BeginAllReduce(sum.reduction()).ok());
  EXPECT_TRUE(Eventually([&] { return cluster.nccl(0).calls().groups == 1; }));
  cluster[0].Abort();
  EXPECT_EQ(CodeOfPoll(cluster[0].Poll(kLong)), kAborted);
  EXPECT_TRUE(Eventually([&] { return cluster.expired(0) > 0; }));
  EXPECT_EQ(cluster.nccl(0).calls().aborts, 0);
  cluster.nccl(0).Set([](Faults& f) { f.block_group_end = false; });
}

TEST(NcclFaultsTest, ADeviceThatIsBrokenAfterAnAbortIsTheEnd) {
  Cluster cluster(1);
  cluster.Install(Try(1));
  cluster.nccl(0).Set([](Faults& f) { f.synchronise = Code::kCudaError; });
  cluster[0].Abort();
  EXPECT_EQ(CodeOfPoll(cluster[0].AwaitQuiet(kLong)), absl::StatusCode::kInternal);
  EXPECT_EQ(cluster[0].BeginInstall({Try(2), {{}, 0, 1}, {}}).code(), absl::StatusCode::kInternal);
}

// Synchronising goes well and the error comes up afterwards.
TEST(NcclFaultsTest, AnErrorThatStaysIsTheEnd) {
  Cluster cluster(1);
  cluster.Install(Try(1));
  cluster.nccl(0).Set([](Faults& f) { f.broken_device = Code::kCudaError; });
  cluster[0].Abort();
  EXPECT_EQ(CodeOfPoll(cluster[0].AwaitQuiet(kLong)), absl::StatusCode::kInternal);
}

TEST(NcclFaultsTest, AnErrorOfACallBeforeTheAbortIsNoBrokenDevice) {
  Cluster cluster(1);
  cluster.Install(Try(1));
  cluster.nccl(0).Set([](Faults& f) { f.stale_error = Code::kCudaError; });
  cluster[0].Abort();
  cluster.AwaitQuiet(0);
  cluster.Install(Try(2));
  ExpectSum(cluster);
}

TEST(NcclFaultsTest, AFinalizeThatFailsIsAnAbort) {
  Cluster cluster(1);
  cluster.Install(Try(1));
  cluster.nccl(0).Set([](Faults& f) { f.finalize_at_once = Code::kInternalError; });
  cluster[0].BeginClose();
  cluster.AwaitQuiet(0);
  EXPECT_EQ(cluster.nccl(0).calls().aborts, 1);
  EXPECT_EQ(cluster.nccl(0).calls().destroys, 0);
}

TEST(NcclFaultsTest, TheDestructorAbortsWhatRuns) {
  Sum sum(0);
  Cluster cluster(2);
  cluster.Install(Try(1));
  cluster.nccl(0).Set([](Faults& f) { f.hang_collective = true; });
  ASSERT_TRUE(cluster[0].BeginAllReduce(sum.reduction()).ok());
  cluster.Destroy(0);
  EXPECT_EQ(cluster.nccl(0).calls().aborts, 1);
  EXPECT_EQ(sum.in, sum.given);
}

}  // namespace
}  // namespace muster::nccl
