// Cuts the sums into the parts that are reduced one after the other, and tells when each is complete.
//
// The backward pass finishes tensors from the last of the flat vector to the first, so parts are
// stretches of it from its end: the first can be on its way while the rest is computed. Every member
// cuts alike, by the layout alone (E3), and reduces all parts in this order whether anything
// overlaps or not: a device's communicator compares nothing, and matches groups by their order.
// Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "worker/model/program.h"

namespace muster::train {

struct SumPart {
  std::size_t first_tensor = 0, tensors = 0;  // of the layout
  std::int64_t first_element = 0, elements = 0;
  friend bool operator==(const SumPart&, const SumPart&) = default;
};

// Each is a group of collectives with a kernel of its own, for whose launch NCCL makes a thread; an
// abort takes longer with each that waits. A part is an eighth of the sums or more, so that it stays
// large enough for the network; only the last may be less, and nothing overlaps with that one. Not
// measured.
inline constexpr std::size_t kMostSumParts = 8;

// In the order in which they are reduced. No tensor is cut; together they cover each element once.
// The layout's tensors follow each other without gaps.
std::vector<SumPart> CutSums(const model::Layout& layout, std::size_t most = kMostSumParts);

// Of one slot: tensors may finish in any order, parts are complete in theirs.
class PartsComplete {
 public:
  explicit PartsComplete(const std::vector<SumPart>& parts);
  // How many parts are complete, from the first, now that this tensor is finished too.
  std::size_t Finished(std::size_t tensor);

 private:
  const std::vector<SumPart>& parts_;
  std::vector<std::size_t> left_;  // tensors that are not finished, by part
  std::size_t complete_ = 0;
};

}  // namespace muster::train
