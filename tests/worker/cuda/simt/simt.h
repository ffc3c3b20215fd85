// CUDA's execution model on a CPU, for tests: the .cu sources as they are, in a host compiler's
// machine code, with the headers of include/ in the place of CUDA's.
//
// Each thread of a block is a fiber that runs until it waits for others; blocks run one after
// another. The order of both is chosen here, and a kernel whose bits depend on it has a race or
// lacks a barrier. What a GPU would answer with wrong numbers or a hang is a breach: the launch
// ends, returns cudaErrorLaunchFailure, and says in a sentence what the kernel did. Breaches are:
//
//   - threads that wait for others that left, or that wait somewhere else; a mask that names threads
//     which are not there, or not the caller; a shuffle that reads of a thread not named
//   - memory of the host given to a kernel; copies in the wrong direction or past an allocation;
//     writes of a kernel around an allocation, where they touch the 256 bytes on either side (under
//     AddressSanitizer every access is seen, also the host's to device memory)
//
// A thread that needs more stack than kStackBytes ends the process.
//
// What cannot be seen: docs/gpu.md. Thread rule: any thread; launches wait for each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace muster::simt {

enum class Order { kAscending, kDescending, kShuffled };

struct Settings {
  Order blocks = Order::kAscending;
  Order threads = Order::kAscending;  // of a block; shuffled anew whenever all have had their turn
  std::uint64_t seed = 1;             // of what is shuffled
  // A warp goes as far as it can before another one has its turn: the last to come to a barrier is
  // at the next one before the others have begun. Otherwise all march evenly.
  bool by_warps = false;
  int devices = 1;
  std::size_t device_bytes = std::size_t{16} << 30;
  // What is given to a stream is done when somebody waits for it, and not at once: what a copy of
  // page-locked memory reads then is what is there then.
  bool late = false;
  // What a graph's maker is answered.
  bool captures_fail = false, instantiations_fail = false;
  // What a block may have after cudaFuncSetAttribute: the least of the GPUs that the module has
  // machine code for (A100; newer ones have 227 KiB).
  std::size_t most_shared_bytes = std::size_t{163} << 10;
};

// For all that follows. Kernels, devices and what is allocated stay.
void Configure(const Settings& settings);

// The sentences since the last call.
std::vector<std::string> TakeBreaches();

struct Counts {
  std::int64_t launches = 0;             // that began; since the program started
  std::int64_t allocated = 0;            // cudaMalloc without cudaFree
  std::int64_t page_locked = 0;          // cudaMallocHost without cudaFreeHost
  std::int64_t streams = 0, events = 0;  // created and not destroyed
  std::int64_t graphs = 0;               // captured or instantiated, and not destroyed
  std::int64_t graph_launches = 0;       // since the program started
};
Counts CountAll();

inline constexpr std::size_t kStackBytes = std::size_t{256} << 10;
inline constexpr std::size_t kSharedWithoutAsking = std::size_t{48} << 10;
inline constexpr unsigned kMostThreads = 1024;

}  // namespace muster::simt
