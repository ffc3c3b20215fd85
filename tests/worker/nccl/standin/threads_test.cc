// Ranks in threads of one process: what needs no second process, and what ThreadSanitizer looks at.
#include <gtest/gtest.h>

#include <functional>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "tests/worker/nccl/standin/load.h"

namespace muster::nccl {
namespace {

void InThreads(int size, const std::function<void(NcclApi&, int rank)>& run) {
  const auto api = LoadStandin();
  ASSERT_NE(api, nullptr);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] { run(*api, rank); });
  }
}

UniqueId NewId() {
  UniqueId id;
  EXPECT_TRUE(LoadStandin()->GetUniqueId(&id).ok());
  return id;
}

TEST(StandinThreadsTest, SumsAndEnds) {
  for (int size = 1; size <= 4; ++size) {
    const UniqueId id = NewId();
    InThreads(size, [&](NcclApi& api, int rank) {
      const CommHandle comm = Init(api, id, rank, size);
      ASSERT_EQ(Await(api, comm), Code::kSuccess);
      for (int step = 0; step < 3; ++step) {
        // The second is longer than what goes round at once.
        Numbers few(rank), many(rank, 300001), none(rank, 0);
        Launch(api, comm, {few.piece(), many.piece(), none.piece()});
        ASSERT_EQ(Await(api, comm), Code::kSuccess);
        EXPECT_TRUE(few.Right(size));
        EXPECT_TRUE(many.Right(size));
      }
      End(api, comm);
    });
  }
}

TEST(StandinThreadsTest, ABroadcastIsItsRootsAtAllRanks) {
  for (int root = 0; root < 3; ++root) {
    const UniqueId id = NewId();
    InThreads(3, [&](NcclApi& api, int rank) {
      const CommHandle comm = Init(api, id, rank, 3);
      ASSERT_EQ(Await(api, comm), Code::kSuccess);
      std::vector<std::int32_t> in(300001), out(in.size());
      for (std::size_t i = 0; i < in.size(); ++i)
        in[i] = static_cast<std::int32_t>(i * 77777) + root;
      Piece piece{
          comm::ReduceOp::kSum, comm::ElementType::kInt32, nullptr, out.data(), in.size(), root};
      if (rank == root) piece.in = in.data();
      EXPECT_TRUE(api.GroupStart().ok());
      EXPECT_TRUE(api.Broadcast(comm, {}, piece).ok());
      EXPECT_EQ(api.GroupEnd().code, Code::kInProgress);
      ASSERT_EQ(Await(api, comm), Code::kSuccess);
      EXPECT_EQ(out, in);
      piece.root = 3;
      EXPECT_EQ(api.Broadcast(comm, {}, piece).code, Code::kInvalidArgument);
      End(api, comm);
    });
  }
}

TEST(StandinThreadsTest, AnAbortEndsItsCollectiveAndTheNeighboursHearOfIt) {
  const UniqueId id = NewId();
  std::latch launched(2);
  InThreads(3, [&](NcclApi& api, int rank) {
    const CommHandle comm = Init(api, id, rank, 3);
    ASSERT_EQ(Await(api, comm), Code::kSuccess);
    Numbers numbers(rank);
    if (rank == 1) {
      // Never comes to the collective.
      launched.wait();
      AbortSoon(api, comm);
      return;
    }
    Launch(api, comm, {numbers.piece()});
    launched.count_down();
    EXPECT_EQ(Await(api, comm), Code::kRemoteError);
    AbortSoon(api, comm);
    EXPECT_TRUE(numbers.Spoilt());
  });
}

TEST(StandinThreadsTest, AnInitThatWaitsForOthersIsAborted) {
  const UniqueId id = NewId();
  InThreads(2, [&](NcclApi& api, int rank) {
    const CommHandle comm = Init(api, id, rank, 3);
    EXPECT_EQ(Await(api, comm, std::chrono::milliseconds(100)), Code::kInProgress);
    AbortSoon(api, comm);
  });
}

TEST(StandinThreadsTest, MembersThatDisagree) {
  const UniqueId id = NewId();
  InThreads(2, [&](NcclApi& api, int rank) {
    const CommHandle comm = Init(api, id, rank, 2);
    ASSERT_EQ(Await(api, comm), Code::kSuccess);
    Numbers numbers(rank, rank == 0 ? 10 : 11);
    Launch(api, comm, {numbers.piece()});
    const Code code = Await(api, comm);
    EXPECT_EQ(code, rank == 0 ? Code::kRemoteError : Code::kInvalidUsage)
        << "rank 1 sees it, and its abort is what rank 0 sees";
    AbortSoon(api, comm);
    EXPECT_TRUE(numbers.Spoilt());
  });
}

TEST(StandinThreadsTest, RefusesWhatItCannotRead) {
  const auto api = LoadStandin();
  CommHandle comm;
  EXPECT_EQ(api->InitRankNonBlocking({UniqueId{}, 0, 1}, &comm).code, Code::kInvalidArgument);
  EXPECT_FALSE(comm);
  EXPECT_EQ(api->InitRankNonBlocking({NewId(), 2, 2}, &comm).code, Code::kInvalidArgument);
  const Result refused = api->InitRankNonBlocking({UniqueId{}, 0, 1}, &comm);
  EXPECT_EQ(refused.detail, "an id that no stand-in made");
}

}  // namespace
}  // namespace muster::nccl
