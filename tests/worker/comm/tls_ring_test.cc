// The ring over TLS: what differs from plain sockets. Records that are cut, goodbyes that poll does
// not see, new leaves and authorities, strangers, and peers that never finish a handshake.

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "tests/worker/comm/tls_ends.h"

namespace muster::comm {
namespace {

using testing::HasSubstr;
using TlsRingTest = TlsTest;

// The goodbye comes in one read with the answer to the greeting, so no poll ever tells of it.
TEST_F(TlsRingTest, AGoodbyeRightBehindTheAnswerIsHeard) {
  for (int round = 0; round < 5; ++round) {
    Cluster cluster(2, Wire::kTls);
    std::vector<Channel> kept;
    for (Kind kind : {Kind::kRing, Kind::kRingControl}) {
      cluster.listeners[1]->Register(kind, cluster.epoch, [&, kind](Channel channel, auto&) {
        const char goodbye = 'G';
        if (kind == Kind::kRingControl) channel.Write(std::as_bytes(std::span(&goodbye, 1)));
        kept.push_back(std::move(channel));
      });
    }
    std::vector<Channel> opened;
    std::thread neighbour([&] {
      AbortFlag never;
      for (Kind kind : {Kind::kRing, Kind::kRingControl}) {
        opened.push_back(
            Open(cluster.peers[0].address, cluster.papers[1]->tls(), cluster.peers[0].member));
        const Greeting greeting{kind, cluster.epoch, {1, 0}, 1, "job-1", "secret"};
        EXPECT_TRUE(Greet(opened.back(), greeting, In(5000), never).ok());
      }
    });
    auto connected = Ring::Connect(cluster.Options(0));
    neighbour.join();
    ASSERT_TRUE(connected.status.ok()) << connected.status;
    std::vector<std::int64_t> in(1 << 16), out(1 << 16);
    const base::Time begun = Now();
    const absl::Status status =
        AllReduce(*connected.ring, ReduceOp::kSum, ElementType::kInt64, in, out);
    EXPECT_TRUE(absl::IsAborted(status)) << status;
    EXPECT_LT(Now() - begun, std::chrono::seconds(3));
    EXPECT_FALSE(connected.ring->broken_peer().has_value());
    cluster.listeners[1].reset();  // before `kept`, which its handlers fill
  }
}

// A piece is far larger than what a socket takes: records are begun, blocked in the middle and gone
// on with.
TEST_F(TlsRingTest, SmallSocketBuffersAndNewKeysChangeNoSum) {
  Cluster cluster(3, Wire::kTls, 1 << 20);
  cluster.socket_buffer_bytes = 32'768;
  cluster.Connect();
  Check<std::int64_t>(cluster, ReduceOp::kSum, ElementType::kInt64, 400'000);
  Check<std::int32_t>(cluster, ReduceOp::kMax, ElementType::kInt32, 400'001);
  // 4.3 MB and 2.1 MB are sent by each.
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_GE(cluster.papers[i]->tls()->key_updates(), 5) << i;
    EXPECT_LE(cluster.papers[i]->tls()->key_updates(), 7) << i;
  }
}

// The order of an operator's new authority: all believe both, then leaves are replaced one by one,
// then the old one is forgotten. A ring that runs is not touched by any of it.
TEST_F(TlsRingTest, LeavesAndAuthoritiesAreReplacedUnderARunningRing) {
  Cluster cluster(3, Wire::kTls);
  cluster.Connect();
  auto old_rings = std::move(cluster.rings);
  const auto check = [&] {
    Check<std::int64_t>(cluster, ReduceOp::kSum, ElementType::kInt64, 1001);
    std::swap(old_rings, cluster.rings);
    Check<std::int64_t>(cluster, ReduceOp::kSum, ElementType::kInt64, 1001);
    std::swap(old_rings, cluster.rings);
  };
  const auto connect_anew = [&] {
    cluster.epoch = cluster.epoch.Next();
    cluster.Connect();
    check();
  };
  const runtime::Identity next = MakeTestAuthority();
  const std::string both = cluster.authority.certificate_pem + next.certificate_pem;
  for (const auto& papers : cluster.papers) papers->Believe(both);
  connect_anew();
  for (std::size_t i = 0; i < 3; ++i) {
    cluster.papers[i]->Show(MakeLeaf(next, cluster.peers[i].member));
    connect_anew();
  }
  for (const auto& papers : cluster.papers) papers->Believe(next.certificate_pem);
  connect_anew();
  for (const auto& listener : cluster.listeners) EXPECT_EQ(listener->refused(), 0);
}

// A bundle is on its way to one member while the other shows its new leaf already.
TEST_F(TlsRingTest, ARingConnectsOnceALateBundleHasCome) {
  Cluster cluster(2, Wire::kTls);
  const runtime::Identity next = MakeTestAuthority();
  const std::string both = cluster.authority.certificate_pem + next.certificate_pem;
  cluster.papers[0]->Show(MakeLeaf(next, cluster.peers[0].member));
  cluster.papers[0]->Believe(both);
  std::thread bundle([&] {
    for (const base::Time end = In(4000); cluster.listeners[1]->refused() < 2 && Now() < end;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    cluster.papers[1]->Believe(both);
  });
  cluster.Connect();
  bundle.join();
  Check<std::int32_t>(cluster, ReduceOp::kSum, ElementType::kInt32, 1000);
}

// As many as are waited for at one time, half of them in mid-handshake: they are cut at their
// deadline, and the ring comes about within its own.
TEST_F(TlsRingTest, PeersThatNeverFinishTheirHandshakeAreCut) {
  Cluster cluster(2, Wire::kTls);
  cluster.listeners[0].reset();
  Port port(cluster.papers[0]->tls(), std::chrono::milliseconds(500));
  cluster.listeners[0] = std::move(port.listener);
  cluster.peers[0].address = cluster.listeners[0]->address();
  std::vector<Channel> silent;
  const std::string half = "\x16\x03\x01\x02";  // of the header of a ClientHello
  AbortFlag never;
  for (std::size_t i = 0; i < DataListener::kMaxGreeting; ++i) {
    silent.push_back(Open(cluster.peers[0].address));
    if (i % 2 == 0) continue;
    ASSERT_TRUE(WriteAll(silent.back(), std::as_bytes(std::span(half)), In(2000), never).ok());
  }
  cluster.Connect();
  Check<std::int32_t>(cluster, ReduceOp::kSum, ElementType::kInt32, 1000);
  // The ring may come about before the last of them is cut.
  const int all = static_cast<int>(DataListener::kMaxGreeting);
  for (const base::Time end = In(10000); cluster.listeners[0]->refused() < all && Now() < end;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GE(cluster.listeners[0]->refused(), all);
  EXPECT_THAT(port.Sentences().front(), HasSubstr("did not finish its handshake"));
  cluster.listeners[0].reset();  // its sentences go to `port`
}

// The other end takes the connection and never says a word.
TEST_F(TlsRingTest, AHandshakeEndsAtItsDeadlineAndAtAnAbort) {
  UniqueFd mute(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(local);
  ASSERT_EQ(bind(mute.get(), reinterpret_cast<sockaddr*>(&local), sizeof(local)), 0);
  ASSERT_EQ(listen(mute.get(), 8), 0);
  ASSERT_EQ(getsockname(mute.get(), reinterpret_cast<sockaddr*>(&local), &length), 0);
  Cluster cluster(2, Wire::kTls);
  cluster.peers[1].address = "127.0.0.1:" + std::to_string(ntohs(local.sin_port));
  base::Time begun = Now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(Ring::Connect(cluster.Options(0, 200)).status));
  EXPECT_LT(Now() - begun, std::chrono::seconds(2));
  RingOptions options = cluster.Options(0, 20'000);
  options.abort = std::make_shared<AbortFlag>();
  std::thread aborter([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    begun = Now();
    options.abort->Set();
  });
  EXPECT_TRUE(absl::IsAborted(Ring::Connect(options).status));
  aborter.join();
  EXPECT_LT(Now() - begun, std::chrono::milliseconds(200));
}

// A stranger at the port of a member does not keep the neighbours apart.
TEST_F(TlsRingTest, ARingComesAboutBesideStrangers) {
  Cluster cluster(3, Wire::kTls);
  std::atomic<bool> over{false};
  std::thread stranger([&, epoch = cluster.epoch] {
    const runtime::Identity foreign = MakeTestAuthority();
    PaperCase papers(MakeLeaf(foreign, {1, 0}), cluster.authority.certificate_pem);
    AbortFlag never;
    while (!over) {
      Channel channel = Open(cluster.peers[0].address, papers.tls(), cluster.peers[0].member);
      const Greeting greeting{Kind::kRing, epoch, {2, 0}, 2, "job-1", "secret"};
      EXPECT_FALSE(Greet(channel, greeting, In(2000), never).ok());
    }
  });
  for (int round = 0; round < 5; ++round) {
    cluster.epoch = cluster.epoch.Next();
    cluster.Connect();
    Check<std::int32_t>(cluster, ReduceOp::kSum, ElementType::kInt32, 1000);
  }
  over = true;
  stranger.join();
  EXPECT_GE(cluster.listeners[0]->refused(), 1);
}

}  // namespace
}  // namespace muster::comm
