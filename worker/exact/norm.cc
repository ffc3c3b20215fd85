#include "worker/exact/norm.h"

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "worker/exact/fixed_point.h"

namespace muster::exact {
namespace {

template <typename T>
using Squares = void (*)(std::span<const T>, double, std::span<double, kNormLanes>);

template <typename T>
double SquareSum(Squares<T> squares, std::span<const T> q, double factor) {
  std::vector<double> blocks;
  blocks.reserve(q.size() / kNormBlock + 1);
  for (std::size_t at = 0; at < q.size(); at += kNormBlock) {
    std::array<double, kNormLanes> lanes{};
    squares(q.subspan(at, std::min(kNormBlock, q.size() - at)), factor, lanes);
    blocks.push_back(TreeSum(lanes));
  }
  return TreeSum(blocks);
}

}  // namespace

double TreeSum(std::span<const double> parts) {
  if (parts.empty()) return 0;
  if (parts.size() == 1) return parts[0];
  const std::size_t left = std::bit_ceil(parts.size()) / 2;
  return TreeSum(parts.first(left)) + TreeSum(parts.subspan(left));
}

// Every table gives the same bits (its lanes fix the order), so the fastest serves all families.
double SquareSum64(std::span<const std::int64_t> q, double factor) {
  return SquareSum(SupportedKernels().back()->squares64, q, factor);
}
double SquareSum32(std::span<const std::int32_t> q, double factor) {
  return SquareSum(SupportedKernels().back()->squares32, q, factor);
}
double SquareSumFloat(std::span<const float> g, double factor) {
  return SquareSum(SupportedKernels().back()->squares_float, g, factor);
}

}  // namespace muster::exact
