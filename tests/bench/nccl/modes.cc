#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "tests/bench/nccl/member.h"

namespace muster::nccl_bench {
namespace {

double MedianOf(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

template <typename... Values>
std::string Text(const char* format, Values... values) {
  std::array<char, 512> text;
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

// Descriptors, threads and free memory of this process, as members of a JSON object.
std::string UsageOf(const Member& member) {
  const nccl::Usage usage = member.Usage();
  return Text("\"fds\": %ld, \"threads\": %ld, \"freeBytes\": %ld", static_cast<long>(usage.fds),
              static_cast<long>(usage.threads), static_cast<long>(member.FreeBytes()));
}

void MeetOrFail(Board& board, const Settings& settings, int rank, std::size_t meeting, int size) {
  if (!board.Meet(meeting, size, settings.limit)) Fail(rank, "another rank did not come");
}

const char* NameOf(comm::ElementType type) {
  if (type == comm::ElementType::kInt32) return "int32";
  return type == comm::ElementType::kInt64 ? "int64" : "float";
}

}  // namespace

void RunSums(const Settings& settings, Board& board, int rank) {
  Member member(settings, board, rank);
  const double installed = member.Install(0, settings.ranks);
  if (rank == 0) Tell(Text("{\"ranks\": %d, \"installSeconds\": %.4f}", settings.ranks, installed));
  for (const auto type :
       {comm::ElementType::kInt32, comm::ElementType::kInt64, comm::ElementType::kFloat32}) {
    for (std::int64_t bytes = 8; bytes <= settings.most; bytes *= 32) {
      member.Prepare(type, bytes);
      std::vector<double> times;
      for (int i = 0; i < 6; ++i) {
        const double seconds = member.TimedSum();
        if (i > 0) times.push_back(seconds);
      }
      member.ExpectSum(settings.ranks);
      if (rank != 0) continue;
      const double median = MedianOf(times);
      const double share = 2.0 * (settings.ranks - 1) / settings.ranks;
      Tell(
          Text("{\"ranks\": %d, \"type\": \"%s\", \"bytes\": %ld, \"medianSeconds\": %.6f, "
               "\"busGBs\": %.4f, \"verified\": true}",
               settings.ranks, NameOf(type), static_cast<long>(bytes), median,
               static_cast<double>(bytes) / median * share / 1e9));
    }
  }
  // Nobody aborts while another one still waits for its sum.
  MeetOrFail(board, settings, rank, 0, settings.ranks);
  member.AbortAndAwaitQuiet();
}

void RunRebuilds(const Settings& settings, Board& board, int rank) {
  Member member(settings, board, rank);
  member.Prepare(comm::ElementType::kInt64, 1 << 16);
  for (int i = 0; i <= settings.count; ++i) {
    const auto round = static_cast<std::size_t>(i);
    const double installed = member.Install(round, settings.ranks);
    member.TimedSum();
    member.ExpectSum(settings.ranks);
    MeetOrFail(board, settings, rank, round, settings.ranks);
    const std::string usage = UsageOf(member);
    const double quiet = member.AbortAndAwaitQuiet();
    Tell(Text("{\"rank\": %d, \"rebuild\": %d, \"installSeconds\": %.4f, \"quietSeconds\": %.4f, ",
              rank, i, installed, quiet) +
         usage + "}");
    MeetOrFail(board, settings, rank, 128 + round, settings.ranks);
  }
}

void RunFailedInits(const Settings& settings, Board& board, int rank) {
  Member member(settings, board, rank);
  Tell(Text("{\"rank\": %d, \"failedInit\": 0, ", rank) + UsageOf(member) + "}");
  for (int i = 1; i <= settings.count; ++i) {
    const auto round = static_cast<std::size_t>(i);
    const double begin = Seconds();
    const absl::Status status = member.TryInstall(round, settings.ranks + 1);
    const double told = Seconds() - begin;
    if (status.ok()) Fail(rank, "an init succeeded to which one rank never came");
    const double quiet = member.AbortAndAwaitQuiet();
    Tell(Text("{\"rank\": %d, \"failedInit\": %d, \"toldSeconds\": %.4f, \"quietSeconds\": %.4f, ",
              rank, i, told, quiet) +
         UsageOf(member) + "}");
    MeetOrFail(board, settings, rank, round, settings.ranks);
  }
  // And the process is as good as it was; its init has the failed ones' time limit.
  member.Prepare(comm::ElementType::kInt64, 1 << 16);
  const double begin = Seconds();
  const absl::Status status = member.TryInstall(kRounds - 1, settings.ranks);
  if (!status.ok()) {
    Fail(rank, "after the failed inits a whole one failed: " + base::Message(status));
  }
  const double installed = Seconds() - begin;
  member.TimedSum();
  member.ExpectSum(settings.ranks);
  MeetOrFail(board, settings, rank, kMeetings - 1, settings.ranks);
  member.AbortAndAwaitQuiet();
  Tell(Text("{\"rank\": %d, \"wholeInitAfterThem\": true, \"installSeconds\": %.4f}", rank,
            installed));
}

void RunAborts(const Settings& settings, Board& board, int rank) {
  Member member(settings, board, rank);
  device::Context& context = member.context();
  const bool absent = rank == settings.ranks - 1;  // never enters the sum that is aborted
  member.Prepare(comm::ElementType::kInt64, 1 << 20);
  device::Memory work(context, settings.queue), fold(context, 8);
  context.Do(&MusterCudaModule::clear, work.data(), settings.queue);
  const auto enqueue = [&](int count) {
    for (int i = 0; i < count; ++i) {
      context.Do(&MusterCudaModule::digest, work.as<const float>(), settings.queue / 4,
                 std::uint64_t{0}, std::uint32_t{0}, fold.as<std::uint64_t>());
    }
  };
  enqueue(1);
  context.Synchronise();
  const double begin = Seconds();
  enqueue(4);
  context.Synchronise();
  const double one = (Seconds() - begin) / 4;
  std::size_t round = 0;
  for (const double share : {0.0, 0.1, 1.0}) {
    for (int repeat = 0; repeat < 3; ++repeat, ++round) {
      member.Install(round, settings.ranks);
      const int kernels = static_cast<int>(share * settings.longest_queue / one);
      double told = 0, quiet = 0;
      if (!absent) {
        enqueue(kernels);
        member.BeginSum();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        quiet = member.AbortAndAwaitQuiet();
        told = one * kernels;
        member.ExpectInputUntouched();
        Tell(
            Text("{\"rank\": %d, \"queuedKernels\": %d, \"queuedSeconds\": %.4f, "
                 "\"abortToQuietSeconds\": %.4f, \"inputUntouched\": true}",
                 rank, kernels, told, quiet));
      }
      MeetOrFail(board, settings, rank, 2 * round, settings.ranks);
      if (absent) member.AbortAndAwaitQuiet();
      MeetOrFail(board, settings, rank, 2 * round + 1, settings.ranks);
    }
  }
  // Re-init in this process, and a right sum.
  const double installed = member.Install(round, settings.ranks);
  member.TimedSum();
  member.ExpectSum(settings.ranks);
  MeetOrFail(board, settings, rank, 2 * round, settings.ranks);
  member.AbortAndAwaitQuiet();
  Tell(Text("{\"rank\": %d, \"installAfterAbortsSeconds\": %.4f}", rank, installed));
}

void RunKilled(const Settings& settings, Board& board, int rank, bool in_init) {
  Member member(settings, board, rank);
  member.Prepare(comm::ElementType::kInt64, std::min<std::int64_t>(settings.most, 16 << 20));
  const bool victim = rank == settings.ranks - 1;
  if (in_init) {
    member.Install(0, settings.ranks);
    member.TimedSum();
    MeetOrFail(board, settings, rank, 0, settings.ranks);
    member.AbortAndAwaitQuiet();
    member.BeginInstall(1, settings.ranks);
    if (victim) board.ready = true;
  } else {
    member.Install(1, settings.ranks);
    for (int i = 0; i < 3; ++i) member.TimedSum();
    member.BeginSum();
    if (victim) board.ready = true;
  }
  // Sums follow each other until the kill is told, as a coordinator would tell it.
  while (board.killed == 0) {
    if (victim || in_init) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    const auto status = member.nccl().Poll(std::chrono::milliseconds(1));
    if (status && status->ok()) member.BeginSum();
    if (status && !status->ok()) break;
  }
  if (victim) Fail(rank, "it was not killed");
  if (!Board::Soon(settings.limit, [&] { return board.killed != 0; })) Fail(rank, "no kill came");
  const double told = Seconds();
  const double quiet = member.AbortAndAwaitQuiet();
  if (!in_init) member.ExpectInputUntouched();
  const double installed = member.Install(2, settings.ranks - 1);
  member.TimedSum();
  const double end = Seconds();
  member.ExpectSum(settings.ranks - 1);
  Tell(
      Text("{\"rank\": %d, \"ranks\": %d, \"killedIn\": \"%s\", \"toldSeconds\": %.4f, "
           "\"quietSeconds\": %.4f, \"installSeconds\": %.4f, \"killToSumSeconds\": %.4f}",
           rank, settings.ranks, in_init ? "init" : "sum", told - board.killed, quiet, installed,
           end - board.killed));
  MeetOrFail(board, settings, rank, 1, settings.ranks - 1);
  member.AbortAndAwaitQuiet();
}

}  // namespace muster::nccl_bench
