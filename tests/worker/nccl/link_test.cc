// NCCL beside a ring, over the fake NCCL and a ring that is a table of this process.
#include "worker/nccl/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "tests/worker/nccl/linked.h"

namespace muster::nccl {
namespace {

using std::chrono::milliseconds;

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

TEST_F(LinkTest, ViewsFollowEachOtherOfOneToFourMembers) {
  Make(1);
  for (std::uint64_t epoch = 1; epoch <= 4; ++epoch) {
    ExpectAllOk(Install(epoch));
    ExpectSums();
    members_.push_back(std::make_unique<LinkedMember>(fabric_));
  }
  EXPECT_EQ(fabric_.ids_leaked(), 0);
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
