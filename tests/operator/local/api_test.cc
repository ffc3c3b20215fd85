// Cluster and coordinator over a real Unix socket: opening, watch, requests, and a new coordinator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "operator/local/api_client.h"
#include "operator/local/api_server.h"

namespace muster::local {
namespace {

using std::chrono::steady_clock;

// Collects what a client hears.
struct Ears {
  runtime::BoundedQueue<ClusterMessage> messages{64, runtime::WhenFull::kBlock};
  runtime::BoundedQueue<std::string> ends{4, runtime::WhenFull::kBlock};

  ApiClient::Options Options() {
    return {[this](ClusterMessage message) { messages.Push(std::move(message)); },
            [this](const std::string& why) { ends.Push(why); }};
  }
  static base::Time Soon() {
    return base::Time(steady_clock::now().time_since_epoch() + std::chrono::seconds(5));
  }
};

template <typename Done>
ApiServer::Arrived PollUntil(ApiServer& server, Done done) {
  ApiServer::Arrived all;
  for (auto end = steady_clock::now() + std::chrono::seconds(5); steady_clock::now() < end;) {
    ApiServer::Arrived arrived = server.Poll();
    all.connected = all.connected || arrived.connected;
    for (auto& request : arrived.requests) all.requests.push_back(std::move(request));
    for (auto& error : arrived.errors) all.errors.push_back(std::move(error));
    if (done(all)) return all;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ADD_FAILURE() << "nothing arrived";
  return all;
}

bool Connected(const ApiServer::Arrived& a) { return a.connected; }

PodChanged Pod(const std::string& name) {
  PodChanged changed;
  changed.pod.name = name;
  return changed;
}

TEST(ApiTest, OpensThenWatchesAndTakesRequests) {
  auto server = ApiServer::Create();
  ASSERT_TRUE(server.ok());
  Ears ears;
  auto client = ApiClient::Connect((*server)->path(), ears.Options());
  ASSERT_TRUE(client.ok()) << base::Message(client.status());
  PollUntil(**server, Connected);
  (*server)->Send(Pod("too early"));  // the opening has it all
  (*server)->Send(Opening{});
  (*server)->Send(Pod("a"));
  auto first = ears.messages.PopUntil(Ears::Soon());
  ASSERT_TRUE(first && std::holds_alternative<Opening>(*first));
  auto second = ears.messages.PopUntil(Ears::Soon());
  ASSERT_TRUE(second);
  EXPECT_EQ(std::get<PodChanged>(*second).pod.name, "a");

  (*client)->Send(CreatePodRequest{"a", {0, 0}, "ScaleUp"});
  (*client)->Send(GiveUp{"r", "m"});
  const auto arrived = PollUntil(**server, [](const auto& a) { return a.requests.size() == 2; });
  EXPECT_EQ(arrived.requests[0], CoordinatorRequest(CreatePodRequest{"a", {0, 0}, "ScaleUp"}));
  EXPECT_EQ(arrived.requests[1], CoordinatorRequest(GiveUp{"r", "m"}));
}

TEST(ApiTest, ANewCoordinatorTakesThePlaceOfTheOneBefore) {
  auto server = *ApiServer::Create();
  Ears old_ears, new_ears;
  auto old_client = *ApiClient::Connect(server->path(), old_ears.Options());
  PollUntil(*server, Connected);
  server->Send(Opening{});
  auto new_client = *ApiClient::Connect(server->path(), new_ears.Options());
  PollUntil(*server, Connected);
  EXPECT_TRUE(old_ears.ends.PopUntil(Ears::Soon()));
  old_client->Send(GiveUp{"old", "is heard no more"});
  server->Send(Opening{});
  EXPECT_TRUE(new_ears.messages.PopUntil(Ears::Soon()));
  new_client->Send(GiveUp{"new", "is heard"});
  const auto arrived = PollUntil(*server, [](const auto& a) { return !a.requests.empty(); });
  EXPECT_EQ(std::get<GiveUp>(arrived.requests.front()).reason, "new");
}

TEST(ApiTest, LastWordsOfADeadCoordinatorAreHeard) {
  auto server = *ApiServer::Create();
  Ears ears;
  auto client = *ApiClient::Connect(server->path(), ears.Options());
  PollUntil(*server, Connected);
  client->Send(GiveUp{"PortTaken", "by somebody"});
  client.reset();
  const auto arrived = PollUntil(*server, [](const auto& a) { return !a.requests.empty(); });
  EXPECT_EQ(std::get<GiveUp>(arrived.requests.front()).reason, "PortTaken");
  // And the next may come.
  auto next = ApiClient::Connect(server->path(), ears.Options());
  ASSERT_TRUE(next.ok());
  PollUntil(*server, Connected);
}

TEST(ApiTest, TheEndOfTheClusterIsTold) {
  auto server = *ApiServer::Create();
  const std::string path = server->path();
  Ears ears;
  auto client = *ApiClient::Connect(path, ears.Options());
  PollUntil(*server, Connected);
  server.reset();
  EXPECT_TRUE(ears.ends.PopUntil(Ears::Soon()));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(path).parent_path()));
  const auto refused = ApiClient::Connect(path, ears.Options());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(base::Message(refused.status()), testing::HasSubstr("muster run"));
}

TEST(ApiTest, AStrangeLineIsReportedAndTheNextIsTaken) {
  auto server = *ApiServer::Create();
  Ears ears;
  auto client = *ApiClient::Connect(server->path(), ears.Options());
  PollUntil(*server, Connected);
  // Over a socket of its own: a client never says such a thing.
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  LineChannel writer{UniqueFd(ends[0])};
  auto strange = ApiClient::Adopt(UniqueFd(ends[1]), ears.Options());
  writer.Write("this is no JSON");
  const auto why = ears.ends.PopUntil(Ears::Soon());
  ASSERT_TRUE(why);
  EXPECT_THAT(*why, testing::HasSubstr("this is no JSON"));
}

// A stopped `muster run` (Ctrl-Z) must not keep a coordinator that was told to end.
TEST(ApiTest, ACoordinatorEndsWithinASecondOrTwoAlsoWhenNobodyReads) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd silent(ends[0]);
  Ears ears;
  auto client = ApiClient::Adopt(UniqueFd(ends[1]), ears.Options());
  const std::string large(1 << 20, 'x');
  for (int i = 0; i < 8; ++i) client->Send(GiveUp{large, ""});
  // The writer is in the middle of a line when it is told.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto begun = steady_clock::now();
  client.reset();
  EXPECT_LT(steady_clock::now() - begun, std::chrono::seconds(5));
}

TEST(LineChannelTest, JoinsPiecesAndCarriesMoreThanASocketHolds) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  LineChannel a{UniqueFd(ends[0])};
  LineChannel b{UniqueFd(ends[1])};
  const std::string large(3 << 20, 'x');
  a.Write(large);
  a.Write("end");
  EXPECT_TRUE(a.wants_to_write());
  std::vector<std::string> lines;
  for (int i = 0; i < 10000 && lines.size() < 2; ++i) {
    for (std::string& line : b.Read()) lines.push_back(std::move(line));
    a.Flush();
  }
  EXPECT_THAT(lines, testing::ElementsAre(large, "end"));
  EXPECT_FALSE(a.wants_to_write());
  EXPECT_FALSE(b.closed());
}

}  // namespace
}  // namespace muster::local
