// The fixed shape of sums over a slot's rows: chunks of rows, each in order, then the chunks in
// order. Thread rule: pure.
#pragma once

#include <cstdint>

namespace muster::cuda {

constexpr std::int64_t kSumChunk = 64;

// How many floats the chunks' sums take.
inline std::int64_t ColumnScratch(std::int64_t rows, std::int64_t width) {
  return (rows + kSumChunk - 1) / kSumChunk * width;
}

}  // namespace muster::cuda
