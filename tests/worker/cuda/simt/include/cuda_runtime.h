// Stands in for CUDA's header of this name: what a kernel sees of its thread and of the others.
//
// An exchange within a warp is a meeting: each thread brings what it gives, waits as a fiber until
// all that its mask names have come to the same place, and the last one to come works out what each
// gets. Thread rule: only in a kernel that simt::Launch runs.
#pragma once

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>

inline constexpr int warpSize = 32;

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace muster::simt {

// Where a thread waits. Two are the same when all three are.
struct Place {
  const char* what;
  const char* file;
  int line;
};

struct Now {
  uint3 thread{}, block{};
  dim3 threads, blocks;
};
extern Now now;  // of the thread that runs

unsigned Lane();
// Ends the launch with this sentence (a "breach", simt.h).
[[noreturn]] void Fail(const Place& place, std::string sentence);

// What lane i brought is lanes[i]; those that the mask does not name are null.
using Together = void (*)(const Place& place, void* const* lanes);
void MeetWarp(const Place& place, unsigned mask, void* mine, Together together);
void MeetBlock(const Place& place);
void* SharedMemory();

template <typename T>
struct Shuffle {
  T value;
  int from;
};

template <typename T>
void ShuffleLanes(const Place& place, void* const* lanes) {
  T got[32];
  for (int i = 0; i < 32; ++i) {
    if (lanes[i] == nullptr) continue;
    const int from = static_cast<Shuffle<T>*>(lanes[i])->from;
    if (lanes[from] == nullptr) {
      Fail(place, "lane " + std::to_string(i) + " reads of lane " + std::to_string(from) +
                      ", which the mask does not name");
    }
    got[i] = static_cast<Shuffle<T>*>(lanes[from])->value;
  }
  for (int i = 0; i < 32; ++i) {
    if (lanes[i] != nullptr) static_cast<Shuffle<T>*>(lanes[i])->value = got[i];
  }
}

void CheckWidth(const Place& place, int width);

template <typename T>
T ShuffleFrom(const Place& place, unsigned mask, T value, int from) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "shuffles take 4 or 8 bytes");
  Shuffle<T> mine{value, from};
  MeetWarp(place, mask, &mine, ShuffleLanes<T>);
  return mine.value;
}

// What all threads make of what each gives: the same for all.
template <typename T, typename Merge>
T MergeLanes(const Place& place, unsigned mask, T value, Merge) {
  static_assert(std::is_empty_v<Merge>, "a function without state");
  MeetWarp(place, mask, &value, [](const Place&, void* const* lanes) {
    bool first = true;
    T all{};
    for (int i = 0; i < 32; ++i) {
      if (lanes[i] == nullptr) continue;
      const T next = *static_cast<T*>(lanes[i]);
      all = first ? next : Merge::Of(all, next);
      first = false;
    }
    for (int i = 0; i < 32; ++i) {
      if (lanes[i] != nullptr) *static_cast<T*>(lanes[i]) = all;
    }
  });
  return value;
}
struct Or {
  static unsigned Of(unsigned a, unsigned b) { return a | b; }
};
struct And {
  static unsigned Of(unsigned a, unsigned b) { return a & b; }
};
struct Sum {  // wraps
  template <typename T>
  static T Of(T a, T b) {
    return static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
  }
};
struct Greatest {
  template <typename T>
  static T Of(T a, T b) {
    return a > b ? a : b;
  }
};
struct Least {
  template <typename T>
  static T Of(T a, T b) {
    return a < b ? a : b;
  }
};

// One thread runs at a time and none is stopped in between, so this is atomic.
template <typename T, typename Change>
T Atomic(T* at, Change change) {
  const T old = *at;
  *at = change(old);
  return old;
}

struct Kernel {
  const void* name;                   // tells kernels apart
  void (*run)(const void* values);    // one thread of it
  void (*check)(const void* values);  // CheckParameter of each
  std::shared_ptr<const void> values;
};
struct Shape {
  dim3 blocks, threads;
  std::size_t shared_bytes;
};
// Null and device memory are in order. `exact` says that the bytes are one pointer.
void CheckParameter(std::size_t position, const void* bytes, std::size_t size, bool exact);
// Now, or when the stream comes to it; a copy of `kernel` may be run many times.
void RunKernel(const Kernel& kernel, const Shape& shape, cudaStream_t stream);

// What went wrong is the thread's last error.
template <typename... P>
void Launch(void (*kernel)(P...), dim3 blocks, dim3 threads, std::size_t shared_bytes,
            cudaStream_t stream, P... parameters) {
  using Values = std::tuple<void (*)(P...), std::tuple<P...>>;
  const auto values = std::make_shared<Values>(kernel, std::tuple<P...>(parameters...));
  // What lies between fields is left over from anything, and would look like a pointer.
  std::apply([](auto&... parameter) { (__builtin_clear_padding(&parameter), ...); },
             std::get<1>(*values));
  const auto run = [](const void* opaque) {
    const auto& [function, list] = *static_cast<const Values*>(opaque);
    std::apply(function, list);
  };
  const auto check = [](const void* opaque) {
    std::size_t position = 0;
    std::apply(
        [&position](const auto&... parameter) {
          (CheckParameter(++position, &parameter, sizeof parameter, std::is_pointer_v<P>), ...);
        },
        std::get<1>(*static_cast<const Values*>(opaque)));
  };
  RunKernel({reinterpret_cast<const void*>(kernel), run, check, values},
            {blocks, threads, shared_bytes}, stream);
}

}  // namespace muster::simt

#define threadIdx (::muster::simt::now.thread)
#define blockIdx (::muster::simt::now.block)
#define blockDim (::muster::simt::now.threads)
#define gridDim (::muster::simt::now.blocks)

// The caller's line is part of what it waits for.
#define MUSTER_SIMT_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(MUSTER_SIMT_HERE) {
  muster::simt::MeetBlock({"__syncthreads", file, line});
}
inline void __syncwarp(unsigned mask = 0xffffffffu, MUSTER_SIMT_HERE) {
  int nothing = 0;
  muster::simt::MeetWarp({"__syncwarp", file, line}, mask, &nothing,
                         [](const muster::simt::Place&, void* const*) {});
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, MUSTER_SIMT_HERE) {
  const muster::simt::Place place{"__shfl_sync", file, line};
  muster::simt::CheckWidth(place, width);
  const int first = static_cast<int>(muster::simt::Lane()) & ~(width - 1);
  return muster::simt::ShuffleFrom(place, mask, value, first | (lane & (width - 1)));
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, MUSTER_SIMT_HERE) {
  const muster::simt::Place place{"__shfl_up_sync", file, line};
  muster::simt::CheckWidth(place, width);
  const int lane = static_cast<int>(muster::simt::Lane()), first = lane & ~(width - 1);
  const int from =
      by > 31 || lane - static_cast<int>(by) < first ? lane : lane - static_cast<int>(by);
  return muster::simt::ShuffleFrom(place, mask, value, from);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, MUSTER_SIMT_HERE) {
  const muster::simt::Place place{"__shfl_down_sync", file, line};
  muster::simt::CheckWidth(place, width);
  const int lane = static_cast<int>(muster::simt::Lane()), last = lane | (width - 1);
  const int from =
      by > 31 || lane + static_cast<int>(by) > last ? lane : lane + static_cast<int>(by);
  return muster::simt::ShuffleFrom(place, mask, value, from);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, MUSTER_SIMT_HERE) {
  const muster::simt::Place place{"__shfl_xor_sync", file, line};
  muster::simt::CheckWidth(place, width);
  const int lane = static_cast<int>(muster::simt::Lane()), from = lane ^ (bits & 31);
  return muster::simt::ShuffleFrom(place, mask, value, from > (lane | (width - 1)) ? lane : from);
}

inline unsigned __ballot_sync(unsigned mask, int yes, MUSTER_SIMT_HERE) {
  const unsigned mine = yes != 0 ? 1u << muster::simt::Lane() : 0u;
  return muster::simt::MergeLanes({"__ballot_sync", file, line}, mask, mine, muster::simt::Or());
}
inline int __any_sync(unsigned mask, int yes, MUSTER_SIMT_HERE) {
  const unsigned mine = yes != 0 ? 1u : 0u;
  return static_cast<int>(
      muster::simt::MergeLanes({"__any_sync", file, line}, mask, mine, muster::simt::Or()));
}
inline int __all_sync(unsigned mask, int yes, MUSTER_SIMT_HERE) {
  const unsigned mine = yes != 0 ? 1u : 0u;
  return static_cast<int>(
      muster::simt::MergeLanes({"__all_sync", file, line}, mask, mine, muster::simt::And()));
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, MUSTER_SIMT_HERE) {
  return muster::simt::MergeLanes({"__reduce_or_sync", file, line}, mask, value,
                                  muster::simt::Or());
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, MUSTER_SIMT_HERE) {
  return muster::simt::MergeLanes({"__reduce_and_sync", file, line}, mask, value,
                                  muster::simt::And());
}
#define MUSTER_SIMT_REDUCE(NAME, MERGE, TYPE)                                                 \
  inline TYPE NAME(unsigned mask, TYPE value, MUSTER_SIMT_HERE) {                             \
    return muster::simt::MergeLanes({#NAME, file, line}, mask, value, muster::simt::MERGE()); \
  }
MUSTER_SIMT_REDUCE(__reduce_add_sync, Sum, unsigned)
MUSTER_SIMT_REDUCE(__reduce_add_sync, Sum, int)
MUSTER_SIMT_REDUCE(__reduce_max_sync, Greatest, unsigned)
MUSTER_SIMT_REDUCE(__reduce_max_sync, Greatest, int)
MUSTER_SIMT_REDUCE(__reduce_min_sync, Least, unsigned)
MUSTER_SIMT_REDUCE(__reduce_min_sync, Least, int)
#undef MUSTER_SIMT_REDUCE

// Integers alone: the order in which floats are added would be seen (E3).
#define MUSTER_SIMT_ATOMIC(TYPE)                                                               \
  inline TYPE atomicAdd(TYPE* at, TYPE value) {                                                \
    return muster::simt::Atomic(at, [&](TYPE old) {                                            \
      return static_cast<TYPE>(static_cast<std::make_unsigned_t<TYPE>>(old) +                  \
                               static_cast<std::make_unsigned_t<TYPE>>(value));                \
    });                                                                                        \
  }                                                                                            \
  inline TYPE atomicMax(TYPE* at, TYPE value) {                                                \
    return muster::simt::Atomic(at, [&](TYPE old) { return old > value ? old : value; });      \
  }                                                                                            \
  inline TYPE atomicMin(TYPE* at, TYPE value) {                                                \
    return muster::simt::Atomic(at, [&](TYPE old) { return old < value ? old : value; });      \
  }                                                                                            \
  inline TYPE atomicOr(TYPE* at, TYPE value) {                                                 \
    return muster::simt::Atomic(at, [&](TYPE old) { return static_cast<TYPE>(old | value); }); \
  }
MUSTER_SIMT_ATOMIC(int)
MUSTER_SIMT_ATOMIC(unsigned)
MUSTER_SIMT_ATOMIC(unsigned long long)
#undef MUSTER_SIMT_ATOMIC

template <typename T>
T __ldg(const T* at) {
  return *at;
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// As CUDA has them for any pointer.
template <typename T>
cudaError_t cudaMalloc(T** device, std::size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(device), bytes);
}
template <typename... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
