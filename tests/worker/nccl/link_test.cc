// NCCL beside a ring, over the fake NCCL and a ring that is a table of this process.
#include "worker/nccl/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <condition_variable>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>

#include "tests/worker/nccl/cluster.h"
#include "worker/nccl/state_share.h"

namespace muster::nccl {
namespace {

using std::chrono::milliseconds;

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
    options.limits.init_poll = options.limits.step_poll = milliseconds(1);
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

// The sums of one member, in four parts from the end; all but the first become complete when told.
struct Parted {
  explicit Parted(std::int32_t rank) : sum(rank, 1000) {
    const comm::Reduction whole = sum.reduction();
    const std::size_t each = whole.in.size() / 4;
    for (std::size_t p = 0; p < 4; ++p) {
      comm::Reduction part = whole;
      part.in = part.in.subspan((3 - p) * each, each);
      part.out = part.out.subspan((3 - p) * each, each);
      parts.push_back(part);
    }
    ready[0] = true;
  }
  void Give(Link& link, std::size_t first, std::size_t end) {
    for (std::size_t p = first; p < end; ++p) link.GiveAhead(parts[p], {&ready[p]}, p == 3);
  }
  Sum sum;
  std::vector<comm::Reduction> parts;
  std::array<std::atomic<bool>, 4> ready{};
};

void ExpectAllOk(const std::vector<absl::Status>& said) {
  for (const absl::Status& status : said) EXPECT_TRUE(status.ok()) << status;
}

TEST_F(LinkTest, ViewsFollowEachOtherOfOneToFourMembers) {
  Make(1);
  for (std::uint64_t epoch = 1; epoch <= 4; ++epoch) {
    ExpectAllOk(Install(epoch));
    ExpectSums();
    members_.push_back(std::make_unique<LinkedMember>(fabric_));
  }
  EXPECT_EQ(fabric_.ids_leaked(), 0);
}

// What a state is: vectors of one size.
struct ThreeVectors {
  explicit ThreeVectors(unsigned char value, std::size_t bytes = 4000)
      : all(3, std::vector<std::byte>(bytes, std::byte{value})) {
    for (std::size_t v = 0; v < all.size(); ++v) {
      for (std::size_t i = 0; i < bytes && value != 0; i += 7) {
        all[v][i] = static_cast<std::byte>(i + v);
      }
    }
  }
  std::vector<std::span<std::byte>> spans() {
    return {std::span(all[0]), std::span(all[1]), std::span(all[2])};
  }
  std::vector<std::vector<std::byte>> all;
};

TEST_F(LinkTest, AStateGoesFromOneMemberToAllOthers) {
  Make(4);
  ExpectAllOk(Install(1));
  for (std::int32_t root = 0; root < 4; ++root) {
    ThreeVectors state(0x5a);
    std::vector<ThreeVectors> received(4, ThreeVectors(0));
    std::atomic<std::uint64_t> moved{0};
    std::atomic<int> offered{0};
    Table table(4);
    const auto said = All([&](LinkedMember& m, std::size_t rank) -> absl::Status {
      TableRing ring(table);
      StateShare share;
      share.root = root;
      share.is_root = static_cast<std::int32_t>(rank) == root;
      if (share.is_root) {
        share.offer = {base::Step(-3), 0xfedcba9876543210, "a header", std::string(1000, '\n')};
        for (const auto span : state.spans()) share.in.push_back(span);
      }
      share.out = received[rank].spans();
      // One that has the state lets all of it pass through one place.
      if (rank == 2 && root != 2) share.out = {share.out[0], share.out[0], share.out[0]};
      share.progress = &moved;
      share.offered = [&] { ++offered; };
      const auto offer = ShareState(*m.link, ring, m.flag, share);
      MUSTER_RETURN_IF_ERROR(offer.status());
      EXPECT_EQ(offer->step, base::Step(-3));
      EXPECT_EQ(offer->digest, 0xfedcba9876543210);
      EXPECT_EQ(offer->header, "a header");
      EXPECT_EQ(offer->beside, std::string(1000, '\n'));
      return absl::OkStatus();
    });
    ExpectAllOk(said);
    for (std::size_t rank = 0; rank < 4; ++rank) {
      if (rank == 2 && root != 2) continue;
      EXPECT_EQ(received[rank].all, state.all) << "rank " << rank;
    }
    EXPECT_EQ(moved, 4u * 12000u);
    EXPECT_EQ(offered, 4);
  }
  ExpectSums();
}

TEST_F(LinkTest, AnOfferThatDoesNotFitIsRefusedBeforeNcclIsEntered) {
  Make(2);
  ExpectAllOk(Install(1));
  ThreeVectors state(1), small(0, 2000);
  Table table(2);
  const auto said = All([&](LinkedMember& m, std::size_t rank) -> absl::Status {
    TableRing ring(table);
    StateShare share;
    share.is_root = rank == 0;
    ThreeVectors passing(0);
    if (rank == 0) {
      for (const auto span : state.spans()) share.in.push_back(span);
    }
    share.out = rank == 0 ? passing.spans() : small.spans();
    if (rank == 1) {
      const auto status = ShareState(*m.link, ring, m.flag, share).status();
      members_[0]->flag.Set();  // as the interrupt that follows
      return status;
    }
    const auto status = ShareState(*m.link, ring, m.flag, share).status();
    EXPECT_TRUE(m.link->AbortAndAwaitQuiet().ok());
    return status;
  });
  EXPECT_EQ(said[0].code(), kAborted) << said[0];
  EXPECT_EQ(said[1].code(), absl::StatusCode::kDataLoss) << said[1];
  EXPECT_EQ(members_[1]->nccl.calls().groups, 0);
}

// A source that dies half-way: its vectors end in garbage, and whoever waits for them is told.
TEST_F(LinkTest, ASourceThatDiesLeavesNobodyWaiting) {
  Make(3);
  ExpectAllOk(Install(1));
  for (std::size_t i = 1; i < 3; ++i) {
    members_[i]->nccl.Set([](Faults& f) { f.hang_collective = true; });
  }
  ThreeVectors state(1);
  std::vector<ThreeVectors> received(3, ThreeVectors(0));
  Table table(3);
  const auto said = All([&](LinkedMember& m, std::size_t rank) -> absl::Status {
    TableRing ring(table);
    StateShare share;
    share.is_root = rank == 0;
    if (rank == 0) {
      for (const auto span : state.spans()) share.in.push_back(span);
      share.offered = [&] {
        m.link->Abort();
        fabric_.Kill(0);
      };
    }
    share.out = received[rank].spans();
    const auto status = ShareState(*m.link, ring, m.flag, share).status();
    EXPECT_TRUE(m.link->AbortAndAwaitQuiet().ok());
    return status;
  });
  EXPECT_EQ(said[0].code(), kAborted) << said[0];
  for (const auto& status : {said[1], said[2]}) EXPECT_EQ(status.code(), kUnavailable) << status;
  EXPECT_EQ(state.all, ThreeVectors(1).all) << "what was sent is whole";
}

TEST_F(LinkTest, AFlagThatNobodyToldNcclOfEndsAnInstallAndASum) {
  Make(2);
  // As after the death of a third.
  for (auto& m : members_) m->nccl.Set([](Faults& f) { f.hang_init = true; });
  auto late = std::async(std::launch::async, [&] {
    std::this_thread::sleep_for(milliseconds(100));
    for (auto& m : members_) m->flag.Set();
  });
  // Who is later to see its flag may be told first that the other has gone.
  for (const absl::Status& status : Install(1)) {
    EXPECT_THAT(status.code(), testing::AnyOf(kAborted, kUnavailable)) << status;
  }
  for (auto& m : members_) {
    EXPECT_GE(m->progress.load(), 2u) << "an init that lasts is no silence";
    m->nccl.Set([](Faults& f) { f = Faults{}; });
    EXPECT_TRUE(m->link->AbortAndAwaitQuiet().ok());
  }
}

TEST_F(LinkTest, RankZeroWithoutAnIdKeepsNobodyWaiting) {
  Make(2);
  members_[0]->nccl.Set([](Faults& f) { f.unique_id = Code::kSystemError; });
  for (const absl::Status& status : Install(1)) EXPECT_EQ(status.code(), kUnavailable) << status;
  members_[0]->nccl.Set([](Faults& f) { f = Faults{}; });
  ExpectAllOk(Install(2));
  ExpectSums();
}

TEST_F(LinkTest, SumsBegunAheadBySomeAreTheSame) {
  for (const std::size_t who_begins : {0, 1, 2, 3}) {
    members_.clear();
    Make(3);
    ExpectAllOk(Install(who_begins + 1));
    std::vector<std::unique_ptr<Parted>> sums;
    for (std::int32_t i = 0; i < 3; ++i) sums.push_back(std::make_unique<Parted>(i));
    const SumsOf of{base::Epoch(who_begins + 1), base::Step(9), 0};
    const auto said = All([&](LinkedMember& m, std::size_t rank) -> absl::Status {
      Parted& mine = *sums[rank];
      if (rank >= who_begins) return m.link->AllReduce(of, mine.parts, m.flag);
      EXPECT_TRUE(m.link->BeginAhead(of));
      mine.Give(*m.link, 0, 2);
      std::this_thread::sleep_for(milliseconds(5 * rank));
      mine.Give(*m.link, 2, 4);
      std::thread computes([&] {
        for (auto& ready : mine.ready) {
          std::this_thread::sleep_for(milliseconds(2));
          ready = true;
        }
      });
      const absl::Status status = m.link->AllReduce(of, mine.parts, m.flag);
      computes.join();
      return status;
    });
    ExpectAllOk(said);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(sums[i]->sum.Right(3)) << i;
      EXPECT_EQ(members_[i]->nccl.calls().groups, 4);
      EXPECT_EQ(members_[i]->nccl.calls().waits, i < who_begins ? 4 : 0);
      EXPECT_EQ(members_[i]->link->bytes_sent(), 2 * 2 * 8000 / 3);
    }
    ExpectSums();
  }
}

TEST_F(LinkTest, AnAbortWhileSumsAreBegunAheadEndsThemAndTheNextViewReducesThemAgain) {
  Make(2);
  ExpectAllOk(Install(1));
  std::vector<std::unique_ptr<Parted>> sums;
  for (std::int32_t i = 0; i < 2; ++i) sums.push_back(std::make_unique<Parted>(i));
  const SumsOf of{base::Epoch(1), base::Step(4), 0};
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(members_[i]->link->BeginAhead(of));
    sums[i]->Give(*members_[i]->link, 0, 2);
  }
  for (auto& m : members_) m->link->Abort();
  for (std::size_t i = 0; i < 2; ++i) {
    sums[i]->Give(*members_[i]->link, 2, 4);  // the slot in progress is finished all the same
    const absl::Status status = members_[i]->link->AllReduce(of, sums[i]->parts, members_[i]->flag);
    EXPECT_EQ(status.code(), kAborted) << status;
    EXPECT_FALSE(members_[i]->link->BeginAhead(of)) << "the view is over";
    EXPECT_EQ(sums[i]->sum.in, sums[i]->sum.given);
  }
  ExpectAllOk(Install(2));
  const auto again = All([&](LinkedMember& m, std::size_t rank) {
    return m.link->AllReduce({base::Epoch(2), base::Step(4), 0}, sums[rank]->parts, m.flag);
  });
  ExpectAllOk(again);
  for (const auto& sum : sums) EXPECT_TRUE(sum->sum.Right(2));
}

TEST_F(LinkTest, OtherSumsThanThoseBegunAheadAreRefused) {
  Make(1);
  ExpectAllOk(Install(1));
  EXPECT_FALSE(members_[0]->link->BeginAhead({base::Epoch(2), base::Step(1), 0}));
  Parted sum(0);
  ASSERT_TRUE(members_[0]->link->BeginAhead({base::Epoch(1), base::Step(1), 0}));
  sum.Give(*members_[0]->link, 0, 1);
  const SumsOf redo{base::Epoch(1), base::Step(1), 1};
  EXPECT_EQ(members_[0]->link->AllReduce(redo, sum.parts, members_[0]->flag).code(),
            absl::StatusCode::kInternal);
  EXPECT_TRUE(members_[0]->link->AbortAndAwaitQuiet().ok());
}

TEST_F(LinkTest, ABrokenRingEndsTheInstallBeforeNcclIsEntered) {
  Make(2);
  Table table(3);  // a third never comes
  auto late = std::async(std::launch::async, [&] {
    std::this_thread::sleep_for(milliseconds(50));
    table.Break();
  });
  const auto said = All([&](LinkedMember& m, std::size_t rank) {
    TableRing ring(table);
    return m.link->Install(ring, m.flag, {base::Epoch(1), static_cast<std::int32_t>(rank), 3});
  });
  for (const absl::Status& status : said) EXPECT_EQ(status.code(), kUnavailable) << status;
  for (auto& m : members_) EXPECT_EQ(m->nccl.calls().inits, 0);
}

}  // namespace
}  // namespace muster::nccl
