// State transfer: whole from any number of sources, or a status that says who failed.

#include "worker/comm/state_transfer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <map>

#include "operator/base/rng.h"
#include "tests/worker/comm/loopback.h"
#include "worker/comm/shard.h"

namespace muster::comm {
namespace {

struct Source {
  explicit Source(Tls* tls)
      : listener(MakeListener("job-1", "secret", nullptr, tls)),
        server(std::make_unique<StateServer>(
            StateServerOptions{listener.get(), std::chrono::seconds(5)})) {}
  std::unique_ptr<DataListener> listener;
  std::unique_ptr<StateServer> server;
};

// What holds for sockets holds for TLS over them.
class StateTransferTest : public ::testing::TestWithParam<Wire> {
 protected:
  StateTransferTest() {
    if (GetParam() == Wire::kTls) authority_ = MakeTestAuthority();
    fetcher_ = As({9, 0});
    own_ = MakeListener("job-1", "secret", nullptr, fetcher_);
    base::SplitMix rng(5);
    for (std::size_t size : {3'000'001, 0, 1'234'567}) {
      std::vector<std::byte> region(size);
      for (auto& b : region) b = static_cast<std::byte>(rng.Next());
      state_.push_back(std::move(region));
      received_.emplace_back(size);
    }
  }

  ServedState State(std::uint64_t digest = 42) const {
    ServedState served{base::Epoch(7), base::Step(12), digest, "header", "beside", {}};
    for (const auto& region : state_) served.regions.emplace_back(region);
    return served;
  }

  FetchOptions Options(int deadline_ms = 8000) {
    FetchOptions options;
    options.listener = own_.get();
    options.job_uid = "job-1";
    options.token = "secret";
    options.epoch = base::Epoch(7);
    options.member = {9, 0};
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      options.sources.push_back(
          {{static_cast<std::int32_t>(i), 0}, sources_[i].listener->address()});
    }
    for (auto& region : received_) options.regions.emplace_back(region);
    options.deadline = In(deadline_ms);
    options.shard_bytes = 100'000;
    return options;
  }

  void ExpectWhole(const FetchResult& result) {
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.state.step, base::Step(12));
    EXPECT_EQ(result.state.digest, 42u);
    EXPECT_EQ(result.state.header, "header");
    EXPECT_EQ(result.state.beside, "beside");
    EXPECT_EQ(result.state.bytes, 4'234'568);
    EXPECT_EQ(received_, state_);
  }

  Tls* As(base::MemberId member) {
    if (authority_.key_pem.empty()) return nullptr;
    papers_.push_back(
        std::make_unique<PaperCase>(MakeLeaf(authority_, member), authority_.certificate_pem));
    return papers_.back()->tls();
  }
  void AddSources(int n) {
    for (int i = 0; i < n; ++i) {
      sources_.emplace_back(As({static_cast<std::int32_t>(sources_.size()), 0}));
    }
  }

  // A source that serves the region, asked for all of it as one shard; its answer is not read yet.
  Channel AskForAllOf(const std::vector<std::byte>& region) {
    AddSources(1);
    sources_[0].server->Serve({base::Epoch(7), base::Step(12), 42, "", "", {region}});
    AbortFlag never;
    Channel channel = Open(sources_[0].listener->address(), fetcher_, {0, 0});
    const Greeting greeting{Kind::kState, base::Epoch(7), {9, 0}, 0, "job-1", "secret"};
    EXPECT_TRUE(Greet(channel, greeting, In(5000), never).ok());
    const ShardRequest request{kShardMagic, Ask::kShard, 0, 0, region.size()};
    EXPECT_TRUE(WriteAll(channel, BytesOf(request), In(5000), never).ok());
    return channel;
  }

  runtime::Identity authority_;  // empty on a plain wire
  std::vector<std::unique_ptr<PaperCase>> papers_;
  Tls* fetcher_ = nullptr;
  std::unique_ptr<DataListener> own_;  // of member 9.0, who fetches
  std::vector<std::vector<std::byte>> state_, received_;
  std::vector<Source> sources_;
};
INSTANTIATE_TEST_SUITE_P(Wires, StateTransferTest, testing::Values(Wire::kPlain, Wire::kTls),
                         WireName);

TEST_P(StateTransferTest, OneToThreeSourcesShareTheWork) {
  for (int n = 1; n <= 3; ++n) {
    AddSources(1);
    sources_.back().server->Serve(State());
    for (auto& region : received_) std::fill(region.begin(), region.end(), std::byte{0});
    const FetchResult result = FetchState(Options());
    ExpectWhole(result);
    EXPECT_TRUE(result.failed.empty());
  }
}

// Memory that nobody but its windows reaches, as a device's.
class Elsewhere final : public RemoteRegions {
 public:
  explicit Elsewhere(std::vector<std::vector<std::byte>>& regions) : regions_(regions) {}
  std::vector<std::size_t> Sizes() const override {
    std::vector<std::size_t> sizes;
    for (const auto& region : regions_) sizes.push_back(region.size());
    return sizes;
  }
  std::unique_ptr<Window> Open() const override {
    ++opened;
    return std::make_unique<Copying>(*this);
  }
  mutable std::atomic<int> opened{0};
  mutable std::atomic<std::size_t> largest{0};  // what passed at a time

 private:
  class Copying final : public Window {
   public:
    explicit Copying(const Elsewhere& of) : of_(of) {}
    // As a device's: written when it has ended.
    ~Copying() override {
      for (const auto& [at, bytes] : written_) {
        std::copy(bytes.begin(), bytes.end(),
                  of_.regions_[at.first].begin() + static_cast<std::ptrdiff_t>(at.second));
      }
    }
    std::span<const std::byte> Read(std::size_t region, std::size_t offset,
                                    std::size_t length) override {
      const auto part = std::span(of_.regions_[region]).subspan(offset, length);
      piece_.assign(part.begin(), part.end());
      return piece_;
    }
    std::span<std::byte> Room(std::size_t length) override {
      piece_.assign(length, std::byte{0});
      of_.largest = std::max(of_.largest.load(), length);
      return piece_;
    }
    void Write(std::size_t region, std::size_t offset) override {
      written_[{region, offset}] = piece_;
    }

   private:
    const Elsewhere& of_;
    std::vector<std::byte> piece_;
    std::map<std::pair<std::size_t, std::size_t>, std::vector<std::byte>> written_;
  };
  std::vector<std::vector<std::byte>>& regions_;
};

TEST_P(StateTransferTest, WhatLiesElsewherePassesThroughWindows) {
  AddSources(3);
  const auto from = std::make_shared<Elsewhere>(state_);
  const auto into = std::make_shared<Elsewhere>(received_);
  for (auto& source : sources_) {
    ServedState served = State();
    served.regions.clear();
    served.remote = from;
    source.server->Serve(std::move(served));
  }
  sources_[1].server->CorruptShardForTest(1);
  FetchOptions options = Options();
  options.regions.clear();
  options.remote = into;
  const FetchResult result = FetchState(options);
  ExpectWhole(result);
  EXPECT_LE(from->opened, 3) << "one for each reader, and none for who only asks what there is";
  EXPECT_GE(into->opened, 1);
  EXPECT_LE(into->opened, 3) << "one for each source that had its turn before all was there";
  EXPECT_EQ(into->largest, options.shard_bytes);
}

// M5: a joiner asks before the sources have reached the end of their step.
TEST_P(StateTransferTest, AnEarlyReceiverAsksALateSourceAgain) {
  AddSources(1);
  sources_[0].server.reset();  // one server at a time answers for a listener
  sources_[0].server = std::make_unique<StateServer>(
      StateServerOptions{sources_[0].listener.get(), std::chrono::milliseconds(20)});
  const FetchResult refused = FetchState(Options());
  EXPECT_TRUE(absl::IsUnavailable(refused.status)) << refused.status;
  EXPECT_EQ(refused.failed, (std::vector<base::MemberId>{{0, 0}}));

  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    sources_[0].server->Serve(State());
  });
  std::atomic<std::uint64_t> moved{0};
  FetchOptions options = Options();
  options.early = true;
  options.progress = &moved;
  const FetchResult result = FetchState(options);
  later.join();
  ExpectWhole(result);
  EXPECT_EQ(moved, 4'234'568u);
}

TEST_P(StateTransferTest, AWrongChecksumIsSeenAndTheOthersTakeOver) {
  AddSources(2);
  sources_[1].server->CorruptShardForTest(1);
  sources_[1].server->Serve(State());
  // The whole source is ready only when the damaged one has been asked.
  std::thread later([&] {
    while (sources_[1].server->bytes_served() == 0) std::this_thread::yield();
    sources_[0].server->Serve(State());
  });
  const FetchResult result = FetchState(Options());
  later.join();
  ExpectWhole(result);
  EXPECT_EQ(result.failed, (std::vector<base::MemberId>{{1, 0}}));
  EXPECT_EQ(result.corrupt, (std::vector<base::MemberId>{{1, 0}}));
}

TEST_P(StateTransferTest, AloneACorruptSourceFailsByName) {
  AddSources(1);
  sources_[0].server->Serve(State());
  sources_[0].server->CorruptShardForTest(3);
  const FetchResult result = FetchState(Options());
  EXPECT_TRUE(absl::IsUnavailable(result.status)) << result.status;
  EXPECT_EQ(result.failed, (std::vector<base::MemberId>{{0, 0}}));
  EXPECT_EQ(result.corrupt, (std::vector<base::MemberId>{{0, 0}}));
  EXPECT_NE(base::Message(result.status).find("checksum"), std::string::npos);
}

// The dying source is played by hand: it describes its state, is asked for a shard, sends half of
// it and is gone. Only then does the other one serve.
TEST_P(StateTransferTest, ASourceThatDiesIsReplaced) {
  AddSources(1);
  auto dying = MakeListener("job-1", "secret", nullptr, As({1, 0}));
  std::promise<Channel> accepted;
  dying->RegisterKind(Kind::kState, [&](Channel channel, const Greeting&) {
    accepted.set_value(std::move(channel));
  });
  std::thread death([&] {
    AbortFlag never;
    Channel channel = accepted.get_future().get();
    ShardRequest request;
    ASSERT_TRUE(ReadAll(channel, WritableBytesOf(request), In(5000), never).ok());
    const Description described{
        kShardMagic, Told::kOk, 12, 42, static_cast<std::uint32_t>(state_.size()), 6, 6};
    std::string answer(reinterpret_cast<const char*>(&described), sizeof(described));
    for (const auto& region : state_) {
      const std::uint64_t size = region.size();
      answer.append(reinterpret_cast<const char*>(&size), sizeof(size));
    }
    answer += "headerbeside";
    ASSERT_TRUE(WriteAll(channel, std::as_bytes(std::span(answer)), In(5000), never).ok());
    ASSERT_TRUE(ReadAll(channel, WritableBytesOf(request), In(5000), never).ok());
    const ShardHead head{kShardMagic, Told::kOk, request.length, 0};
    ASSERT_TRUE(WriteAll(channel, BytesOf(head), In(5000), never).ok());
    const auto half = std::span<const std::byte>(state_[0]).first(request.length / 2);
    ASSERT_TRUE(WriteAll(channel, half, In(5000), never).ok());
    sources_[0].server->Serve(State());
  });
  FetchOptions options = Options();
  options.sources.push_back({{1, 0}, dying->address()});
  const FetchResult result = FetchState(options);
  death.join();
  ExpectWhole(result);
  EXPECT_EQ(result.failed, (std::vector<base::MemberId>{{1, 0}}));
  EXPECT_TRUE(result.corrupt.empty());
}

// StopServing promises that nobody reads any more, to each of two threads that call it at once. A
// shard of this size keeps its reader busy with the checksum for some milliseconds.
TEST_P(StateTransferTest, EverybodyWhoStopsServingWaitsForTheReaders) {
  std::vector<std::byte> large(kMaxShardBytes);
  Channel channel = AskForAllOf(large);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  std::thread first([&] { sources_[0].server->StopServing(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  sources_[0].server->StopServing();
  // The head follows the checksum: whoever still computes one has sent nothing yet.
  ShardHead head;
  const ssize_t got = channel.Read(WritableBytesOf(head));
  first.join();
  if (got >= 0) return;
  // Unless the request had not even been read; then its answer is that nothing is served.
  AbortFlag never;
  ASSERT_TRUE(ReadAll(channel, WritableBytesOf(head), In(5000), never).ok());
  EXPECT_NE(head.told, Told::kOk) << "a reader was at work";
}

class TlsStateTransferTest : public StateTransferTest {};
INSTANTIATE_TEST_SUITE_P(Wires, TlsStateTransferTest, testing::Values(Wire::kTls), WireName);

// The source does not believe the joiner's new authority yet, for longer than a source that is not
// there is waited for.
TEST_P(TlsStateTransferTest, AJoinerIsServedOnceALateBundleHasCome) {
  AddSources(1);
  sources_[0].server->Serve(State());
  const runtime::Identity next = MakeTestAuthority();
  const std::string both = authority_.certificate_pem + next.certificate_pem;
  papers_[0]->Show(MakeLeaf(next, {9, 0}));
  papers_[0]->Believe(both);
  std::thread bundle([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1000));
    papers_[1]->Believe(both);
  });
  ExpectWhole(FetchState(Options()));
  bundle.join();
  EXPECT_GE(sources_[0].listener->refused(), 1);
}

TEST_P(StateTransferTest, AShardMayNotHoldUpWhoWithdraws) {
  std::vector<std::byte> large(kMaxShardBytes + 1);
  Channel channel = AskForAllOf(large);
  ShardHead head;
  AbortFlag never;
  ASSERT_TRUE(ReadAll(channel, WritableBytesOf(head), In(5000), never).ok());
  EXPECT_EQ(head.told, Told::kBadRange);
}

TEST_P(StateTransferTest, AnUnreachableSourceIsNamedAndTheRestSuffices) {
  AddSources(2);
  sources_[0].server->Serve(State());
  FetchOptions options = Options();
  sources_[1].server.reset();
  sources_[1].listener.reset();
  options.shard_bytes = 1000;
  ExpectWhole(FetchState(options));
  options.sources.erase(options.sources.begin());
  const FetchResult result = FetchState(options);
  EXPECT_TRUE(absl::IsUnavailable(result.status)) << result.status;
  EXPECT_EQ(result.failed, (std::vector<base::MemberId>{{1, 0}}));
}

TEST_P(StateTransferTest, AJoinerThatAsksEarlyWaitsForTheSwitch) {
  AddSources(1);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    sources_[0].server->Serve(State());
  });
  ExpectWhole(FetchState(Options()));
  later.join();
}

TEST_P(StateTransferTest, DifferentStatesAreNeverMixed) {
  AddSources(2);
  sources_[0].server->Serve(State(42));
  sources_[1].server->Serve(State(43));
  FetchOptions options = Options();
  options.shard_bytes = 100;  // so many that both are asked before one alone is done
  const FetchResult result = FetchState(options);
  EXPECT_TRUE(absl::IsDataLoss(result.status)) << result.status;
}

TEST_P(StateTransferTest, DeadlineAndAbortEndIt) {
  AddSources(1);  // serves nothing
  EXPECT_TRUE(absl::IsDeadlineExceeded(FetchState(Options(100)).status));
  FetchOptions options = Options();
  options.abort = std::make_shared<AbortFlag>();
  std::thread aborter([abort = options.abort] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    abort->Set();
  });
  const base::Time begun = Now();
  EXPECT_TRUE(absl::IsAborted(FetchState(options).status));
  EXPECT_LT(Now() - begun, std::chrono::seconds(2));
  aborter.join();
}

}  // namespace
}  // namespace muster::comm
