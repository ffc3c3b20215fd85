// A small pool that runs the tiles of a fixed grid; which thread runs a tile never changes a
// result.
//
// One thread owns a Pool and calls For; tiles write disjoint memory. With one thread everything
// runs inline. No lock: workers wait on an atomic generation and take tiles from an atomic counter.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace muster::kernels {

// A callable by reference: no allocation, valid during the call only.
class TileFunction {
 public:
  template <typename F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, TileFunction>)
  TileFunction(const F& f)  // NOLINT: implicit, so that lambdas pass
      : object_(&f), call_([](const void* o, std::int64_t i) { (*static_cast<const F*>(o))(i); }) {}
  void operator()(std::int64_t tile) const { call_(object_, tile); }

 private:
  const void* object_;
  void (*call_)(const void*, std::int64_t);
};

class Pool {
 public:
  // `threads` counts the caller; at least 1.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  // Runs tile(0) .. tile(tiles - 1), each once, and returns when all are done. Not reentrant.
  void For(std::int64_t tiles, TileFunction tile);

 private:
  struct Job;
  void Work(std::stop_token stop);

  std::atomic<std::uint64_t> generation_{0};
  std::unique_ptr<Job> job_;
  std::vector<std::jthread> workers_;
};

// How many tiles of `tile` cover `n`.
constexpr std::int64_t Tiles(std::int64_t n, std::int64_t tile) { return (n + tile - 1) / tile; }

}  // namespace muster::kernels
