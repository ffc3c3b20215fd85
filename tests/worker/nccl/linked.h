// Links of several members over one FakeFabric, with a ring that is a table of this process.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/nccl/cluster.h"
#include "worker/nccl/link.h"

namespace muster::nccl {

// Sums of 64-bit integers of `size` members in threads; broken for all at once.
class Table {
 public:
  explicit Table(std::int32_t size) : size_(size) {}
  absl::Status Add(const comm::Reduction& reduction) {
    std::unique_lock lock(mutex_);
    std::vector<std::int64_t> in(reduction.in.size() / sizeof(std::int64_t));
    std::memcpy(in.data(), reduction.in.data(), reduction.in.size());
    sum_.resize(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) sum_[i] += in[i];
    if (++given_ == size_) {
      result_ = std::exchange(sum_, {});
      given_ = 0;
      ++rounds_;
      changed_.notify_all();
    }
    const int round = given_ == 0 ? rounds_ - 1 : rounds_;
    changed_.wait(lock, [&] { return rounds_ > round || broken_; });
    if (rounds_ <= round) return base::Unavailable("the ring is broken");
    std::memcpy(reduction.out.data(), result_.data(), reduction.out.size());
    return absl::OkStatus();
  }
  void Break() {
    std::lock_guard lock(mutex_);
    broken_ = true;
    changed_.notify_all();
  }

 private:
  const std::int32_t size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::int64_t> sum_, result_;
  int given_ = 0, rounds_ = 0;
  bool broken_ = false;
};

class TableRing final : public comm::Communicator {
 public:
  explicit TableRing(Table& table) : table_(table) {}
  absl::Status BeginAllReduce(const comm::Reduction& reduction) override {
    done_ = table_.Add(reduction);
    return absl::OkStatus();
  }
  std::optional<absl::Status> Poll(base::Duration) override { return done_; }
  void Abort() override {}
  std::int64_t bytes_sent() const override { return 0; }

 private:
  Table& table_;
  absl::Status done_;
};

struct LinkedMember {
  explicit LinkedMember(FakeFabric& fabric) : nccl(fabric) {
    NcclOptions options;
    options.api = &nccl;
    options.limits.init_poll = options.limits.step_poll = std::chrono::milliseconds(1);
    options.expired = [this](const std::string&) { ++expired; };
    auto made = NcclCommunicator::Create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    link = std::make_unique<Link>(std::move(*made));
  }
  FakeNccl nccl;
  std::atomic<int> expired{0};
  std::atomic<std::uint64_t> progress{0};
  comm::AbortFlag flag;
  std::unique_ptr<Link> link;
};

class LinkTest : public testing::Test {
 protected:
  ~LinkTest() override {
    members_.clear();
    EXPECT_EQ(fabric_.breaches(), std::vector<std::string>{});
  }
  void Make(std::int32_t n) {
    for (std::int32_t i = 0; i < n; ++i) {
      members_.push_back(std::make_unique<LinkedMember>(fabric_));
    }
  }
  // What each of `who` says, in threads: they wait for each other.
  template <typename Call>
  std::vector<absl::Status> All(const Call& call) {
    std::vector<std::future<absl::Status>> calls;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      calls.push_back(
          std::async(std::launch::async, [&call, this, i] { return call(*members_[i], i); }));
    }
    std::vector<absl::Status> said;
    for (auto& c : calls) said.push_back(c.get());
    return said;
  }
  std::vector<absl::Status> Install(std::uint64_t epoch) {
    epoch_ = epoch;
    Table table(static_cast<std::int32_t>(members_.size()));
    return All([&](LinkedMember& m, std::size_t rank) {
      TableRing ring(table);
      return m.link->Install(ring, m.flag,
                             {base::Epoch(epoch), static_cast<std::int32_t>(rank),
                              static_cast<std::int32_t>(members_.size()), &m.progress});
    });
  }
  void ExpectSums() {
    std::vector<Sum> sums;
    for (std::size_t i = 0; i < members_.size(); ++i) sums.emplace_back(static_cast<int>(i));
    ++step_;
    const auto said = All([&](LinkedMember& m, std::size_t rank) {
      const comm::Reduction all[] = {sums[rank].reduction()};
      return m.link->AllReduce({base::Epoch(epoch_), base::Step(step_), 0}, all, m.flag);
    });
    for (std::size_t i = 0; i < members_.size(); ++i) {
      EXPECT_TRUE(said[i].ok()) << said[i];
      EXPECT_TRUE(sums[i].Right(static_cast<std::int64_t>(members_.size())));
    }
  }

  FakeFabric fabric_;
  std::vector<std::unique_ptr<LinkedMember>> members_;
  std::uint64_t epoch_ = 0;
  std::int64_t step_ = 0;
};

inline void ExpectAllOk(const std::vector<absl::Status>& said) {
  for (const absl::Status& status : said) EXPECT_TRUE(status.ok()) << status;
}

}  // namespace muster::nccl
