// One process of nccl_bench: a context of the CUDA module, NCCL as a worker has it, and numbers whose
// sum is known. What fails ends the process with a sentence; its parent counts it.
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tests/bench/nccl/board.h"
#include "worker/device/context.h"
#include "worker/nccl/communicator.h"
#include "worker/nccl/leaks.h"
#include "worker/nccl/library.h"

namespace muster::nccl_bench {

struct Settings {
  std::string mode;
  int ranks = 2;
  int count = 20;                  // rebuilds, failed inits or kills
  std::int64_t most = 64 << 20;    // bytes of the largest sum
  std::int64_t queue = 4ll << 30;  // bytes that one queued kernel reads
  double longest_queue = 0.5;      // seconds of queued kernels
  double init_seconds = 1;         // how long a failed init is waited for
  double limit = 30;               // of any single wait
};

[[noreturn]] void Fail(int rank, const std::string& sentence);
void Require(int rank, const absl::Status& status, const char* what);
// One line of JSON to standard output, whole.
void Tell(const std::string& line);

class Member {
 public:
  Member(const Settings& settings, Board& board, int rank);

  int rank() const { return rank_; }
  nccl::NcclCommunicator& nccl() { return *communicator_; }
  device::Context& context() { return *context_; }
  // As of now: descriptors, threads, bytes of the device that are free (-1: the driver does not say).
  nccl::Usage Usage() const;
  std::int64_t FreeBytes() const;

  // Seconds of an install in the round's own epoch; rank 0 mints the id. `size` may count members
  // that never come.
  double Install(std::size_t round, int size);
  absl::Status TryInstall(std::size_t round, int size);
  void BeginInstall(std::size_t round, int size);
  // Seconds from an Abort until nothing of NCCL's runs on the device.
  double AbortAndAwaitQuiet();

  // What rank r gives: elements that are small integers, so that every type holds their sum exactly.
  // Prepared once, then reduced as often as one likes.
  void Prepare(comm::ElementType type, std::int64_t bytes);
  void BeginSum();
  absl::Status FinishSum();
  double TimedSum();                  // seconds of one that has to succeed
  void ExpectSum(int size);           // ends the process where an element is wrong
  void ExpectInputUntouched() const;  // M4

 private:
  template <typename T>
  void Fill();
  template <typename T>
  bool IsSum(int size) const;

  const Settings& settings_;
  Board& board_;
  const int rank_;
  std::unique_ptr<device::Context> context_;
  device::Event done_;
  std::unique_ptr<nccl::Library> library_;
  std::unique_ptr<nccl::NcclApi> api_;
  std::unique_ptr<nccl::NcclCommunicator> communicator_;

  comm::ElementType type_ = comm::ElementType::kInt64;
  std::vector<std::byte> numbers_;
  mutable std::vector<std::byte> read_;
  device::Memory in_, out_;
};

// One for each test of what a device does; every rank runs it.
void RunSums(const Settings& settings, Board& board, int rank);
void RunRebuilds(const Settings& settings, Board& board, int rank);
void RunFailedInits(const Settings& settings, Board& board, int rank);
void RunAborts(const Settings& settings, Board& board, int rank);
// The last rank waits to be killed, in a sum or (`in_init`) while it enters a communicator.
void RunKilled(const Settings& settings, Board& board, int rank, bool in_init);

}  // namespace muster::nccl_bench
