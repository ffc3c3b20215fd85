#include "tests/worker/nccl/standin/processes.h"

#include <algorithm>
#include <cstdlib>

namespace muster::nccl {
namespace {

using comm::ElementType;
using comm::ReduceOp;
using std::chrono::milliseconds;

// Numbers of a type, each rank's own: as floats their sum depends on the order.
template <typename T>
std::vector<T> Given(int rank, std::size_t count) {
  std::vector<T> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    const int x = static_cast<int>((i * 7919 + static_cast<std::size_t>(rank) * 104729) % 20011);
    out[i] = static_cast<T>(x - 10000) / static_cast<T>(3);
  }
  return out;
}

template <typename T>
std::vector<T> Wanted(ReduceOp op, int ranks, std::size_t count) {
  std::vector<T> out = Given<T>(0, count);
  for (int r = 1; r < ranks; ++r) {
    const std::vector<T> given = Given<T>(r, count);
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = op == ReduceOp::kMax ? std::max(out[i], given[i]) : out[i] + given[i];
    }
  }
  return out;
}

template <typename T>
struct Both {
  Both(ElementType type, int rank, std::size_t count)
      : type(type), in(Given<T>(rank, count)), sum(count), most(count) {}
  Piece Summed() { return {ReduceOp::kSum, type, in.data(), sum.data(), in.size()}; }
  Piece Greatest() { return {ReduceOp::kMax, type, in.data(), most.data(), in.size()}; }
  void ExpectRight(int rank, int ranks) const {
    EXPECT_EQ(in, Given<T>(rank, in.size())) << "an input was written to";
    EXPECT_EQ(sum, Wanted<T>(ReduceOp::kSum, ranks, in.size())) << "of rank " << rank;
    EXPECT_EQ(most, Wanted<T>(ReduceOp::kMax, ranks, in.size())) << "of rank " << rank;
  }
  ElementType type;
  std::vector<T> in, sum, most;
};

TEST(StandinProcessesTest, SumsAndMaximaOfAllTypes) {
  for (int size = 1; size <= 4; ++size) {
    Processes processes;
    processes.Run(size, [&](NcclApi& api, Board& board, int rank) {
      const CommHandle comm = Init(api, board.Share(api, 0, rank), rank, size);
      ASSERT_EQ(Await(api, comm), Code::kSuccess);
      for (const std::size_t count : {std::size_t{1}, std::size_t{700001}}) {
        Both<std::int32_t> narrow(ElementType::kInt32, rank, count);
        Both<std::int64_t> wide(ElementType::kInt64, rank, count);
        Both<float> floats(ElementType::kFloat32, rank, count);
        Launch(api, comm,
               {narrow.Summed(), narrow.Greatest(), wide.Summed(), wide.Greatest(), floats.Summed(),
                floats.Greatest()});
        ASSERT_EQ(Await(api, comm), Code::kSuccess);
        narrow.ExpectRight(rank, size);
        wide.ExpectRight(rank, size);
        floats.ExpectRight(rank, size);
      }
      End(api, comm);
    });
    processes.ExpectAllWell();
  }
}

// Of 4 ranks the one with number 2 is killed in the middle of a sum; 3 go on with a new id.
TEST(StandinProcessesTest, NeighboursOfAKilledRankAreToldAndTheOthersHang) {
  enum { kLaunched, kTold, kHung, kAborted };
  Processes processes;
  processes.Run(4, [&](NcclApi& api, Board& board, int rank) {
    const CommHandle comm = Init(api, board.Share(api, 0, rank), rank, 4);
    ASSERT_EQ(Await(api, comm), Code::kSuccess);
    Numbers numbers(rank);
    if (rank == 2) {
      board.Count(kLaunched);
      (void)board.AwaitCount(kAborted, 3);  // killed meanwhile
      return;
    }
    Launch(api, comm, {numbers.piece()});
    board.Count(kLaunched);
    if (rank == 0) {
      ASSERT_TRUE(board.AwaitCount(kTold, 2));
      EXPECT_EQ(Await(api, comm, milliseconds(200)), Code::kInProgress);
      board.Count(kHung);
    } else {
      EXPECT_EQ(Await(api, comm), Code::kRemoteError);
      board.Count(kTold);
      ASSERT_TRUE(board.AwaitCount(kHung, 1));
    }
    AbortSoon(api, comm);
    EXPECT_TRUE(numbers.Spoilt());
    board.Count(kAborted);
    ASSERT_TRUE(board.AwaitCount(kAborted, 3));
    // Without the dead one, and with another rank.
    const int now = std::min(rank, 2);
    const CommHandle next = Init(api, board.Share(api, 1, now), now, 3);
    ASSERT_EQ(Await(api, next), Code::kSuccess);
    Numbers again(now);
    Launch(api, next, {again.piece()});
    EXPECT_EQ(Await(api, next), Code::kSuccess);
    EXPECT_TRUE(again.Right(3));
    End(api, next);
  });
  ASSERT_TRUE(processes.board().AwaitCount(kLaunched, 4));
  processes.Kill(2);
  processes.ExpectAllWell();
}

TEST(StandinProcessesTest, ARankThatIsKilledDuringInitIsWaitedForInVain) {
  Processes processes;
  processes.Run(3, [&](NcclApi& api, Board& board, int rank) {
    const UniqueId id = board.Share(api, 0, rank);
    if (rank == 2) {
      board.Count(0);
      (void)board.AwaitCount(1, 2);
      return;
    }
    const CommHandle comm = Init(api, id, rank, 3);
    ASSERT_TRUE(board.AwaitCount(0, 1));
    EXPECT_EQ(Await(api, comm, milliseconds(200)), Code::kInProgress);
    AbortSoon(api, comm);
    board.Count(1);
    const CommHandle next = Init(api, board.Share(api, 1, rank), rank, 2);
    EXPECT_EQ(Await(api, next), Code::kSuccess);
    End(api, next);
  });
  ASSERT_TRUE(processes.board().AwaitCount(0, 1));
  processes.Kill(2);
  processes.ExpectAllWell();
}

// The root is a thread of the process that made the id.
TEST(StandinProcessesTest, AnIdDiesWithItsMaker) {
  Processes processes;
  processes.Run(3, [&](NcclApi& api, Board& board, int rank) {
    const UniqueId id = board.Share(api, 0, rank);
    if (rank == 0) {
      (void)board.AwaitCount(0, 100);
      return;
    }
    if (rank == 2) {
      ASSERT_TRUE(board.AwaitCount(1, 1));  // the root is dead
    }
    const CommHandle comm = Init(api, id, rank, 3);
    EXPECT_EQ(Await(api, comm, milliseconds(200)), Code::kInProgress);
    if (rank == 1) board.Count(0);
    EXPECT_EQ(Await(api, comm), rank == 1 ? Code::kRemoteError : Code::kSystemError);
    AbortSoon(api, comm);
  });
  ASSERT_TRUE(processes.board().AwaitCount(0, 1));
  processes.Kill(0);
  processes.board().Count(1);
  processes.ExpectAllWell();
}

TEST(StandinProcessesTest, HangsWhenItIsToldTo) {
  Processes processes;
  processes.Run(2, [&](NcclApi& api, Board& board, int rank) {
    ::setenv("MUSTER_STANDIN_NCCL_HANG_INIT", "1@1", 1);
    ::setenv("MUSTER_STANDIN_NCCL_HANG_COLLECTIVE", "2@0", 1);
    const CommHandle hung = Init(api, board.Share(api, 0, rank), rank, 2);
    EXPECT_EQ(Await(api, hung, milliseconds(200)), Code::kInProgress) << "rank 1 never came";
    AbortSoon(api, hung);
    const CommHandle comm = Init(api, board.Share(api, 1, rank), rank, 2);
    ASSERT_EQ(Await(api, comm), Code::kSuccess);
    Numbers first(rank), second(rank);
    Launch(api, comm, {first.piece()});
    ASSERT_EQ(Await(api, comm), Code::kSuccess);
    EXPECT_TRUE(first.Right(2));
    Launch(api, comm, {second.piece()});
    EXPECT_EQ(Await(api, comm, milliseconds(200)), Code::kInProgress);
    board.Count(0);
    ASSERT_TRUE(board.AwaitCount(0, 2));
    AbortSoon(api, comm);
    EXPECT_TRUE(first.Right(2)) << "of a group before the one that was aborted";
    EXPECT_TRUE(second.Spoilt());
  });
  processes.ExpectAllWell();
}

TEST(StandinProcessesTest, AnAbortThatIsToldToHangDoesNotReturn) {
  Processes processes;
  processes.Run(1, [&](NcclApi& api, Board& board, int rank) {
    ::setenv("MUSTER_STANDIN_NCCL_HANG_ABORT", "1", 1);
    const CommHandle comm = Init(api, board.Share(api, 0, rank), rank, 2);
    board.Count(0);
    EXPECT_TRUE(api.Abort(comm).ok());
    board.Count(1);
  });
  ASSERT_TRUE(processes.board().AwaitCount(0, 1));
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(processes.board().counts[1], 0);
  processes.Kill(0);
}

}  // namespace
}  // namespace muster::nccl
