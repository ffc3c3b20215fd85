// Cuts the sum vectors of a step into the collectives of one group: few and large ones.
//
// Each collective costs an entry in NCCL's plan, and each kernel that waits makes an abort about
// 10 ms slower, so a vector is whole unless it is very large. A cut one is cut between slots of it
// alone (a slot here: a stretch that means something as a whole, a tensor's sums or a row of
// counters), so no slot is ever half in a bucket. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "worker/nccl/nccl_api.h"

namespace muster::nccl {

struct SumVector {
  comm::Reduction reduction;
  std::size_t slot_elements = 1;  // the last slot may be shorter
};

struct BucketRules {
  // A bucket holds at most about this; far above the sizes at which a ring is limited by latency.
  std::size_t bytes = std::size_t{256} << 20;
  // Of a group. With more than this the buckets grow instead, unless there are more vectors: vectors
  // of different type or operation cannot share one.
  std::size_t most = 8;
};

// In order of vector and offset; together they cover each element exactly once. Empty vectors have
// no bucket. Every member must pass vectors of the same shape: NCCL does not compare them.
std::vector<Piece> MakeBuckets(std::span<const SumVector> vectors, const BucketRules& rules);

}  // namespace muster::nccl
