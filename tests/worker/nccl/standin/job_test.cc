// The whole communicator over the stand-in, each member a process: what a job does, with a kill.
#include <algorithm>
#include <cstdlib>
#include <span>

#include "tests/worker/nccl/standin/processes.h"
#include "worker/nccl/communicator.h"

namespace muster::nccl {
namespace {

constexpr int kWatchdogCode = 70;

std::unique_ptr<NcclCommunicator> MakeCommunicator(NcclApi& api) {
  NcclOptions options;
  options.api = &api;
  options.limits.init_poll = options.limits.step_poll = std::chrono::milliseconds(1);
  options.expired = [](const std::string&) { ::_exit(kWatchdogCode); };
  auto made = NcclCommunicator::Create(std::move(options));
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

Attempt AttemptOf(std::uint64_t epoch) { return {base::Epoch(epoch), 1}; }

// Rank 0 mints, all install.
absl::Status Install(NcclCommunicator& communicator, Board& board, const Attempt& attempt,
                     int which, int rank, int size) {
  if (rank == 0) {
    MUSTER_ASSIGN_OR_RETURN(const UniqueId minted, communicator.Mint(attempt));
    board.GiveId(which, minted);
  }
  const UniqueId id = board.AwaitId(which);
  MUSTER_RETURN_IF_ERROR(communicator.BeginInstall({attempt, {id, rank, size}, {}}));
  const auto status = communicator.PollInstall(kLongest);
  return status ? *status : base::Unavailable("it took too long");
}

absl::Status Sum(NcclCommunicator& communicator, Numbers& numbers) {
  comm::Reduction reduction;
  reduction.in = std::as_bytes(std::span(numbers.in));
  reduction.out = std::as_writable_bytes(std::span(numbers.out));
  MUSTER_RETURN_IF_ERROR(communicator.BeginAllReduce(reduction));
  const auto status = communicator.Poll(kLongest);
  return status ? *status : base::Unavailable("it took too long");
}

void ExpectQuiet(NcclCommunicator& communicator) {
  const auto quiet = communicator.AwaitQuiet(kLongest);
  ASSERT_TRUE(quiet.has_value());
  EXPECT_TRUE(quiet->ok()) << *quiet;
}

TEST(StandinJobTest, GoesOnWithoutAKilledMember) {
  enum { kUp, kQuiet };
  Processes processes;
  processes.Run(4, [&](NcclApi& api, Board& board, int rank) {
    const auto communicator = MakeCommunicator(api);
    const absl::Status up = Install(*communicator, board, AttemptOf(1), 0, rank, 4);
    ASSERT_TRUE(up.ok()) << up;
    Numbers whole(rank);
    const absl::Status summed = Sum(*communicator, whole);
    ASSERT_TRUE(summed.ok()) << summed;
    EXPECT_TRUE(whole.Right(4));
    board.Count(kUp);
    if (rank == 2) {
      (void)board.AwaitCount(kQuiet, 3);  // killed meanwhile
      return;
    }
    Numbers broken(rank);
    // Rank 0 waits for what never comes until the first of its neighbours aborts.
    EXPECT_EQ(Sum(*communicator, broken).code(), absl::StatusCode::kUnavailable);
    communicator->Abort();
    ExpectQuiet(*communicator);
    EXPECT_TRUE(broken.Spoilt());
    board.Count(kQuiet);
    const int now = std::min(rank, 2);
    const absl::Status again = Install(*communicator, board, AttemptOf(2), 1, now, 3);
    ASSERT_TRUE(again.ok()) << again;
    Numbers fewer(now);
    const absl::Status summed_again = Sum(*communicator, fewer);
    ASSERT_TRUE(summed_again.ok()) << summed_again;
    EXPECT_TRUE(fewer.Right(3));
    communicator->BeginClose();
    ExpectQuiet(*communicator);
  });
  ASSERT_TRUE(processes.board().AwaitCount(kUp, 4));
  processes.Kill(2);
  processes.ExpectAllWell();
}

TEST(StandinJobTest, TheWatchdogEndsAProcessWhoseAbortHangs) {
  Processes processes;
  processes.Run(2, [&](NcclApi& api, Board& board, int rank) {
    ::setenv("MUSTER_STANDIN_NCCL_HANG_ABORT", "1@1", 1);
    NcclOptions options;
    options.api = &api;
    // Rank 0's abort has to end within its own, however busy the machine is.
    if (rank == 1) options.limits.abort = std::chrono::milliseconds(300);
    options.expired = [](const std::string&) { ::_exit(kWatchdogCode); };
    auto communicator = NcclCommunicator::Create(std::move(options));
    ASSERT_TRUE(communicator.ok());
    const absl::Status up = Install(**communicator, board, AttemptOf(1), 0, rank, 2);
    ASSERT_TRUE(up.ok()) << up;
    board.Count(0);
    ASSERT_TRUE(board.AwaitCount(0, 2));
    (*communicator)->Abort();
    ExpectQuiet(**communicator);
  });
  EXPECT_EQ(processes.Await(0), 0);
  EXPECT_EQ(processes.Await(1), kWatchdogCode);
}

}  // namespace
}  // namespace muster::nccl
