// The streams over real sockets: order, losses, restarts, slow readers, beats, ends.
#include "worker/rpc/client.h"

#include <atomic>
#include <future>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "operator/runtime/clock.h"
#include "tests/worker/rpc/ends.h"
#include "tests/worker/rpc/relay.h"

namespace muster::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

base::Time Now() { return runtime::RealClock().Now(); }

// A loss must be seen by the reset itself. The product sees it in a few milliseconds; this bound
// only has to tell that from the pings of gRPC (3 s), also on a machine that builds something else
// meanwhile.
constexpr milliseconds kAtOnce{500};

TEST(ClientTest, FiveClientsGetTheirOwnAnswersInOrderAndTheBroadcast) {
  constexpr int kClients = 5;
  constexpr std::uint64_t kBeats = 100;
  TestServer server;
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<TestClient>(server->port(), i));
  }
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == kClients; }));
  for (auto& client : clients) {
    for (std::uint64_t i = 0; i < kBeats; ++i) EXPECT_TRUE((*client)->Send(Beat(i)));
  }
  for (auto& client : clients) {
    ASSERT_TRUE(client->Await([&] { return client->received.size() == kBeats; }));
    client->With([&] {
      for (std::uint64_t i = 0; i < kBeats; ++i) EXPECT_EQ(client->received[i], Ack(i));
    });
  }
  const std::vector<StreamId> streams = server.With([&] { return server.Greeted(); });
  EXPECT_EQ(std::set<StreamId>(streams.begin(), streams.end()),
            (std::set<StreamId>{1, 2, 3, 4, 5}));
  for (StreamId stream : streams) EXPECT_TRUE(server->Send(stream, Ack(777)));
  for (auto& client : clients) {
    EXPECT_TRUE(client->Await([&] { return client->received.size() == kBeats + 1; }));
    client->With([&] { EXPECT_EQ(client->received.back(), Ack(777)); });
  }
}

TEST(ClientTest, ResetIsSeenAtOnceAtBothEndsAndTheClientComesBack) {
  TestServer server;
  Relay relay(server->port());
  TestClient client(relay.port(), 1);
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 1; }));
  const base::Time reset = Now();
  relay.ResetAll();
  ASSERT_TRUE(server.Await([&] { return !server.closed.empty(); }));
  EXPECT_LT(Now() - reset, kAtOnce);
  ASSERT_TRUE(client.Await([&] { return client.downs == 1; }));
  EXPECT_LT(Now() - reset, kAtOnce);
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 2; }));
  EXPECT_LT(Now() - reset, 2 * kAtOnce);
  server.With([&] {
    EXPECT_THAT(server.closed, ElementsAre(1));
    EXPECT_THAT(server.Greeted(), ElementsAre(1, 2));
  });
  EXPECT_FALSE(server->Send(1, Ack(1))) << "a stream that is gone takes nothing";
}

TEST(ClientTest, ServerRestartOnItsPortBringsEveryClientBack) {
  const LoopbackSocket reserved(LoopbackSocket::Kind::kReserved);
  auto first = std::make_unique<TestServer>(reserved.port());
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(std::make_unique<TestClient>(reserved.port(), i));
  ASSERT_TRUE(first->Await([&] { return first->Greeted().size() == 3; }));
  first.reset();
  for (auto& client : clients) {
    ASSERT_TRUE(client->Await([&] { return client->downs == 1; }));
    EXPECT_FALSE((*client)->Send(Beat(1)));
  }
  TestServer second(reserved.port());
  const base::Time started = Now();
  ASSERT_TRUE(second.Await([&] { return second.Greeted().size() == 3; }));
  EXPECT_LT(Now() - started, seconds(1));
  for (auto& client : clients) {
    EXPECT_TRUE(client->Await([&] { return client->ups == 2 && client->downs == 1; }));
  }
}

TEST(ClientTest, SlowReaderIsCutAndCountedAndOthersAreNotHeldUp) {
  TestServer server(0, 16);
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  TestClient slow({"127.0.0.1:" + std::to_string(server->port())}, 0,
                  [](CoordinatorClient::Options* options) { options->receive_queue = 4; });
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 1; }));
  TestClient quick(server->port(), 1);
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 2; }));
  slow.Change([&] { slow.on_message = [released] { released.wait(); }; });

  const api::FromCoordinator large{{}, api::Fenced{std::string(100000, 'x')}};
  int sent = 0;
  while (sent < 10000 && server->Send(1, large)) ++sent;
  EXPECT_LT(sent, 10000) << "memory for a member that does not read is not bounded";
  EXPECT_EQ(server->counts().cut_slow, 1u);
  ASSERT_TRUE(server.Await([&] { return server.closed == std::vector<StreamId>{1}; }));
  EXPECT_TRUE(server->Send(2, Ack(5)));
  EXPECT_TRUE(quick.Await([&] { return quick.received.size() == 1; }));

  release.set_value();
  EXPECT_TRUE(server.Await([&] { return server.Greeted().size() == 3; })) << "it may come back";
  slow.With([&] { EXPECT_EQ(slow.downs, 1); });
}

TEST(ClientTest, BeatsGoOnWhileTheApplicationIsBusy) {
  TestServer server;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<std::uint64_t> sequence = 0;
  TestClient client({"127.0.0.1:" + std::to_string(server->port())}, 0,
                    [&](CoordinatorClient::Options* options) {
                      options->beat_interval = milliseconds(10);
                      options->make_beat = [&] { return Beat(++sequence); };
                    });
  client.Change([&] { client.on_message = [released] { released.wait(); }; });
  ASSERT_TRUE(server.Await([&] { return server.Count(1) >= 2; }));
  const std::size_t before = server.With([&] { return server.Count(1); });
  EXPECT_TRUE(server.Await([&] { return server.Count(1) >= before + 20; }));
  client.With([&] { EXPECT_TRUE(client.received.empty()) << "the callback should be blocked"; });
  release.set_value();
  EXPECT_TRUE(client.Await([&] { return client.received.size() >= 20; }));
  EXPECT_GE(client->counts().beats, 20u);
}

TEST(ClientTest, NothingGoesBeforeTheHello) {
  TestServer server;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<int> refused = 0;
  CoordinatorClient::Options options;
  options.addresses = {"127.0.0.1:" + std::to_string(server->port())};
  std::promise<CoordinatorClient*> made;
  options.on_up = [&, client = made.get_future().share()] {
    if (!client.get()->Send(Beat(1))) ++refused;
    released.wait();
    client.get()->Send(HelloOf(0));
  };
  options.on_down = [] {};
  options.on_message = [](api::FromCoordinator) {};
  options.beat_interval = milliseconds(2);
  options.make_beat = [] { return Beat(2); };
  auto client = CoordinatorClient::Create(std::move(options));
  ASSERT_TRUE(client.ok());
  made.set_value(client->get());
  std::this_thread::sleep_for(milliseconds(30));  // beats would have gone by now
  release.set_value();
  ASSERT_TRUE(server.Await([&] { return server.received.size() >= 3; }));
  EXPECT_EQ(refused, 1);
  server.With([&] {
    EXPECT_TRUE(std::holds_alternative<api::Hello>(server.received[0].second.message));
    EXPECT_EQ(server.received[1].second, Beat(2));
  });
}

TEST(ClientTest, LastWordsArriveBeforeTheEnd) {
  TestServer server;
  auto client = std::make_unique<TestClient>(server->port(), 0);
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 1; }));
  for (std::uint64_t i = 0; i < 50; ++i) ASSERT_TRUE((*client)->Send(Beat(i)));
  ASSERT_TRUE((*client)->Send({{}, api::Failing{74, "DataMissing", "gone"}}));
  const base::Time stop = Now();
  client.reset();
  EXPECT_LT(Now() - stop, seconds(1));
  ASSERT_TRUE(server.Await([&] { return server.closed.size() == 1; }));
  server.With([&] {
    ASSERT_EQ(server.received.size(), 52u);
    EXPECT_TRUE(std::holds_alternative<api::Failing>(server.received.back().second.message));
  });
}

TEST(ClientTest, ClosedStreamDeliversWhatWasQueuedBefore) {
  TestServer server;
  TestClient client(server->port(), 0);
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 1; }));
  for (std::uint64_t i = 0; i < 200; ++i) ASSERT_TRUE(server->Send(1, Ack(i)));
  server->CloseStream(1);
  EXPECT_FALSE(server->Send(1, Ack(200)));
  ASSERT_TRUE(client.Await([&] { return client.downs == 1; }));
  client.With([&] {
    ASSERT_EQ(client.received.size(), 200u);
    EXPECT_EQ(client.received.back(), Ack(199));
  });
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 2; }));
  server.With([&] { EXPECT_THAT(server.closed, ElementsAre(1)); });
}

// A write that failed once let go of the stream: gRPC tells the end of one only when the last message
// has been read, so the member lost these and never came back.
TEST(ClientTest, WriteAfterTheEndLosesNothingThatCameBefore) {
  TestServer server;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  TestClient client({"127.0.0.1:" + std::to_string(server->port())}, 0,
                    [](CoordinatorClient::Options* options) { options->receive_queue = 4; });
  client.Change([&] { client.on_message = [released] { released.wait(); }; });
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 1; }));
  for (std::uint64_t i = 0; i < 100; ++i) ASSERT_TRUE(server->Send(1, Ack(i)));
  server->CloseStream(1);
  ASSERT_TRUE(server.Await([&] { return server.closed.size() == 1; }));
  // Sooner or later the stream's end is here, and a beat fails.
  for (int i = 0; i < 50 && client->Send(Beat(1)); ++i) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  release.set_value();
  ASSERT_TRUE(client.Await([&] { return client.downs == 1; }));
  client.With([&] {
    ASSERT_EQ(client.received.size(), 100u);
    EXPECT_EQ(client.received.back(), Ack(99));
  });
  EXPECT_TRUE(server.Await([&] { return server.Greeted().size() == 2; })) << "it comes back";
}

TEST(ClientTest, ServerShutdownIsBoundedThoughAMemberIsSilent) {
  TestServer server;
  Relay relay(server->port());
  TestClient silent(relay.port(), 0);
  TestClient listening(server->port(), 1);
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 2; }));
  relay.Stall();
  const std::vector<StreamId> streams = server.With([&] { return server.Greeted(); });
  for (StreamId stream : streams) {
    EXPECT_TRUE(server->Send(stream, {{}, api::Fenced{std::string(1000000, 'x')}}));
  }
  const base::Time begun = Now();
  server->Shutdown(milliseconds(200));
  EXPECT_LT(Now() - begun, milliseconds(200) + kAtOnce);
  server.With([&] { EXPECT_EQ(server.closed.size(), 2u); });
  EXPECT_TRUE(listening.Await([&] { return listening.received.size() == 1; }))
      << "what was queued before a shutdown still goes to who reads";
  const base::Time again = Now();
  server->Shutdown(seconds(5));
  EXPECT_LT(Now() - again, kAtOnce);
}

TEST(ClientTest, FirstAddressThatAnswersWins) {
  const LoopbackSocket silent(LoopbackSocket::Kind::kListening);  // accepts, and never speaks
  int refused_port;
  {
    const LoopbackSocket gone(LoopbackSocket::Kind::kReserved);
    refused_port = gone.port();
  }
  TestServer server;
  std::vector<std::string> addresses;
  for (int port : {silent.port(), refused_port, server->port()}) {
    addresses.push_back("127.0.0.1:" + std::to_string(port));
  }
  const base::Time begun = Now();
  TestClient client(addresses);
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 1; }));
  EXPECT_LT(Now() - begun, milliseconds(500)) << "it waited for the silent address";
  EXPECT_EQ(client->counts().connected, 1u);
}

// A coordinator that all its members come back to at once answers late: 200 of them on two cores took
// more than half a second, were begun anew each time, and none ever came in.
TEST(ClientTest, AnswerThatTakesSecondsIsWaitedForOnTheFirstConnection) {
  TestServer server;
  Relay relay(server->port());
  relay.Stall();
  TestClient client(relay.port(), 0);
  std::this_thread::sleep_for(milliseconds(1500));
  EXPECT_EQ(relay.accepted(), 1) << "it began anew, behind all the others";
  relay.Resume();
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 1; }));
  EXPECT_EQ(relay.accepted(), 1);
  EXPECT_EQ(client->counts().connected, 1u);
}

TEST(ClientTest, SilentAddressDoesNotKeepTheOthersFromBeingDialledAgain) {
  const LoopbackSocket silent(LoopbackSocket::Kind::kListening);
  auto reserved =
      std::make_unique<LoopbackSocket>(LoopbackSocket::Kind::kReserved);  // refuses for now
  const int later = reserved->port();
  TestClient client(
      {"127.0.0.1:" + std::to_string(silent.port()), "127.0.0.1:" + std::to_string(later)});
  std::this_thread::sleep_for(milliseconds(700));
  TestServer server(later);
  const base::Time begun = Now();
  ASSERT_TRUE(server.Await([&] { return server.Greeted().size() == 1; }));
  EXPECT_LT(Now() - begun, seconds(2)) << "the address that refused was left alone";
}

TEST(ClientTest, AttemptThatNobodyAnswersIsGivenUpInTheEnd) {
  TestServer server;
  Relay relay(server->port());
  relay.Stall();
  TestClient client({"127.0.0.1:" + std::to_string(relay.port())}, 0,
                    [](CoordinatorClient::Options* o) { o->attempt_timeout = milliseconds(300); });
  const base::Time until = Now() + kPatience;
  while (relay.accepted() < 3 && Now() < until) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_GE(relay.accepted(), 3);
  relay.Resume();
  EXPECT_TRUE(server.Await([&] { return server.Greeted().size() == 1; }));
}

TEST(ClientTest, StopIsQuickWhileNobodyAnswers) {
  const LoopbackSocket silent(LoopbackSocket::Kind::kListening);
  TestClient client(silent.port(), 0);
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_FALSE(client->Send(HelloOf(0)));
  const base::Time begun = Now();
  client->Stop();
  EXPECT_LT(Now() - begun, milliseconds(400));
  client.With([&] { EXPECT_EQ(client.ups, 0); });
}

TEST(ClientTest, BadAddressesAreRefusedByName) {
  for (const char* bad : {"", "host", ":5", "host:", "host:0", "host:65536", "host:12x"}) {
    CoordinatorClient::Options options;
    options.addresses = {"127.0.0.1:1", bad};
    options.on_up = options.on_down = [] {};
    options.on_message = [](api::FromCoordinator) {};
    EXPECT_THAT(base::Message(CoordinatorClient::Create(options).status()),
                HasSubstr("'" + std::string(bad) + "' is not HOST:PORT"));
  }
  EXPECT_FALSE(CoordinatorClient::Create({}).ok());
}

}  // namespace
}  // namespace muster::rpc
