// Copies that a stream has been given and not done yet.
//
// CUDA does an asynchronous copy from or to page-locked memory some time before its stream gets past
// it. Here it is done at the last moment: when its stream is given something else than such a copy,
// when somebody waits for the stream or for an event behind it, or when another stream does. So a
// program that does not wait reads what was there before, and one that overwrites the source too
// early has the wrong bytes copied. Thread rule: guarded by its own lock, held while it copies.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>

namespace muster::simt {

class Late {
 public:
  using Copy = std::function<void()>;

  void Add(const void* stream, Copy copy);
  void DoAll();
  void DoStream(const void* stream);
  // The event is behind what the stream has been given so far.
  void Record(const void* event, const void* stream);
  // False when there was nothing to do.
  bool DoEvent(const void* event);
  void Forget(const void* event);

 private:
  struct Point {
    const void* stream = nullptr;
    std::uint64_t count = 0;
  };
  struct Stream {
    std::deque<Copy> copies;
    std::uint64_t done = 0;
  };
  bool DoUntil(Stream& stream, std::uint64_t count);

  std::mutex mutex_;
  std::map<const void*, Stream> streams_;
  std::map<const void*, Point> events_;
};

}  // namespace muster::simt
