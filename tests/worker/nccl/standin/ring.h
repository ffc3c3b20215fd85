// The ranks of one communicator, each connected to the one before it and the one behind it.
//
// A sum goes once along the ranks, from 0 to the last, and once more round with the result, a piece
// of it at a time: ((x0 + x1) + x2) + ..., so that floats have the same bits each time. Slow, and
// easy to believe. A broadcast is a sum of integers to which the others give zeros.
//
// Thread rule: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/worker/nccl/standin/rendezvous.h"

namespace muster::standin {

struct Collective {
  const void* in = nullptr;
  void* out = nullptr;
  std::size_t count = 0;
  int type = kInt32;
  int op = kSum;
  int root = kNoRoot;  // a broadcast
};

class Ring {
 public:
  explicit Ring(const Seat& seat) : seat_(seat) {}

  // All of these: kInProgress when they were stopped; a ring is of no use after an outcome that is
  // not kSuccess.
  Outcome Join(const Stop& stop);
  Outcome Reduce(const Collective& collective, const Stop& stop);
  // Tells the neighbours that this rank leaves, and waits until both have told it so too.
  Outcome TakeLeave(const Stop& stop);
  void Close();

 private:
  struct Head;

  Patience WatchingRight(const Stop& stop) const;
  Patience WatchingLeft(const Stop& stop) const;
  Outcome FromLeft(void* bytes, std::size_t count, const Stop& stop) const;
  Outcome ToRight(const void* bytes, std::size_t count, const Stop& stop) const;
  Outcome Agree(const Collective& collective, const Stop& stop);
  Outcome ReducePiece(const Collective& whole, std::size_t first, std::size_t count,
                      const Stop& stop);
  Outcome AwaitLeft(const Socket& listener, const Stop& stop);

  const Seat seat_;
  Socket left_, right_;
  std::uint64_t sequence_ = 0;
  std::vector<char> mine_, theirs_;
};

}  // namespace muster::standin
