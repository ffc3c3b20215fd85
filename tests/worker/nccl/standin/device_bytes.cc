#include "tests/worker/nccl/standin/device_bytes.h"

#include <cstdint>

#include "tests/worker/nccl/standin/nccl.h"

#define MUSTER_NOT_INSTRUMENTED __attribute__((no_sanitize_address))

namespace muster::standin {
namespace {

template <typename T>
T Sum(T a, T b) {
  return static_cast<T>(a + b);
}

// As unsigned, where an overflow is defined.
template <typename T, typename Unsigned>
bool CombineAs(int op, const void* with, void* into, std::size_t count) {
  const T* const other = static_cast<const T*>(with);
  T* const mine = static_cast<T*>(into);
  for (std::size_t i = 0; i < count; ++i) {
    if (op == kSum) {
      mine[i] =
          static_cast<T>(Sum(static_cast<Unsigned>(mine[i]), static_cast<Unsigned>(other[i])));
    } else if (op == kMax) {
      if (other[i] > mine[i]) mine[i] = other[i];
    } else {
      return false;
    }
  }
  return true;
}

// A loop and no memcpy, which AddressSanitizer would look into (see also CMakeLists.txt).
MUSTER_NOT_INSTRUMENTED void CopyWords(const char* from, char* to, std::size_t bytes) {
  std::size_t i = 0;
  const bool whole = (reinterpret_cast<std::uintptr_t>(from) % 8 == 0) &&
                     (reinterpret_cast<std::uintptr_t>(to) % 8 == 0);
  using Word __attribute__((may_alias)) = std::uint64_t;
  for (; whole && i + 8 <= bytes; i += 8) {
    *reinterpret_cast<Word*>(to + i) = *reinterpret_cast<const Word*>(from + i);
  }
  for (; i < bytes; ++i) to[i] = from[i];
}

}  // namespace

void ReadDevice(const void* device, void* to, std::size_t bytes) {
  CopyWords(static_cast<const char*>(device), static_cast<char*>(to), bytes);
}
void WriteDevice(const void* from, void* device, std::size_t bytes) {
  CopyWords(static_cast<const char*>(from), static_cast<char*>(device), bytes);
}
MUSTER_NOT_INSTRUMENTED void SpoilDevice(void* device, std::size_t bytes) {
  auto* const at = static_cast<unsigned char*>(device);
  for (std::size_t i = 0; i < bytes; ++i) at[i] = kGarbage;
}

std::size_t BytesOf(int type) {
  switch (type) {
    case kInt32:
    case kFloat32:
      return 4;
    case kInt64:
      return 8;
    default:
      return 0;
  }
}

bool Combine(int op, int type, const void* with, void* into, std::size_t count) {
  switch (type) {
    case kInt32:
      return CombineAs<std::int32_t, std::uint32_t>(op, with, into, count);
    case kInt64:
      return CombineAs<std::int64_t, std::uint64_t>(op, with, into, count);
    case kFloat32:
      return CombineAs<float, float>(op, with, into, count);
    default:
      return false;
  }
}

}  // namespace muster::standin
