// The arithmetic of a reduction: out = in op received, element by element. Pure functions.
#pragma once

#include <cstddef>

#include "worker/comm/communicator.h"

namespace muster::comm {

std::size_t ElementBytes(ElementType type);

// `count` elements; `out` may be anything but overlap partly. Integer sums wrap. A maximum of
// floats keeps `in` unless the received one is greater.
void Combine(ReduceOp op, ElementType type, const std::byte* in, const std::byte* received,
             std::byte* out, std::size_t count);

}  // namespace muster::comm
