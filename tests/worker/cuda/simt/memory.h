// What the emulated devices have handed out: memory of devices and page-locked memory of the host,
// streams, events.
//
// An allocation is memory of the heap with 256 bytes before and after it, which no one may touch.
// Fresh memory holds a pattern and no zeros. Between launches AddressSanitizer refuses it to
// everyone, as a GPU's memory is out of the host's reach. Thread rule: guarded by its own lock.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace muster::simt {

enum class Copy { kToDevice, kToHost, kOnDevice, kOnHost };

class Memory {
 public:
  // Null when `limit` bytes would not do for all of a device.
  void* Allocate(int device, std::size_t bytes, std::size_t limit);
  // False: it is none.
  bool Free(void* at);
  std::size_t Used(int device) const;
  std::size_t count() const;

  // Whether the bytes lie in one allocation.
  bool Has(const void* at, std::size_t bytes) const;
  // Whether any allocation has the byte.
  bool IsOfDevice(const void* at) const { return Has(at, 1); }

  // Empty, or what is wrong with the copy.
  std::string CopyBytes(void* to, const void* from, std::size_t bytes, Copy direction);
  std::string Fill(void* at, int value, std::size_t bytes);

  // While a kernel runs.
  void Open();
  // Empty, or which allocation had something written around it.
  std::string Close();

 private:
  struct Allocation {
    std::size_t bytes = 0;
    int device = 0;
    char* block = nullptr;  // with what lies around it
  };
  bool HasLocked(const void* at, std::size_t bytes) const;

  mutable std::mutex mutex_;
  std::map<const char*, Allocation> allocations_;
};

}  // namespace muster::simt
