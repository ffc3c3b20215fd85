// One block of a kernel: its threads as fibers, its warps, its barrier, its shared memory.
//
// The rules that a kernel breaks are found here, when a thread arrives where it cannot wait, or when
// all that are left wait and none can go on. Thread rule: one launch at a time.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/worker/cuda/simt/fiber.h"
#include "tests/worker/cuda/simt/simt.h"

namespace muster::simt {

// 0, 1, ... count - 1 in an order; `turn` makes each shuffle another one.
void PutInOrder(Order order, std::uint64_t seed, std::uint64_t turn, unsigned count,
                std::vector<unsigned>& out);

// Kept from launch to launch. After a breach they are in the midst of something, and of no use.
using Fibers = std::vector<std::unique_ptr<Fiber>>;

class Block {
 public:
  // Makes the fibers that are missing.
  Block(const Kernel& kernel, const Shape& shape, const Settings& settings, Fibers& fibers);

  // Runs the block to its end, or to a breach.
  std::optional<std::string> Run(uint3 index);

  // For the thread that runs.
  unsigned lane() const { return running_ % 32; }
  void MeetWarp(const Place& place, unsigned mask, void* mine, Together together);
  void MeetBlock(const Place& place);
  [[noreturn]] void Fail(const Place& place, std::string sentence);
  void* shared_memory() const { return shared_; }

 private:
  enum class State { kReady, kInWarp, kAtBarrier, kLeft };
  struct Thread {
    State state = State::kReady;
    Place place{};      // where it waits
    unsigned mask = 0;  // in a warp
    void* mine = nullptr;
    uint3 index{};
  };

  struct Warp {
    unsigned here = 0;  // lanes that the block has and that have not left
    unsigned came = 0;  // lanes that wait in the warp
  };

  static void RunThread(void* block);
  void Resume(unsigned thread);
  // False: none of these can go on, or a breach.
  bool ResumeAll(const unsigned* threads, std::size_t count);
  void Wait();
  [[noreturn]] void FailForAbsent(const Place& place, unsigned mask);
  bool AllCame(unsigned first, unsigned mask, const Place& place) const;
  std::string WhyNoneGoesOn() const;
  std::string OfThread(unsigned thread) const;

  Kernel kernel_;
  Shape shape_;
  Settings settings_;
  unsigned count_ = 0;
  Fibers& fibers_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::unique_ptr<char[]> shared_memory_;
  void* shared_ = nullptr;
  std::size_t shared_bytes_ = 0;
  unsigned running_ = 0;
  unsigned at_barrier_ = 0;
  uint3 index_{};
  std::uint64_t turn_ = 0;
  std::optional<std::string> breach_;
};

}  // namespace muster::simt
