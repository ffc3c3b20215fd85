// Ranks that are forked, with memory that they share to meet in: a rank can be killed.
//
// Thread rule: one thread, in a process that has no other: a fork takes only the caller along.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include "tests/worker/nccl/standin/load.h"

namespace muster::nccl {

// In memory that all ranks and the test see.
struct Board {
  std::array<std::atomic<bool>, 8> has_id{};
  std::array<UniqueId, 8> ids{};
  std::array<std::atomic<int>, 16> counts{};

  void Count(int which) { ++counts[static_cast<std::size_t>(which)]; }
  // False when it never comes.
  bool AwaitCount(int which, int count) {
    return Soon([&] { return counts[static_cast<std::size_t>(which)] >= count; });
  }
  void GiveId(int which, const UniqueId& id) {
    ids[static_cast<std::size_t>(which)] = id;
    has_id[static_cast<std::size_t>(which)] = true;
  }
  UniqueId AwaitId(int which) {
    EXPECT_TRUE(Soon([&] { return has_id[static_cast<std::size_t>(which)].load(); }));
    return ids[static_cast<std::size_t>(which)];
  }
  // Rank 0 makes it, in its own process.
  UniqueId Share(NcclApi& api, int which, int rank) {
    if (rank != 0) return AwaitId(which);
    UniqueId id;
    EXPECT_TRUE(api.GetUniqueId(&id).ok());
    GiveId(which, id);
    return id;
  }

  template <typename Condition>
  static bool Soon(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + kLongest;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
};

class Processes {
 public:
  Processes()
      : board_(new(::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Board) {}
  ~Processes() {
    for (const pid_t pid : pids_) {
      if (pid <= 0) continue;
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    ::munmap(board_, sizeof(Board));
  }
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  Board& board() { return *board_; }

  // Failures of a rank are told by gtest in its process, and by its exit code here.
  void Run(int size, const std::function<void(NcclApi&, Board&, int rank)>& run) {
    std::fflush(nullptr);
    for (int rank = 0; rank < size; ++rank) {
      const pid_t pid = ::fork();
      ASSERT_GE(pid, 0);
      if (pid == 0) {
        if (const auto api = LoadStandin()) run(*api, *board_, rank);
        std::fflush(nullptr);
        ::_exit(testing::Test::HasFailure() ? 1 : 0);
      }
      pids_.push_back(pid);
    }
  }
  void Kill(int rank) {
    const pid_t pid = std::exchange(pids_[static_cast<std::size_t>(rank)], 0);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  // The exit code, minus the signal, or 1000 for one that did not end.
  int Await(int rank) {
    pid_t& pid = pids_[static_cast<std::size_t>(rank)];
    int status = 0;
    const bool ended = Board::Soon([&] { return ::waitpid(pid, &status, WNOHANG) == pid; });
    if (!ended) return 1000;
    pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void ExpectAllWell() {
    for (std::size_t rank = 0; rank < pids_.size(); ++rank) {
      if (pids_[rank] <= 0) continue;
      EXPECT_EQ(Await(static_cast<int>(rank)), 0) << "rank " << rank;
    }
  }

 private:
  Board* const board_;
  std::vector<pid_t> pids_;
};

}  // namespace muster::nccl
