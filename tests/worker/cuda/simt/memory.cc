#include "tests/worker/cuda/simt/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace muster::simt {
namespace {

constexpr std::size_t kAround = 256;  // and CUDA's alignment
constexpr char kUntouched = 0x5a;
constexpr int kFresh = 0xa7;

#if defined(__SANITIZE_ADDRESS__)
void Admit(const void* at, std::size_t bytes) { __asan_unpoison_memory_region(at, bytes); }
void Refuse(const void* at, std::size_t bytes) { __asan_poison_memory_region(at, bytes); }
#else
void Admit(const void*, std::size_t) {}
void Refuse(const void*, std::size_t) {}
#endif

bool Untouched(const char* at, std::size_t bytes) {
  return std::all_of(at, at + bytes, [](char c) { return c == kUntouched; });
}

}  // namespace

void* Memory::Allocate(int device, std::size_t bytes, std::size_t limit) {
  const std::size_t used = Used(device);
  if (used > limit || bytes > limit - used) return nullptr;
  void* block = nullptr;
  if (posix_memalign(&block, kAround, bytes + 2 * kAround) != 0) return nullptr;
  char* const begin = static_cast<char*>(block);
  char* const at = begin + kAround;
  std::memset(begin, kUntouched, kAround);
  std::memset(at, kFresh, bytes);
  std::memset(at + bytes, kUntouched, kAround);
  Refuse(begin, bytes + 2 * kAround);
  const std::lock_guard lock(mutex_);
  allocations_[at] = {bytes, device, begin};
  return at;
}

bool Memory::Free(void* at) {
  const std::lock_guard lock(mutex_);
  const auto found = allocations_.find(static_cast<const char*>(at));
  if (found == allocations_.end()) return false;
  Admit(found->second.block, found->second.bytes + 2 * kAround);
  std::free(found->second.block);
  allocations_.erase(found);
  return true;
}

std::size_t Memory::Used(int device) const {
  const std::lock_guard lock(mutex_);
  std::size_t used = 0;
  for (const auto& [at, allocation] : allocations_) {
    if (allocation.device == device) used += allocation.bytes;
  }
  return used;
}

std::size_t Memory::count() const {
  const std::lock_guard lock(mutex_);
  return allocations_.size();
}

bool Memory::HasLocked(const void* at, std::size_t bytes) const {
  const char* const first = static_cast<const char*>(at);
  auto found = allocations_.upper_bound(first);
  if (found == allocations_.begin()) return false;
  --found;
  const auto offset = static_cast<std::size_t>(first - found->first);
  return offset <= found->second.bytes && bytes <= found->second.bytes - offset;
}

bool Memory::Has(const void* at, std::size_t bytes) const {
  const std::lock_guard lock(mutex_);
  return HasLocked(at, bytes);
}

std::string Memory::CopyBytes(void* to, const void* from, std::size_t bytes, Copy direction) {
  const bool to_device = direction == Copy::kToDevice || direction == Copy::kOnDevice;
  const bool from_device = direction == Copy::kToHost || direction == Copy::kOnDevice;
  const std::lock_guard lock(mutex_);
  if (to_device && !HasLocked(to, bytes)) return "its target is no device memory of that length";
  if (from_device && !HasLocked(from, bytes))
    return "its source is no device memory of that length";
  if (!to_device && HasLocked(to, 1)) return "its target is device memory";
  if (!from_device && HasLocked(from, 1)) return "its source is device memory";
  if (to_device) Admit(to, bytes);
  if (from_device) Admit(from, bytes);
  std::memmove(to, from, bytes);
  if (to_device) Refuse(to, bytes);
  if (from_device) Refuse(from, bytes);
  return "";
}

std::string Memory::Fill(void* at, int value, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!HasLocked(at, bytes)) return "it fills no device memory of that length";
  Admit(at, bytes);
  std::memset(at, value, bytes);
  Refuse(at, bytes);
  return "";
}

void Memory::Open() {
  const std::lock_guard lock(mutex_);
  for (const auto& [at, allocation] : allocations_) Admit(at, allocation.bytes);
}

std::string Memory::Close() {
  const std::lock_guard lock(mutex_);
  std::string wrong;
  for (const auto& [at, allocation] : allocations_) {
    Admit(allocation.block, allocation.bytes + 2 * kAround);
    char* const after = allocation.block + kAround + allocation.bytes;
    const bool before_touched = !Untouched(allocation.block, kAround);
    if (before_touched || !Untouched(after, kAround)) {
      wrong = std::string("something was written ") + (before_touched ? "before" : "after") +
              " an allocation of " + std::to_string(allocation.bytes) + " bytes";
      std::memset(allocation.block, kUntouched, kAround);
      std::memset(after, kUntouched, kAround);
    }
    Refuse(allocation.block, allocation.bytes + 2 * kAround);
  }
  return wrong;
}

}  // namespace muster::simt
