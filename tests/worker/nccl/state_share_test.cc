// A state from one member to all others, over the fake NCCL and a ring that is a table of this process.
#include "worker/nccl/state_share.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/nccl/linked.h"

namespace muster::nccl {
namespace {

class StateShareTest : public LinkTest {};

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

TEST_F(StateShareTest, AStateGoesFromOneMemberToAllOthers) {
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

TEST_F(StateShareTest, AnOfferThatDoesNotFitIsRefusedBeforeNcclIsEntered) {
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
TEST_F(StateShareTest, ASourceThatDiesLeavesNobodyWaiting) {
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

// It would be launched between two groups of the reduction at one member and behind them at another.
TEST_F(StateShareTest, ABroadcastIsRefusedWhileSumsAreBegunAhead) {
  Make(1);
  ExpectAllOk(Install(1));
  LinkedMember& m = *members_[0];
  const SumsOf of{base::Epoch(1), base::Step(2), 0};
  Sum first(0), second(0);
  const std::vector<comm::Reduction> parts = {first.reduction(), second.reduction()};
  ThreeVectors state(1), place(0);
  ASSERT_TRUE(m.link->BeginAhead(of));
  m.link->GiveAhead(parts[0], {}, false);
  EXPECT_EQ(m.link->Broadcast(0, state.all[0], place.all[0], m.flag, nullptr).code(),
            kFailedPrecondition);
  m.link->GiveAhead(parts[1], {}, true);
  const absl::Status summed = m.link->AllReduce(of, parts, m.flag);
  EXPECT_TRUE(summed.ok()) << summed;
  EXPECT_TRUE(first.Right(1) && second.Right(1));
  const absl::Status sent = m.link->Broadcast(0, state.all[0], place.all[0], m.flag, nullptr);
  EXPECT_TRUE(sent.ok()) << sent;
  EXPECT_EQ(place.all[0], state.all[0]);
}

}  // namespace
}  // namespace muster::nccl
