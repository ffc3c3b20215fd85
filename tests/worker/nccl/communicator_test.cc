// The communicator over a NCCL that works: sums, the rules of its calls, clean ends.
#include "worker/nccl/communicator.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>

#include "tests/worker/nccl/cluster.h"

namespace muster::nccl {
namespace {

using std::chrono::milliseconds;

Attempt At(std::uint64_t epoch, std::int32_t number = 1) { return {base::Epoch(epoch), number}; }

TEST(NcclCommunicatorTest, SumsAndCountsBytes) {
  for (std::int32_t n = 1; n <= 4; ++n) {
    Cluster cluster(n);
    cluster.Install(At(1));
    ExpectSum(cluster);
    ExpectSum(cluster);
    for (std::int32_t i = 0; i < n; ++i) {
      EXPECT_EQ(cluster[i].bytes_sent(), 2 * (2 * (n - 1) * 8000 / n));
      EXPECT_EQ(cluster[i].rebuilds(), Rebuilds{});
    }
    EXPECT_EQ(cluster.fabric().ids_leaked(), 0);
  }
}

TEST(NcclCommunicatorTest, ReducesVectorsOfSeveralTypesInOneGroup) {
  Cluster cluster(3);
  cluster.Install(At(1));
  struct Vectors {
    std::vector<std::int64_t> sums = std::vector<std::int64_t>(100), sums_out = sums;
    std::vector<std::int32_t> most = std::vector<std::int32_t>(10), most_out = most;
    std::vector<float> floats = std::vector<float>(3), floats_out = floats;
  };
  std::vector<Vectors> of(3);
  for (std::int32_t i = 0; i < 3; ++i) {
    auto& v = of[i];
    std::fill(v.sums.begin(), v.sums.end(), std::int64_t{1} << (40 + i));
    std::fill(v.most.begin(), v.most.end(), i == 1 ? 50 : -i);
    std::fill(v.floats.begin(), v.floats.end(), 0.5F);
    const auto vector = [](comm::ReduceOp op, comm::ElementType type, auto& in, auto& out) {
      return SumVector{
          {op, type, std::as_bytes(std::span(in)), std::as_writable_bytes(std::span(out))}, 1};
    };
    const SumVector vectors[] = {
        vector(comm::ReduceOp::kSum, comm::ElementType::kInt64, v.sums, v.sums_out),
        vector(comm::ReduceOp::kMax, comm::ElementType::kInt32, v.most, v.most_out),
        vector(comm::ReduceOp::kSum, comm::ElementType::kFloat32, v.floats, v.floats_out)};
    ASSERT_TRUE(cluster[i].BeginGroup(vectors).ok());
  }
  for (std::int32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(CodeOfPoll(cluster[i].Poll(kLong)), absl::StatusCode::kOk);
    EXPECT_EQ(of[i].sums_out, std::vector<std::int64_t>(100, std::int64_t{7} << 40));
    EXPECT_EQ(of[i].most_out, std::vector<std::int32_t>(10, 50));
    EXPECT_EQ(of[i].floats_out, std::vector<float>(3, 1.5F));
    EXPECT_EQ(cluster.nccl(i).calls().groups, 1);
    EXPECT_EQ(cluster.nccl(i).calls().collectives, 3);
  }
}

TEST(NcclCommunicatorTest, GroupsOfOneReductionAreGivenWhileOthersAreComputed) {
  std::vector<Sum> sums;
  for (std::int32_t i = 0; i < 2; ++i) sums.emplace_back(i, 1000);
  std::array<std::atomic<bool>, 2> ready{};
  Cluster cluster(2);
  cluster.Install(At(1));
  EXPECT_EQ(cluster[0].BeginReduction(base::Epoch(2)).status().code(), kAborted);
  const auto part = [&](std::int32_t i, std::size_t first, std::size_t end) {
    SumVector vector{sums[i].reduction(), 1};
    vector.reduction.in = vector.reduction.in.subspan(first * 8, (end - first) * 8);
    vector.reduction.out = vector.reduction.out.subspan(first * 8, (end - first) * 8);
    return vector;
  };
  std::uint64_t reductions[2];
  for (std::int32_t i = 0; i < 2; ++i) {
    const auto begun = cluster[i].BeginReduction(base::Epoch(1));
    ASSERT_TRUE(begun.ok()) << begun.status();
    reductions[i] = *begun;
    EXPECT_EQ(cluster[i].BeginReduction(base::Epoch(1)).status().code(), kFailedPrecondition);
    const SumVector first[] = {part(i, 600, 1000)};
    ASSERT_TRUE(cluster[i].GiveGroup(*begun, first, {&ready[i]}, false).ok());
    EXPECT_EQ(cluster[i].GiveGroup(*begun, {}, {}, true).code(), kInvalidArgument);
    EXPECT_EQ(cluster[i].Poll(milliseconds(3)), std::nullopt);
  }
  ready[0] = ready[1] = true;
  // The first is summed before the second was given; the whole is not.
  EXPECT_TRUE(Eventually([&] { return cluster.nccl(0).calls().groups == 1; }));
  EXPECT_EQ(cluster[0].Poll(milliseconds(3)), std::nullopt);
  for (std::int32_t i = 0; i < 2; ++i) {
    const SumVector second[] = {part(i, 0, 600)};
    ASSERT_TRUE(cluster[i].GiveGroup(reductions[i], second, {}, true).ok());
    EXPECT_EQ(cluster[i].GiveGroup(reductions[i], second, {}, true).code(), kFailedPrecondition);
  }
  for (std::int32_t i = 0; i < 2; ++i) {
    EXPECT_EQ(CodeOfPoll(cluster[i].Poll(kLong)), absl::StatusCode::kOk);
    EXPECT_TRUE(sums[i].Right(2));
    EXPECT_EQ(cluster.nccl(i).calls().groups, 2);
    EXPECT_EQ(cluster[i].bytes_sent(), 8000) << "all groups were counted";
  }
  ExpectSum(cluster);
}

TEST(NcclCommunicatorTest, AGroupAfterTheFailureIsRefusedAndThePollTellsWhy) {
  Sum sum(0);
  std::atomic<bool> ready{true};
  Cluster cluster(2);
  cluster.Install(At(1));
  const auto begun = cluster[0].BeginReduction(base::Epoch(1));
  ASSERT_TRUE(begun.ok());
  const SumVector vectors[] = {{sum.reduction(), 1}};
  ASSERT_TRUE(cluster[0].GiveGroup(*begun, vectors, {&ready}, false).ok());
  EXPECT_TRUE(Eventually([&] { return cluster.nccl(0).calls().groups == 1; }));
  cluster.Kill(1);
  EXPECT_TRUE(Eventually([&] {
    return absl::IsAborted(cluster[0].GiveGroup(*begun, vectors, {&ready}, false)) ||
           cluster.nccl(0).calls().groups > 60;
  }));
  EXPECT_EQ(CodeOfPoll(cluster[0].Poll(kLong)), kUnavailable);
  cluster.AwaitQuiet(0);
  EXPECT_EQ(sum.in, sum.given);
}

TEST(NcclCommunicatorTest, RefusesWhatIsNoReduction) {
  Sum sum(0);
  Cluster cluster(1);
  EXPECT_EQ(cluster[0].BeginAllReduce(sum.reduction()).code(), kAborted);
  EXPECT_EQ(CodeOfPoll(cluster[0].Poll(milliseconds(0))), kFailedPrecondition);
  cluster.Install(At(1));
  auto short_out = sum.reduction();
  short_out.out = short_out.out.first(8);
  EXPECT_EQ(cluster[0].BeginAllReduce(short_out).code(), kInvalidArgument);
  auto ragged = sum.reduction();
  ragged.in = ragged.in.first(12);
  ragged.out = ragged.out.first(12);
  EXPECT_EQ(cluster[0].BeginAllReduce(ragged).code(), kInvalidArgument);
  auto in_place = sum.reduction();
  in_place.in = in_place.out;
  EXPECT_EQ(cluster[0].BeginAllReduce(in_place).code(), kInvalidArgument);
  ASSERT_TRUE(cluster[0].BeginAllReduce(sum.reduction()).ok());
  EXPECT_EQ(cluster[0].BeginAllReduce(sum.reduction()).code(), kFailedPrecondition);
  EXPECT_EQ(CodeOfPoll(cluster[0].Poll(kLong)), absl::StatusCode::kOk);
  ASSERT_TRUE(cluster[0].BeginAllReduce({}).ok());
  EXPECT_EQ(CodeOfPoll(cluster[0].Poll(milliseconds(0))), absl::StatusCode::kOk);
}

TEST(NcclCommunicatorTest, ABroadcastIsOfItsRootAndOutOfPlace) {
  Cluster cluster(3);
  cluster.Install(At(1));
  std::vector<std::int32_t> in(500, 7), zeros(500);
  std::vector<std::vector<std::int32_t>> out(3, std::vector<std::int32_t>(500, -1));
  const std::int64_t before = cluster[2].bytes_sent();
  for (std::int32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(
        cluster[i].BeginBroadcast(1, i == 1 ? in.data() : nullptr, out[i].data(), 500).ok());
  }
  for (std::int32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(CodeOfPoll(cluster[i].Poll(kLong)), absl::StatusCode::kOk);
    EXPECT_EQ(out[i], in) << i;
  }
  EXPECT_EQ(cluster[2].bytes_sent() - before, 2 * 2000 / 3);
  EXPECT_EQ(cluster[0].BeginBroadcast(-1, in.data(), zeros.data(), 1).code(), kInvalidArgument);
  EXPECT_EQ(cluster[0].BeginBroadcast(0, in.data(), in.data(), 1).code(), kInvalidArgument);
  ASSERT_TRUE(cluster[0].BeginBroadcast(0, nullptr, zeros.data(), 0).ok());
  EXPECT_EQ(CodeOfPoll(cluster[0].Poll(milliseconds(0))), absl::StatusCode::kOk);
}

TEST(NcclCommunicatorTest, PollWaitsNoLongerThanAsked) {
  Sum sum(0);
  Cluster cluster(2);
  cluster.Install(At(1));
  ASSERT_TRUE(cluster[0].BeginAllReduce(sum.reduction()).ok());
  EXPECT_EQ(cluster[0].Poll(milliseconds(5)), std::nullopt);
}

TEST(NcclCommunicatorTest, MintsOneIdAnAttemptWhileNothingLives) {
  Limits limits;
  limits.attempts = 2;
  Cluster cluster(1, limits);
  EXPECT_TRUE(cluster[0].Mint(At(3, 1)).ok());
  EXPECT_EQ(cluster[0].Mint(At(3, 1)).status().code(), kFailedPrecondition);
  EXPECT_EQ(cluster[0].Mint(At(2, 1)).status().code(), kFailedPrecondition);
  EXPECT_EQ(cluster[0].Mint(At(3, 3)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(cluster[0].rebuilds(), (Rebuilds{0, 1}));
  EXPECT_EQ(cluster.fabric().ids_leaked(), 1);
  cluster.Install(At(4, 1));
  EXPECT_EQ(cluster[0].Mint(At(5, 1)).status().code(), kFailedPrecondition);
  EXPECT_EQ(cluster[0].rebuilds(), (Rebuilds{0, 1}));
}

TEST(NcclCommunicatorTest, ClosesWithoutAnAbort) {
  Cluster cluster(2);
  cluster.Install(At(1));
  for (std::int32_t i = 0; i < 2; ++i) cluster[i].BeginClose();
  for (std::int32_t i = 0; i < 2; ++i) {
    cluster.AwaitQuiet(i);
    EXPECT_EQ(cluster.nccl(i).calls().aborts, 0);
    EXPECT_EQ(cluster.nccl(i).calls().destroys, 1);
  }
  cluster.Install(At(2));
  ExpectSum(cluster);
}

TEST(NcclCommunicatorTest, WithoutADeviceItIsLostAndACloseDoesNotMendIt) {
  FakeFabric fabric;
  FakeNccl nccl(fabric);
  NcclOptions options;
  options.api = &nccl;
  options.expired = [](const std::string&) {};
  options.bind_device = [] { return base::FailedPrecondition("no GPU 7"); };
  const auto made = NcclCommunicator::Create(std::move(options));
  ASSERT_TRUE(made.ok()) << made.status();
  const auto lost = [&] { return CodeOfPoll((*made)->AwaitQuiet({})) == kFailedPrecondition; };
  EXPECT_TRUE(Eventually(lost));
  (*made)->BeginClose();
  for (int i = 0; i < 20; ++i) {  // nothing tells when the owner has obeyed
    EXPECT_TRUE(lost());
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ((*made)->BeginInstall({At(1), {{}, 0, 1}, {}}).code(), kFailedPrecondition);
  EXPECT_EQ(nccl.calls().inits, 0);
}

TEST(NcclCommunicatorTest, GreetsBeforeItEntersNccl) {
  Cluster cluster(1);
  auto id = cluster[0].Mint(At(1));
  ASSERT_TRUE(id.ok());
  InstallRequest request{At(1), {*id, 0, 1}, {}};
  request.greet = [&](const comm::AbortFlag&) {
    return base::Unavailable("member 3.0 does not answer");
  };
  ASSERT_TRUE(cluster[0].BeginInstall(request).ok());
  const auto failed = cluster[0].PollInstall(kLong);
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(base::Message(*failed), "member 3.0 does not answer");
  cluster.AwaitQuiet(0);
  EXPECT_EQ(cluster.nccl(0).calls().inits, 0);
  EXPECT_EQ(cluster[0].rebuilds(), (Rebuilds{0, 1}));
  cluster.Install(At(1, 2));
}

TEST(NcclCommunicatorTest, AGreetingEndsWithTheAbort) {
  Limits limits;
  limits.abort = milliseconds(500);
  Cluster cluster(1, limits);
  InstallRequest request{At(1), {{}, 0, 1}, {}};
  std::atomic<bool> greeting{false};
  request.greet = [&](const comm::AbortFlag& flag) {
    greeting = true;
    Eventually([&] { return flag.is_set(); });
    return base::Aborted("so be it");
  };
  ASSERT_TRUE(cluster[0].BeginInstall(request).ok());
  EXPECT_TRUE(Eventually([&] { return greeting.load(); }));
  cluster[0].Abort();
  EXPECT_EQ(CodeOfPoll(cluster[0].PollInstall(milliseconds(0))), kAborted);
  cluster.AwaitQuiet(0);
  // The watchdog was armed by the abort, and there was nothing to abort.
  std::this_thread::sleep_for(limits.abort + milliseconds(100));
  EXPECT_EQ(cluster.expired(0), 0);
  EXPECT_EQ(cluster.nccl(0).calls().inits, 0);
}

TEST(NcclCommunicatorTest, ALaterInstallEndsWhatLives) {
  Sum sum(0);
  Cluster cluster(2);
  cluster.Install(At(1));
  ASSERT_TRUE(cluster[0].BeginAllReduce(sum.reduction()).ok());
  UniqueId id;
  id.bytes[100] = std::byte{1};
  for (std::int32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(cluster[i].BeginInstall({At(2), {id, i, 2}, {}}).ok());
  }
  EXPECT_EQ(CodeOfPoll(cluster[0].Poll(milliseconds(0))), kFailedPrecondition);
  for (std::int32_t i = 0; i < 2; ++i) {
    EXPECT_EQ(CodeOfPoll(cluster[i].PollInstall(kLong)), absl::StatusCode::kOk);
    EXPECT_EQ(cluster.nccl(i).calls().aborts, 1);
  }
  EXPECT_EQ(cluster[0].BeginInstall({At(2), {id, 0, 2}, {}}).code(), kInvalidArgument);
  ExpectSum(cluster);
  EXPECT_EQ(cluster.expired(0) + cluster.expired(1), 0);
}

}  // namespace
}  // namespace muster::nccl
