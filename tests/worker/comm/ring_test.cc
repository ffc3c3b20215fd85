// The ring: right sums, aborts that are felt at once, and breaks that name who broke.

#include "worker/comm/ring.h"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>

#include "operator/base/rng.h"
#include "tests/worker/comm/loopback.h"

namespace muster::comm {
namespace {

// Every member reduces; returns its status.
template <typename T>
void Check(Cluster& cluster, ReduceOp op, ElementType type, std::size_t count) {
  const std::size_t n = cluster.rings.size();
  std::vector<std::vector<T>> in(n, std::vector<T>(count));
  std::vector<T> expected(count);
  base::SplitMix rng(count * 7 + n);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t r = 0; r < n; ++r) {
      // Small floats, so that their sums are exact in any order; integers use all their bits and
      // wrap.
      in[r][i] = type == ElementType::kFloat32
                     ? static_cast<T>(static_cast<int>(rng.Below(2001)) - 1000)
                     : static_cast<T>(rng.Next());
      using U = std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>,
                                   std::type_identity<T>>::type;
      expected[i] = r == 0 ? in[r][i]
                    : op == ReduceOp::kSum
                        ? static_cast<T>(static_cast<U>(expected[i]) + static_cast<U>(in[r][i]))
                        : std::max(expected[i], in[r][i]);
    }
  }
  const auto untouched = in;
  std::vector<std::vector<T>> out(n, std::vector<T>(count, T{77}));
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < n; ++r) {
    threads.emplace_back([&, r] {
      const auto status = AllReduce(*cluster.rings[r], op, type, in[r], out[r]);
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (auto& thread : threads) thread.join();
  for (std::size_t r = 0; r < n; ++r) {
    EXPECT_EQ(out[r], expected) << "n " << n << " rank " << r << " count " << count;
    EXPECT_EQ(in[r], untouched[r]) << "reductions are out of place (M4)";
  }
}

TEST(RingTest, SumsAndMaximaOfEverySize) {
  for (std::size_t n = 1; n <= 5; ++n) {
    Cluster cluster(n);
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
TEST(RingTest, AnEmptyReductionEndsWhenItsFrameArrives) {
  Cluster cluster(2);
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

TEST(RingTest, SendsTwiceTheShareOfTheOthers) {
  for (std::size_t n : {1, 2, 3, 4}) {
    Cluster cluster(n);
    cluster.Connect();
    Check<std::int64_t>(cluster, ReduceOp::kSum, ElementType::kInt64, 12000);
    for (const auto& ring : cluster.rings) {
      EXPECT_EQ(ring->bytes_sent(), static_cast<std::int64_t>(2 * (n - 1) * 12000 * 8 / n));
    }
  }
}

TEST(RingTest, AbortEndsPollAtOnceAndNeighboursHearGoodbye) {
  Cluster cluster(3);
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

TEST(RingTest, AbortAtRandomMomentsNeverHangsNorGivesAWrongSum) {
  base::SplitMix rng(11);
  Cluster cluster(3);
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

TEST(RingTest, MismatchedReductionsAreAnErrorNotASum) {
  Cluster cluster(2);
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

TEST(RingTest, OneReductionAtATimeAndSizesMustAgree) {
  Cluster cluster(1);
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

TEST(RingConnectTest, UnreachablePeersAreNamedAtTheDeadline) {
  Cluster cluster(3);
  const base::Time begun = Now();
  // Rank 1 is alive but never connects (half open); rank 2's listener is gone.
  cluster.listeners[2].reset();
  const auto connected = Ring::Connect(cluster.Options(0, 300));
  EXPECT_FALSE(connected.status.ok());
  EXPECT_EQ(connected.unreachable, (std::vector<base::MemberId>{{1, 0}, {2, 0}}));
  EXPECT_GE(Now() - begun, std::chrono::milliseconds(250));
  EXPECT_LT(Now() - begun, std::chrono::seconds(3));
}

// Same job, same epoch, and yet not the neighbour: it must not take the neighbour's place.
TEST(RingConnectTest, AMemberThatIsNotTheNeighbourIsNotTakenForIt) {
  Cluster cluster(2);
  Ring::Connected connected;
  std::thread early([&] { connected = Ring::Connect(cluster.Options(0)); });
  AbortFlag never;
  std::vector<UniqueFd> strangers;
  for (const auto& [member, rank] : {std::pair<base::MemberId, int>{{1, 7}, 1}, {{1, 0}, 0}}) {
    for (Kind kind : {Kind::kRing, Kind::kRingControl}) {
      auto fd = Connect(cluster.peers[0].address, In(5000), never);
      ASSERT_TRUE(fd.ok()) << fd.status();
      ASSERT_TRUE(
          Greet(fd->get(), {kind, cluster.epoch, member, rank, "job-1", "secret"}, In(5000), never)
              .ok());
      strangers.push_back(std::move(*fd));
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

TEST(RingConnectTest, AFasterNeighbourIsParkedUntilTheViewArrives) {
  Cluster cluster(2);
  std::thread early([&] {
    auto connected = Ring::Connect(cluster.Options(0));
    EXPECT_TRUE(connected.status.ok()) << connected.status;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_TRUE(Ring::Connect(cluster.Options(1)).status.ok());
  early.join();
}

TEST(RingConnectTest, ConnectingCanBeAborted) {
  Cluster cluster(2);
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
TEST(RingTest, ADeadPeerIsNamedAsEvidence) {
  Cluster cluster(2);
  std::vector<UniqueFd> accepted;
  for (Kind kind : {Kind::kRing, Kind::kRingControl}) {
    cluster.listeners[1]->Register(kind, cluster.epoch, [&](UniqueFd fd, const Greeting&) {
      accepted.push_back(std::move(fd));
    });
  }
  Ring::Connected connected;
  std::thread survivor([&] { connected = Ring::Connect(cluster.Options(0)); });
  AbortFlag never;
  std::vector<UniqueFd> opened;
  for (Kind kind : {Kind::kRing, Kind::kRingControl}) {
    auto fd = Connect(cluster.peers[0].address, In(5000), never);
    ASSERT_TRUE(fd.ok());
    ASSERT_TRUE(
        Greet(fd->get(), {kind, cluster.epoch, {1, 0}, 1, "job-1", "secret"}, In(5000), never)
            .ok());
    opened.push_back(std::move(*fd));
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
