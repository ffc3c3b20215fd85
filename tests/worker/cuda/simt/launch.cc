// A launch: its shape is held against what a GPU has, then its blocks run one after another.
#include <cuda_runtime.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <utility>

#include "tests/worker/cuda/simt/block.h"
#include "tests/worker/cuda/simt/emulator.h"

namespace muster::simt {

Now now;

namespace {

Block* running = nullptr;
// Of the parameters of the launch that is being made.
thread_local std::string wrong_parameter;

std::uint64_t Volume(const dim3& d) { return std::uint64_t{d.x} * d.y * d.z; }

// Of every GPU that the module is for.
cudaError_t CheckShape(const Kernel& kernel, const Shape& shape, Emulator& emulator) {
  constexpr unsigned kMostX = 0x7fffffffu, kMostYZ = 0xffffu, kMostThreadsZ = 64;
  const dim3 &b = shape.blocks, &t = shape.threads;
  if (Volume(b) == 0 || Volume(t) == 0 || Volume(t) > kMostThreads || t.z > kMostThreadsZ ||
      b.x > kMostX || b.y > kMostYZ || b.z > kMostYZ) {
    return cudaErrorInvalidConfiguration;
  }
  const std::lock_guard lock(emulator.mutex);
  const auto asked = emulator.asked_shared_bytes.find(kernel.name);
  const std::size_t most =
      asked == emulator.asked_shared_bytes.end() ? kSharedWithoutAsking : asked->second;
  return shape.shared_bytes > most ? cudaErrorInvalidValue : cudaSuccess;
}

// What the kernel did wrong.
std::optional<std::string> RunBlocks(const Kernel& kernel, const Shape& shape,
                                     const Settings& settings) {
  static Fibers fibers;  // guarded by Emulator::launching
  Block block(kernel, shape, settings, fibers);
  running = &block;
  const auto count = static_cast<unsigned>(Volume(shape.blocks));
  std::vector<unsigned> order;
  PutInOrder(settings.blocks, settings.seed, 0, count, order);
  std::optional<std::string> breach;
  for (std::size_t i = 0; i < order.size() && !breach; ++i) {
    const unsigned at = order[i];
    breach = block.Run({at % shape.blocks.x, at / shape.blocks.x % shape.blocks.y,
                        at / shape.blocks.x / shape.blocks.y});
  }
  if (breach) fibers.clear();
  running = nullptr;
  return breach;
}

bool IsMapped(std::uintptr_t address) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char resident = 0;
  return mincore(reinterpret_cast<void*>(address / page * page), 1, &resident) == 0;
}

}  // namespace

unsigned Lane() { return running->lane(); }
void Fail(const Place& place, std::string sentence) { running->Fail(place, std::move(sentence)); }
void MeetWarp(const Place& place, unsigned mask, void* mine, Together together) {
  running->MeetWarp(place, mask, mine, together);
}
void MeetBlock(const Place& place) { running->MeetBlock(place); }
void* SharedMemory() { return running->shared_memory(); }

void CheckWidth(const Place& place, int width) {
  if (width >= 1 && width <= 32 && (width & (width - 1)) == 0) return;
  Fail(place, "the width is " + std::to_string(width) + "; 1, 2, 4, 8, 16 and 32 are allowed");
}

// A structure's words are only taken for pointers where they are addresses that this process has,
// above where lengths and indices lie: programs, heap and stacks are up there.
void CheckParameter(std::size_t position, const void* bytes, std::size_t size, bool exact) {
  constexpr std::uintptr_t kLeast = std::uintptr_t{1} << 45, kMost = std::uintptr_t{1} << 47;
  const Memory& memory = TheEmulator().memory;
  for (std::size_t offset = 0; offset + sizeof(std::uintptr_t) <= size; offset += 8) {
    std::uintptr_t word = 0;
    std::memcpy(&word, static_cast<const char*>(bytes) + offset, sizeof word);
    const bool is_pointer = exact ? word != 0 : word >= kLeast && word < kMost && IsMapped(word);
    if (!is_pointer || memory.Has(reinterpret_cast<const void*>(word), 0)) continue;
    wrong_parameter = "parameter " + std::to_string(position) +
                      (exact ? "" : " holds at byte " + std::to_string(offset) + " what") +
                      " is no device memory: it is the host's, or was freed";
  }
}

void RunKernel(const Kernel& kernel, const Shape& shape, cudaStream_t stream) {
  Emulator& emulator = TheEmulator();
  const std::string parameter = std::exchange(wrong_parameter, "");
  if (!IsStream(stream)) {
    Breach("launch: its stream is none of this device", cudaErrorInvalidResourceHandle);
    return;
  }
  const cudaError_t unfit = CheckShape(kernel, shape, emulator);
  if (unfit != cudaSuccess) {
    Failed(unfit);
    return;
  }
  if (!parameter.empty()) {
    Breach("launch: " + parameter, cudaErrorLaunchFailure);
    return;
  }
  emulator.late.DoStream(stream);
  const std::lock_guard launching(emulator.launching);
  Settings settings;
  {
    const std::lock_guard lock(emulator.mutex);
    ++emulator.launches;
    settings = emulator.settings;
  }
  emulator.memory.Open();
  std::optional<std::string> breach = RunBlocks(kernel, shape, settings);
  const std::string written = emulator.memory.Close();
  if (!breach && !written.empty()) breach = written;
  if (breach) Breach(*breach, cudaErrorLaunchFailure);
}

}  // namespace muster::simt
