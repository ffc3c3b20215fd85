#include "tests/worker/rpc/ends.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace muster::rpc {

api::FromMember HelloOf(int ordinal) {
  api::Hello hello;
  hello.member = {ordinal, 0};
  return {{}, hello};
}

api::FromMember Beat(std::uint64_t sequence) {
  return {{}, api::Heartbeat{.sequence = sequence, .step = {}}};
}

api::FromCoordinator Ack(std::uint64_t sequence) { return {{}, api::BeatAck{sequence}}; }

TestServer::TestServer(int port, std::size_t send_queue) {
  MembershipServer::Options options;
  options.address = "127.0.0.1:" + std::to_string(port);
  options.send_queue = send_queue;
  options.on_message = [this](StreamId stream, api::FromMember message) {
    if (const auto* beat = std::get_if<api::Heartbeat>(&message.message)) {
      server_->Send(stream, Ack(beat->sequence));
    }
    Change([&] { received.emplace_back(stream, std::move(message)); });
  };
  options.on_closed = [this](StreamId stream) { Change([&] { closed.push_back(stream); }); };
  auto server = MembershipServer::Create(std::move(options));
  EXPECT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
}

std::size_t TestServer::Count(StreamId stream) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(received, [&](const auto& r) { return r.first == stream; }));
}

std::vector<StreamId> TestServer::Greeted() const {
  std::vector<StreamId> streams;
  for (const auto& [stream, message] : received) {
    if (std::holds_alternative<api::Hello>(message.message)) streams.push_back(stream);
  }
  return streams;
}

TestClient::TestClient(std::vector<std::string> addresses, int ordinal,
                       const std::function<void(CoordinatorClient::Options*)>& change) {
  CoordinatorClient::Options options;
  options.addresses = std::move(addresses);
  // The callbacks may come before Create has returned; they wait for it under the lock of With().
  With([&] {
    options.on_up = [this, ordinal] {
      CoordinatorClient* client = With([this] { return client_.get(); });
      client->Send(HelloOf(ordinal));
      Change([this] { ++ups; });
    };
    options.on_down = [this] { Change([this] { ++downs; }); };
    options.on_message = [this](api::FromCoordinator message) {
      if (auto callback = With([this] { return on_message; })) callback();
      Change([&] { received.push_back(std::move(message)); });
    };
    if (change) change(&options);
    auto client = CoordinatorClient::Create(std::move(options));
    EXPECT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  });
}

}  // namespace muster::rpc
