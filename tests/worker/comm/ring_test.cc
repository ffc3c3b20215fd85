// The ring: right sums, aborts that are felt at once, and breaks that name who broke.

#include "worker/comm/ring.h"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>

#include "tests/worker/comm/loopback.h"

namespace muster::comm {
namespace {

// What holds for sockets holds for TLS over them.
class RingTest : public testing::TestWithParam<Wire> {};
class RingConnectTest : public testing::TestWithParam<Wire> {};
INSTANTIATE_TEST_SUITE_P(Wires, RingTest, testing::Values(Wire::kPlain, Wire::kTls), WireName);
INSTANTIATE_TEST_SUITE_P(Wires, RingConnectTest, testing::Values(Wire::kPlain, Wire::kTls),
                         WireName);

TEST_P(RingTest, SumsAndMaximaOfEverySize) {
  for (std::size_t n = 1; n <= 5; ++n) {
    Cluster cluster(n, GetParam());
    cluster.Connect();
    for (std::size_t count : {0, 1, 2, 3, 7, 1001, 100003}) {
      Check<std::int64_t>(cluster, ReduceOp::kSum, ElementType::kInt64, count);
      Check<std::int32_t>(cluster, ReduceOp::kSum, ElementType::kInt32, count);
      Check<float>(cluster, ReduceOp::kSum, ElementType::kFloat32, count);
      Check<std::int64_t>(cluster, ReduceOp::kMax, ElementType::kInt64, count);
      Check<std::int32_t>(cluster, ReduceOp::kMax, ElementType::kInt32, count);
      Check<float>(cluster, ReduceOp::kMax, ElementType::kFloat32, count);
    }
  }
}

// Nothing but the frame arrives, and that has to wake who waits for it.
TEST_P(RingTest, AnEmptyReductionEndsWhenItsFrameArrives) {
  Cluster cluster(2, GetParam());
  cluster.Connect();
  base::Duration took{};
  std::thread waiting([&] {
    ASSERT_TRUE(cluster.rings[0]->BeginAllReduce({}).ok());
    const base::Time begun = Now();
    const auto done = cluster.rings[0]->Poll(std::chrono::seconds(5));
    took = Now() - begun;
    ASSERT_TRUE(done.has_value());
    EXPECT_TRUE(done->ok()) << *done;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  ASSERT_TRUE(cluster.rings[1]->BeginAllReduce({}).ok());
  EXPECT_TRUE(Finish(*cluster.rings[1]).ok());
  waiting.join();
  EXPECT_LT(took, std::chrono::seconds(2));
}

TEST_P(RingTest, SendsTwiceTheShareOfTheOthers) {
  for (std::size_t n : {1, 2, 3, 4}) {
    Cluster cluster(n, GetParam());
    cluster.Connect();
    Check<std::int64_t>(cluster, ReduceOp::kSum, ElementType::kInt64, 12000);
    for (const auto& ring : cluster.rings) {
      EXPECT_EQ(ring->bytes_sent(), static_cast<std::int64_t>(2 * (n - 1) * 12000 * 8 / n));
    }
  }
}

TEST_P(RingTest, AbortEndsPollAtOnceAndNeighboursHearGoodbye) {
  Cluster cluster(3, GetParam());
  cluster.Connect();
  std::vector<std::int64_t> in(1 << 20, 1);
  std::vector<std::int64_t> out(in.size());
  std::atomic<base::Time::rep> ended{0};
  absl::Status first;
  absl::Status second;
  // Rank 2 never takes part, so nobody can finish.
  std::thread a([&] {
    first = AllReduce(*cluster.rings[0], ReduceOp::kSum, ElementType::kInt64, in, out);
    ended = Now().time_since_epoch().count();
  });
  std::vector<std::int64_t> other(in.size());
  std::thread b([&] {
    second = AllReduce(*cluster.rings[1], ReduceOp::kSum, ElementType::kInt64, in, other);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const base::Time begun = Now();
  cluster.rings[0]->Abort();
  a.join();
  b.join();
  EXPECT_TRUE(absl::IsAborted(first)) << first;
  // Well below a millisecond where the CPU is free; the bound is for crowded machines.
  EXPECT_LT(ended - begun.time_since_epoch().count(), 100'000'000);
  // Rank 1 receives from rank 0, which said goodbye: no evidence against anybody (M3).
  EXPECT_TRUE(absl::IsAborted(second)) << second;
  EXPECT_FALSE(cluster.rings[1]->broken_peer().has_value());
  EXPECT_TRUE(absl::IsAborted(cluster.rings[0]->BeginAllReduce({})));
}

TEST_P(RingTest, AbortAtRandomMomentsNeverHangsNorGivesAWrongSum) {
  base::SplitMix rng(11);
  Cluster cluster(3, GetParam());
  for (int round = 0; round < 30; ++round) {
    cluster.epoch = cluster.epoch.Next();
    cluster.Connect();
    std::vector<std::int64_t> in(40000, 5);
    std::vector<std::vector<std::int64_t>> out(3, std::vector<std::int64_t>(in.size()));
    std::vector<absl::Status> status(3);
    std::vector<std::thread> threads;
    for (std::size_t r = 0; r < 3; ++r) {
      threads.emplace_back([&, r] {
        status[r] = AllReduce(*cluster.rings[r], ReduceOp::kSum, ElementType::kInt64, in, out[r]);
      });
    }
    std::this_thread::sleep_for(std::chrono::microseconds(rng.Below(1500)));
    cluster.rings[rng.Below(3)]->Abort();
    // Whoever waits for the aborted one's neighbours is told by the coordinator in production.
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    for (auto& ring : cluster.rings) ring->Abort();
    for (auto& thread : threads) thread.join();
    for (std::size_t r = 0; r < 3; ++r) {
      if (status[r].ok()) {
        EXPECT_EQ(std::count(out[r].begin(), out[r].end(), 15), 40000);
      } else {
        EXPECT_TRUE(absl::IsAborted(status[r])) << status[r];
      }
    }
  }
}

// It computes, and its kernel acknowledges each probe of its full window: no link is cut (M3).
TEST_P(RingTest, ANeighbourThatReadsLateIsNotSilent) {
  Cluster cluster(2, GetParam());
  cluster.link_silence = std::chrono::milliseconds(300);
  cluster.socket_buffer_bytes = 32'768;
  cluster.Connect();
  const std::vector<std::int64_t> in(1 << 19, 3);
  std::vector<std::int64_t> first(in.size()), second(in.size());
  absl::Status early;
  std::thread waiting([&] {
    early = AllReduce(*cluster.rings[0], ReduceOp::kSum, ElementType::kInt64, in, first);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  const absl::Status late =
      AllReduce(*cluster.rings[1], ReduceOp::kSum, ElementType::kInt64, in, second);
  waiting.join();
  EXPECT_TRUE(early.ok()) << early;
  EXPECT_TRUE(late.ok()) << late;
  EXPECT_EQ(first, second);
  EXPECT_EQ(std::count(first.begin(), first.end(), 6), 1 << 19);
}

TEST_P(RingTest, MismatchedReductionsAreAnErrorNotASum) {
  Cluster cluster(2, GetParam());
  cluster.Connect();
  std::vector<absl::Status> status(2);
  std::vector<std::int64_t> a(10), b(10);
  std::vector<std::int64_t> c(11), d(11);
  std::thread other(
      [&] { status[1] = AllReduce(*cluster.rings[1], ReduceOp::kSum, ElementType::kInt64, c, d); });
  status[0] = AllReduce(*cluster.rings[0], ReduceOp::kSum, ElementType::kInt64, a, b);
  other.join();
  EXPECT_EQ(status[0].code(), absl::StatusCode::kInternal) << status[0];
  EXPECT_FALSE(status[1].ok());
}

TEST_P(RingTest, OneReductionAtATimeAndSizesMustAgree) {
  Cluster cluster(1, GetParam());
  cluster.Connect();
  std::vector<std::int32_t> in = {1, 2, 3}, out(3);
  const Reduction good{ReduceOp::kSum, ElementType::kInt32, std::as_bytes(std::span(in)),
                       std::as_writable_bytes(std::span(out))};
  EXPECT_TRUE(absl::IsFailedPrecondition(*cluster.rings[0]->Poll({})));
  EXPECT_TRUE(cluster.rings[0]->BeginAllReduce(good).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster.rings[0]->BeginAllReduce(good)));
  EXPECT_TRUE(cluster.rings[0]->Poll({})->ok());
  Reduction odd = good;
  odd.type = ElementType::kInt64;
  EXPECT_TRUE(absl::IsInvalidArgument(cluster.rings[0]->BeginAllReduce(odd)));
}

TEST_P(RingConnectTest, UnreachablePeersAreNamedAtTheDeadline) {
  Cluster cluster(3, GetParam());
  const base::Time begun = Now();
  // Rank 1 is alive but never connects (half open); rank 2's listener is gone.
  cluster.listeners[2].reset();
  const auto connected = Ring::Connect(cluster.Options(0, 300));
  EXPECT_FALSE(connected.status.ok());
  EXPECT_EQ(connected.unreachable, (std::vector<base::MemberId>{{1, 0}, {2, 0}}));
  EXPECT_GE(Now() - begun, std::chrono::milliseconds(250));
  EXPECT_LT(Now() - begun, std::chrono::seconds(3));
}

// Two nodes that do not hear each other, and a third member that hears both: what it sees of their
// failure is no evidence, or its word would begin a new round before theirs has told who is cut off.
TEST_P(RingConnectTest, WhoeverCannotConnectTakesLeaveOfTheNeighbourItHasReached) {
  Cluster cluster(3, GetParam());
  std::vector<Ring::Connected> connected(3);
  std::vector<std::thread> members;
  for (std::size_t i = 0; i < 3; ++i) {
    members.emplace_back([&, i] {
      RingOptions options = cluster.Options(i, i == 1 ? 5000 : 500);
      if (i == 2) options.peers[0].address = "127.0.0.1:1";  // rank 2 does not reach rank 0
      connected[i] = Ring::Connect(options);
    });
  }
  members[1].join();
  ASSERT_TRUE(connected[1].status.ok()) << connected[1].status;
  std::vector<std::int64_t> in(1000, 1), out(1000);
  const absl::Status status =
      AllReduce(*connected[1].ring, ReduceOp::kSum, ElementType::kInt64, in, out);
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_EQ(connected[1].ring->broken_peer(), std::nullopt);
  members[0].join();
  members[2].join();
  EXPECT_EQ(connected[0].unreachable, (std::vector<base::MemberId>{{2, 0}}));
  EXPECT_EQ(connected[2].unreachable, (std::vector<base::MemberId>{{0, 0}}));
}

TEST_P(RingConnectTest, WhoeverIsInterruptedWhileItConnectsTakesLeaveToo) {
  Cluster cluster(3, GetParam());
  std::vector<Ring::Connected> connected(3);
  std::vector<std::thread> members;
  std::vector<std::shared_ptr<AbortFlag>> flags;
  for (std::size_t i = 0; i < 3; ++i) {
    flags.push_back(std::make_shared<AbortFlag>());
    members.emplace_back([&, i, flag = flags[i]] {
      RingOptions options = cluster.Options(i);
      options.abort = flag;
      if (i == 2) options.peers[0].address = "127.0.0.1:1";  // so that it goes on trying
      connected[i] = Ring::Connect(options);
    });
  }
  members[1].join();
  ASSERT_TRUE(connected[1].status.ok()) << connected[1].status;
  flags[2]->Set();
  members[2].join();
  std::vector<std::int64_t> in(1000, 1), out(1000);
  const absl::Status status =
      AllReduce(*connected[1].ring, ReduceOp::kSum, ElementType::kInt64, in, out);
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_EQ(connected[1].ring->broken_peer(), std::nullopt);
  flags[0]->Set();
  members[0].join();
}

// Same job, same epoch, and yet not the neighbour: it must not take the neighbour's place.
TEST_P(RingConnectTest, AMemberThatIsNotTheNeighbourIsNotTakenForIt) {
  Cluster cluster(2, GetParam());
  Ring::Connected connected;
  std::thread early([&] { connected = Ring::Connect(cluster.Options(0)); });
  AbortFlag never;
  std::vector<Channel> strangers;
  for (const auto& [member, rank] : {std::pair<base::MemberId, int>{{1, 7}, 1}, {{1, 0}, 0}}) {
    for (Kind kind : {Kind::kRing, Kind::kRingControl}) {
      Channel channel = Open(cluster.peers[0].address, cluster.As(member), cluster.peers[0].member);
      ASSERT_TRUE(
          Greet(channel, {kind, cluster.epoch, member, rank, "job-1", "secret"}, In(5000), never)
              .ok());
      strangers.push_back(std::move(channel));
    }
  }
  auto neighbour = Ring::Connect(cluster.Options(1));
  early.join();
  ASSERT_TRUE(connected.status.ok()) << connected.status;
  ASSERT_TRUE(neighbour.status.ok()) << neighbour.status;
  cluster.rings.push_back(std::move(connected.ring));
  cluster.rings.push_back(std::move(neighbour.ring));
  Check<std::int32_t>(cluster, ReduceOp::kSum, ElementType::kInt32, 1000);
}

TEST_P(RingConnectTest, AFasterNeighbourIsParkedUntilTheViewArrives) {
  Cluster cluster(2, GetParam());
  std::thread early([&] {
    auto connected = Ring::Connect(cluster.Options(0));
    EXPECT_TRUE(connected.status.ok()) << connected.status;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_TRUE(Ring::Connect(cluster.Options(1)).status.ok());
  early.join();
  for (const auto& listener : cluster.listeners) EXPECT_EQ(listener->refused(), 0);
}

TEST_P(RingConnectTest, ConnectingCanBeAborted) {
  Cluster cluster(2, GetParam());
  RingOptions options = cluster.Options(0, 20000);
  options.abort = std::make_shared<AbortFlag>();
  std::thread aborter([abort = options.abort] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    abort->Set();
  });
  const base::Time begun = Now();
  EXPECT_TRUE(absl::IsAborted(Ring::Connect(options).status));
  EXPECT_LT(Now() - begun, std::chrono::seconds(2));
  aborter.join();
}

// A peer that dies says nothing: its sockets close. Played by hand, since a Ring always says
// goodbye.
TEST_P(RingTest, ADeadPeerIsNamedAsEvidence) {
  Cluster cluster(2, GetParam());
  std::vector<Channel> accepted;
  for (Kind kind : {Kind::kRing, Kind::kRingControl}) {
    cluster.listeners[1]->Register(kind, cluster.epoch, [&](Channel channel, const Greeting&) {
      accepted.push_back(std::move(channel));
    });
  }
  Ring::Connected connected;
  std::thread survivor([&] { connected = Ring::Connect(cluster.Options(0)); });
  AbortFlag never;
  std::vector<Channel> opened;
  for (Kind kind : {Kind::kRing, Kind::kRingControl}) {
    Channel channel = Open(cluster.peers[0].address, cluster.As({1, 0}), {0, 0});
    ASSERT_TRUE(
        Greet(channel, {kind, cluster.epoch, {1, 0}, 1, "job-1", "secret"}, In(5000), never).ok());
    opened.push_back(std::move(channel));
  }
  survivor.join();
  ASSERT_TRUE(connected.status.ok()) << connected.status;
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    opened.clear();
    cluster.listeners[1].reset();
    accepted.clear();
  });
  std::vector<std::int64_t> in(1 << 20), out(1 << 20);
  const absl::Status status =
      AllReduce(*connected.ring, ReduceOp::kSum, ElementType::kInt64, in, out);
  killer.join();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(base::Message(status).find("rank 1 (member 1.0)"), std::string::npos) << status;
  EXPECT_EQ(connected.ring->broken_peer(), (base::MemberId{1, 0}));
}

}  // namespace
}  // namespace muster::comm
