#include "tests/worker/rpc/gate_ends.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace muster::rpc {
namespace {

base::WallTime WallNow() { return runtime::RealClock().WallNow(); }

std::string RightToken(base::MemberId member) { return "token of " + base::ToString(member); }

}  // namespace

runtime::Identity MakeTestAuthority() {
  auto made =
      runtime::MakeAuthority("muster CA", runtime::ValidFor(WallNow(), std::chrono::hours(8760)));
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

GateKeys MakeTestKeys(const runtime::Identity& authority,
                      const std::vector<runtime::Identity>& others,
                      const std::vector<std::string>& dns_names,
                      const std::vector<std::string>& addresses) {
  GateKeys keys;
  keys.authority = authority;
  auto server = runtime::IssueServer(authority, {dns_names, addresses},
                                     runtime::ValidFor(WallNow(), std::chrono::hours(24)));
  EXPECT_TRUE(server.ok()) << server.status();
  keys.server = *std::move(server);
  std::vector<std::string> all = {authority.certificate_pem};
  for (const runtime::Identity& other : others) all.push_back(other.certificate_pem);
  auto bundle = runtime::MakeBundle(all, WallNow());
  EXPECT_TRUE(bundle.ok()) << bundle.status();
  keys.ca_bundle_pem = *std::move(bundle);
  return keys;
}

TestGate::TestGate(const GateKeys& keys, const Adjust& change) {
  verdict = [](const std::string& token, base::MemberId member) -> std::optional<absl::Status> {
    if (token == RightToken(member)) return absl::OkStatus();
    return base::PermissionDenied("it is another pod's");
  };
  Gate::Options options;
  options.keys = keys;
  options.rules.admitted_token = "reviewed";
  options.review = [this](StreamId stream, std::string token, std::string job,
                          base::MemberId member) {
    std::optional<absl::Status> says;
    Change([&] {
      reviews.push_back(token + " for " + base::ToString(member) + " of " + job);
      says = verdict(token, member);
    });
    if (says) With([this] { return gate_.get(); })->Reviewed(stream, *says);
  };
  options.deliver = [this](StreamId stream, const std::string& job, api::FromMember message) {
    Gate* const gate = With([this] { return gate_.get(); });
    if (const auto* beat = std::get_if<api::Heartbeat>(&message.message)) {
      gate->Send(stream, Ack(beat->sequence));
    } else if (welcomes && std::holds_alternative<api::Hello>(message.message)) {
      api::Welcome welcome;
      welcome.job_uid = job;
      gate->Send(stream, {{}, welcome});
    }
    Change([&] { delivered.push_back({stream, job, std::move(message)}); });
  };
  options.closed = [this](StreamId stream, const std::string&) {
    Change([&] { closed.push_back(stream); });
  };
  options.on_refused = [this](const std::string& why) { Change([&] { refused.push_back(why); }); };
  if (change) change(&options);
  // A callback may come before Create has returned; it waits for it under this lock.
  With([&] {
    auto gate = Gate::Create(std::move(options));
    EXPECT_TRUE(gate.ok()) << gate.status();
    gate_ = *std::move(gate);
  });
}

std::vector<api::Hello> TestGate::Hellos() const {
  std::vector<api::Hello> hellos;
  for (const Delivered& one : delivered) {
    if (const auto* hello = std::get_if<api::Hello>(&one.message.message)) hellos.push_back(*hello);
  }
  return hellos;
}

TestMember::TestMember(const std::string& address, base::MemberId member,
                       const runtime::Identity& authority, const std::string& token,
                       const Adjust& change) {
  folder_.Write("token", (token.empty() ? RightToken(member) : token) + "\n");
  folder_.Write("ca.crt", authority.certificate_pem);
  auto credentials = Credentials::Create({"", folder_ / "token", folder_ / "ca.crt"});
  EXPECT_TRUE(credentials.ok()) << credentials.status();
  credentials_ = *std::move(credentials);
  CoordinatorClient::Options options;
  options.addresses = {address};
  options.credentials = credentials_.get();
  options.beat_interval = std::chrono::milliseconds(20);
  options.make_beat = [] { return Beat(1); };
  options.on_up = [this, member] {
    api::Hello hello;
    hello.job_uid = kJob;
    hello.member = member;
    hello.token = credentials_->Token().value_or("");
    With([this] { return client_.get(); })->Send({{}, hello});
    Change([this] { ++ups; });
  };
  options.on_down = [this] { Change([this] { ++downs; }); };
  options.on_message = [this](api::FromCoordinator message) {
    Change([&] { received.push_back(std::move(message)); });
  };
  options.on_trouble = [this](const std::string& why) { Change([&] { troubles.push_back(why); }); };
  if (change) change(&options);
  With([&] {
    auto client = CoordinatorClient::Create(std::move(options));
    EXPECT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  });
}

std::shared_ptr<const runtime::Identity> TestMember::Certificate() const {
  return credentials_->Current(WallNow());
}

std::string TestMember::Refusal() const {
  for (const api::FromCoordinator& message : received) {
    if (const auto* refused = std::get_if<api::Refused>(&message.message)) return refused->reason;
  }
  return "";
}

bool TestMember::Heard(const std::string& part) const {
  return std::ranges::any_of(
      troubles, [&](const std::string& t) { return t.find(part) != std::string::npos; });
}

}  // namespace muster::rpc
