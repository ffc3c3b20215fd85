// Communicators of several ranks over one FakeFabric, each with its own FakeNccl and threads.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/worker/nccl/fake_nccl.h"
#include "worker/nccl/communicator.h"

namespace muster::nccl {

// Far above what anything here takes, for a machine that is busy with other things.
inline constexpr std::chrono::seconds kLong{30};

inline constexpr auto kAborted = absl::StatusCode::kAborted;
inline constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
inline constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;
inline constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

struct Member {
  explicit Member(FakeFabric& fabric) : nccl(fabric) {}
  FakeNccl nccl;
  std::atomic<int> expired{0};
  std::unique_ptr<NcclCommunicator> communicator;
};

class Cluster {
 public:
  explicit Cluster(std::int32_t n, Limits limits = {}) {
    limits.init_poll = limits.step_poll = std::chrono::milliseconds(1);
    for (std::int32_t i = 0; i < n; ++i) {
      members_.push_back(std::make_unique<Member>(fabric_));
      NcclOptions options;
      options.api = &members_.back()->nccl;
      options.limits = limits;
      options.expired = [m = members_.back().get()](const std::string&) { ++m->expired; };
      auto made = NcclCommunicator::Create(std::move(options));
      EXPECT_TRUE(made.ok()) << made.status();
      members_.back()->communicator = std::move(*made);
    }
  }
  // No rule of NCCL's was broken, whatever happened.
  ~Cluster() {
    for (auto& m : members_) m->communicator.reset();
    EXPECT_EQ(fabric_.breaches(), std::vector<std::string>{});
  }

  std::int32_t size() const { return static_cast<std::int32_t>(members_.size()); }
  FakeFabric& fabric() { return fabric_; }
  FakeNccl& nccl(std::int32_t i) { return members_[i]->nccl; }
  NcclCommunicator& operator[](std::int32_t i) { return *members_[i]->communicator; }
  int expired(std::int32_t i) { return members_[i]->expired; }
  // Its process is gone: the others see what a dead peer looks like. Its own threads end with it.
  void Kill(std::int32_t i) { fabric_.Kill(i); }
  void Remove(std::int32_t i) {
    members_[i]->nccl.Set([](Faults& f) { f = Faults{}; });
    members_.erase(members_.begin() + i);
  }

  void Destroy(std::int32_t i) { members_[i]->communicator.reset(); }

  // Rank 0's id goes to all, and all begin. Not for communicators that live.
  void Begin(Attempt attempt) {
    auto id = members_[0]->communicator->Mint(attempt);
    ASSERT_TRUE(id.ok()) << id.status();
    for (std::int32_t i = 0; i < size(); ++i) {
      const auto begun = (*this)[i].BeginInstall({attempt, {*id, i, size()}, {}});
      ASSERT_TRUE(begun.ok()) << begun;
    }
  }
  void Install(Attempt attempt) {
    Begin(attempt);
    for (std::int32_t i = 0; i < size(); ++i) {
      const auto status = (*this)[i].PollInstall(kLong);
      ASSERT_TRUE(status.has_value()) << i;
      ASSERT_TRUE(status->ok()) << i << ": " << *status;
    }
  }
  void AwaitQuiet(std::int32_t i) {
    const auto quiet = (*this)[i].AwaitQuiet(kLong);
    ASSERT_TRUE(quiet.has_value()) << i;
    EXPECT_TRUE(quiet->ok()) << i << ": " << *quiet;
  }

 private:
  FakeFabric fabric_;
  std::vector<std::unique_ptr<Member>> members_;
};

// A sum of 64-bit integers whose right answer is known: rank r gives r + 1 + i. Declared before the
// Cluster: an abort writes into `out` until the communicator is quiet.
struct Sum {
  explicit Sum(std::int32_t rank, std::size_t n = 1000) : in(n), out(n, -1) {
    for (std::size_t i = 0; i < n; ++i) in[i] = rank + 1 + static_cast<std::int64_t>(i);
    given = in;
  }
  comm::Reduction reduction() {
    comm::Reduction r;
    r.in = std::as_bytes(std::span(in));
    r.out = std::as_writable_bytes(std::span(out));
    return r;
  }
  bool Right(std::int64_t ranks) const {
    for (std::size_t i = 0; i < in.size(); ++i) {
      const std::int64_t want = ranks * (ranks + 1) / 2 + ranks * static_cast<std::int64_t>(i);
      if (out[i] != want) return false;
    }
    return true;
  }
  std::vector<std::int64_t> in, given, out;
};

// All members sum once, and rightly.
inline void ExpectSum(Cluster& cluster) {
  std::vector<Sum> sums;
  for (std::int32_t i = 0; i < cluster.size(); ++i) sums.emplace_back(i);
  for (std::int32_t i = 0; i < cluster.size(); ++i) {
    ASSERT_TRUE(cluster[i].BeginAllReduce(sums[i].reduction()).ok());
  }
  for (std::int32_t i = 0; i < cluster.size(); ++i) {
    const auto done = cluster[i].Poll(kLong);
    ASSERT_TRUE(done.has_value()) << i;
    EXPECT_TRUE(done->ok()) << i << ": " << *done;
    EXPECT_TRUE(sums[i].Right(cluster.size())) << i;
    EXPECT_EQ(sums[i].in, sums[i].given);
  }
}

// Until `condition`, or for so long that it will never be.
template <typename Condition>
bool Eventually(Condition condition) {
  const auto until = std::chrono::steady_clock::now() + kLong;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

inline absl::StatusCode CodeOfPoll(const std::optional<absl::Status>& status) {
  return status ? status->code() : absl::StatusCode::kUnknown;
}

}  // namespace muster::nccl
