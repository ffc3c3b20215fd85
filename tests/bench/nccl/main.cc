// NCCL under Muster's communicator, by processes of this machine that share its first GPU: what
// docs/nccl.md assumes and a GPU alone can show.
//
//   nccl_bench sums|rebuilds|failed|aborts|killed|killed-init [--ranks N] [--count N]
//              [--most-bytes N] [--queue-bytes N] [--queue-seconds X] [--init-seconds X] [--limit X]
//
//   sums         an all-reduce of integers and floats of each size, every element checked
//   rebuilds     COUNT times: abort, install with a new id, a right sum; what each leaves behind
//   failed       COUNT inits to which one rank never comes, then a whole one
//   aborts       an abort while kernels of so many seconds are queued before a sum that hangs
//   killed       COUNT times: the last rank is killed in a sum; the others rebuild without it
//   killed-init  the same while it enters a communicator
//
// MUSTER_CUDA_MODULE names the module; NCCL is found as a worker finds it. Lines of JSON; exit
// status 0 when every rank did all of it, 1 when not.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <new>
#include <string_view>

#include "tests/bench/nccl/member.h"
#include "worker/nccl/environment.h"

namespace muster::nccl_bench {
namespace {

void RunRank(const Settings& settings, Board& board, int rank) {
  // Before any thread, as a worker does it.
  nccl::ApplyToProcess(nccl::MakeChanges(nccl::ProcessEnvironment));
  nccl::ApplyToProcess(nccl::MakeSharedGpuChanges(nccl::ProcessEnvironment, ::getpid()));
  if (settings.mode == "sums") RunSums(settings, board, rank);
  if (settings.mode == "rebuilds") RunRebuilds(settings, board, rank);
  if (settings.mode == "failed") RunFailedInits(settings, board, rank);
  if (settings.mode == "aborts") RunAborts(settings, board, rank);
  if (settings.mode == "killed") RunKilled(settings, board, rank, false);
  if (settings.mode == "killed-init") RunKilled(settings, board, rank, true);
}

// Whether all ranks ended well, but for the one that was to be killed.
bool RunOnce(const Settings& settings, int victim) {
  void* const shared =
      ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return false;
  auto* const board = new (shared) Board;
  std::vector<pid_t> pids;
  for (int rank = 0; rank < settings.ranks; ++rank) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      RunRank(settings, *board, rank);
      ::_exit(0);
    }
    pids.push_back(pid);
  }
  if (victim >= 0 && Board::Soon(settings.limit, [&] { return board->ready.load(); })) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ::kill(pids[static_cast<std::size_t>(victim)], SIGKILL);
    board->killed = Seconds();
  }
  bool good = true;
  // Every wait of a rank is bounded by the limit, and so is their number.
  const double until = Seconds() + settings.limit * (4 + settings.count);
  for (std::size_t rank = 0; rank < pids.size(); ++rank) {
    int status = 0;
    if (!Board::Soon(until - Seconds(),
                     [&] { return ::waitpid(pids[rank], &status, WNOHANG) == pids[rank]; })) {
      ::kill(pids[rank], SIGKILL);
      ::waitpid(pids[rank], &status, 0);
    }
    const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (well || (static_cast<int>(rank) == victim && killed)) continue;
    good = false;
    Tell("{\"failed\": \"the rank's process ended with wait status " + std::to_string(status) +
         "\", \"rank\": " + std::to_string(rank) + "}");
  }
  ::munmap(shared, sizeof(Board));
  return good;
}

bool RunMode(const Settings& settings) {
  if (!settings.mode.starts_with("killed")) return RunOnce(settings, -1);
  bool good = true;
  for (int i = 0; i < settings.count; ++i) good &= RunOnce(settings, settings.ranks - 1);
  return good;
}

template <typename T>
bool Number(const char* text, T least, T most, T& out) {
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), out);
  return error == std::errc() && *end == '\0' && out >= least && out <= most;
}

bool Parse(int argc, char** argv, Settings& settings) {
  constexpr const char* kModes[] = {"sums",   "rebuilds", "failed",
                                    "aborts", "killed",   "killed-init"};
  if (argc < 2 || argc % 2 != 0) return false;
  settings.mode = argv[1];
  bool known = false;
  for (const char* mode : kModes) known |= settings.mode == mode;
  for (int i = 2; known && i < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* const value = argv[i + 1];
    if (name == "--ranks")
      known = Number(value, 1, 8, settings.ranks);
    else if (name == "--count")
      known = Number(value, 1, 60, settings.count);
    else if (name == "--most-bytes")
      known = Number<std::int64_t>(value, 8, 1ll << 34, settings.most);
    else if (name == "--queue-bytes")
      known = Number<std::int64_t>(value, 4, 1ll << 36, settings.queue);
    else if (name == "--queue-seconds")
      known = Number(value, 0.0, 60.0, settings.longest_queue);
    else if (name == "--init-seconds")
      known = Number(value, 0.01, 60.0, settings.init_seconds);
    else if (name == "--limit")
      known = Number(value, 0.1, 600.0, settings.limit);
    else
      known = false;
  }
  // Somebody has to be left, or to be absent.
  return known && (settings.ranks > 1 || settings.mode == "sums" || settings.mode == "rebuilds" ||
                   settings.mode == "failed");
}

}  // namespace
}  // namespace muster::nccl_bench

int main(int argc, char** argv) {
  muster::nccl_bench::Settings settings;
  if (!muster::nccl_bench::Parse(argc, argv, settings)) {
    std::fprintf(stderr,
                 "usage: nccl_bench sums|rebuilds|failed|aborts|killed|killed-init [--ranks 1..8] "
                 "[--count 1..60]\n       [--most-bytes 8..2^34] [--queue-bytes 4..2^36] "
                 "[--queue-seconds 0..60] [--init-seconds 0.01..60] [--limit 0.1..600]\n");
    return 2;
  }
  return muster::nccl_bench::RunMode(settings) ? 0 : 1;
}
