// The gradient norm from reduced integers (E6): what all members have gives all the same double.
//
// Squares are summed in double over fixed blocks of 4,096 elements: 16 running sums a block
// (element i goes to i mod 16), then a fixed tree over them, then the same tree over the blocks.
// The shape depends on the length alone, never on threads, vector width or world size. Thread rule:
// pure functions.
#pragma once

#include <cstdint>
#include <span>

namespace muster::exact {

inline constexpr std::size_t kNormBlock = 4096;

// Sum of (q * factor)^2; a factor as Factor64 and Factor32 give it. Of one tensor or of everything.
double SquareSum64(std::span<const std::int64_t> q, double factor);
double SquareSum32(std::span<const std::int32_t> q, double factor);
double SquareSumFloat(std::span<const float> g, double factor);

// Sum over a fixed binary tree: halves are summed alone, the left one being the larger power of
// two.
double TreeSum(std::span<const double> parts);

}  // namespace muster::exact
