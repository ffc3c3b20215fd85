#include "worker/nccl/buckets.h"

#include <algorithm>

#include "worker/comm/reduce.h"

namespace muster::nccl {
namespace {

std::size_t DivideUp(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

// How many elements each bucket of a vector holds when none may be larger than `bytes`: equal ones,
// not full ones and a rest, so that no collective of the group is much smaller than the others.
std::size_t BucketElements(const SumVector& vector, std::size_t bytes) {
  const std::size_t size = ElementBytes(vector.reduction.type);
  const std::size_t slot = std::max<std::size_t>(1, vector.slot_elements);
  const std::size_t slots = DivideUp(vector.reduction.in.size() / size, slot);
  const std::size_t slots_at_most = std::max<std::size_t>(1, bytes / (slot * size));
  return DivideUp(slots, DivideUp(slots, slots_at_most)) * slot;
}

std::size_t CountBuckets(std::span<const SumVector> vectors, std::size_t bytes) {
  std::size_t count = 0;
  for (const auto& vector : vectors) {
    const std::size_t elements = vector.reduction.in.size() / ElementBytes(vector.reduction.type);
    if (elements > 0) count += DivideUp(elements, BucketElements(vector, bytes));
  }
  return count;
}

}  // namespace

std::vector<Piece> MakeBuckets(std::span<const SumVector> vectors, const BucketRules& rules) {
  std::size_t largest = 0;
  for (const auto& vector : vectors) {
    // In whole slots, or the rest of the last one would never fit.
    const std::size_t slot = vector.slot_elements * ElementBytes(vector.reduction.type);
    largest = std::max(largest, vector.reduction.in.size() + slot);
  }
  std::size_t bytes = std::max<std::size_t>(1, rules.bytes);
  while (bytes < largest && CountBuckets(vectors, bytes) > rules.most) bytes *= 2;

  std::vector<Piece> pieces;
  for (const auto& vector : vectors) {
    const auto& r = vector.reduction;
    const std::size_t size = ElementBytes(r.type);
    const std::size_t elements = r.in.size() / size;
    if (elements == 0) continue;
    const std::size_t each = BucketElements(vector, bytes);
    for (std::size_t first = 0; first < elements; first += each) {
      Piece piece;
      piece.op = r.op;
      piece.type = r.type;
      piece.in = r.in.data() + first * size;
      piece.out = r.out.data() + first * size;
      piece.elements = std::min(each, elements - first);
      pieces.push_back(piece);
    }
  }
  return pieces;
}

}  // namespace muster::nccl
