// State transfer: whole from any number of sources, or a status that says who failed.

#include "worker/comm/state_transfer.h"

#include "operator/base/rng.h"
#include "tests/worker/comm/loopback.h"

namespace muster::comm {
namespace {

struct Source {
  std::unique_ptr<DataListener> listener = MakeListener();
  std::unique_ptr<StateServer> server =
      std::make_unique<StateServer>(StateServerOptions{listener.get(), std::chrono::seconds(5)});
};

class StateTransferTest : public ::testing::Test {
 protected:
  StateTransferTest() {
    base::SplitMix rng(5);
    for (std::size_t size : {3'000'001, 0, 1'234'567}) {
      std::vector<std::byte> region(size);
      for (auto& b : region) b = static_cast<std::byte>(rng.Next());
      state_.push_back(std::move(region));
      received_.emplace_back(size);
    }
  }

  ServedState State(std::uint64_t digest = 42) const {
    ServedState served{base::Epoch(7), base::Step(12), digest, "header", {}};
    for (const auto& region : state_) served.regions.emplace_back(region);
    return served;
  }

  FetchOptions Options(int deadline_ms = 8000) {
    FetchOptions options;
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
    EXPECT_EQ(result.state.bytes, 4'234'568);
    EXPECT_EQ(received_, state_);
  }

  std::vector<std::vector<std::byte>> state_, received_;
  std::vector<Source> sources_;
};

TEST_F(StateTransferTest, OneToThreeSourcesShareTheWork) {
  for (int n = 1; n <= 3; ++n) {
    sources_.emplace_back();
    sources_.back().server->Serve(State());
    for (auto& region : received_) std::fill(region.begin(), region.end(), std::byte{0});
    const FetchResult result = FetchState(Options());
    ExpectWhole(result);
    EXPECT_TRUE(result.failed.empty());
  }
}

TEST_F(StateTransferTest, AWrongChecksumIsSeenAndTheOthersTakeOver) {
  sources_.resize(2);
  for (auto& source : sources_) source.server->Serve(State());
  sources_[1].server->CorruptShardForTest(1);
  const FetchResult result = FetchState(Options());
  ExpectWhole(result);
  // The damaged source may have been too slow to be asked; then nothing damaged arrived.
  if (sources_[1].server->bytes_served() > 0) {
    EXPECT_EQ(result.corrupt, (std::vector<base::MemberId>{{1, 0}}));
  }
}

TEST_F(StateTransferTest, AloneACorruptSourceFailsByName) {
  sources_.resize(1);
  sources_[0].server->Serve(State());
  sources_[0].server->CorruptShardForTest(3);
  const FetchResult result = FetchState(Options());
  EXPECT_TRUE(absl::IsUnavailable(result.status)) << result.status;
  EXPECT_EQ(result.failed, (std::vector<base::MemberId>{{0, 0}}));
  EXPECT_EQ(result.corrupt, (std::vector<base::MemberId>{{0, 0}}));
  EXPECT_NE(base::Message(result.status).find("checksum"), std::string::npos);
}

TEST_F(StateTransferTest, ASourceThatDiesIsReplaced) {
  sources_.resize(2);
  for (auto& source : sources_) source.server->Serve(State());
  std::thread killer([&] {
    while (sources_[1].server->bytes_served() < 100'000 &&
           sources_[0].server->bytes_served() < 2'000'000) {
      std::this_thread::yield();
    }
    sources_[1].server->StopServing();
  });
  FetchOptions options = Options();
  options.shard_bytes = 10'000;
  ExpectWhole(FetchState(options));
  killer.join();
}

TEST_F(StateTransferTest, AnUnreachableSourceIsNamedAndTheRestSuffices) {
  sources_.resize(2);
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

TEST_F(StateTransferTest, AJoinerThatAsksEarlyWaitsForTheSwitch) {
  sources_.resize(1);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    sources_[0].server->Serve(State());
  });
  ExpectWhole(FetchState(Options()));
  later.join();
}

TEST_F(StateTransferTest, DifferentStatesAreNeverMixed) {
  sources_.resize(2);
  sources_[0].server->Serve(State(42));
  sources_[1].server->Serve(State(43));
  FetchOptions options = Options();
  options.shard_bytes = 100;  // so many that both are asked before one alone is done
  const FetchResult result = FetchState(options);
  EXPECT_TRUE(absl::IsDataLoss(result.status)) << result.status;
}

TEST_F(StateTransferTest, DeadlineAndAbortEndIt) {
  sources_.resize(1);  // serves nothing
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
