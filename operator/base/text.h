// Numbers as text, for pure code: no locale, no stream, the same bytes everywhere.
#pragma once

#include <cstdint>
#include <string>

namespace muster::base {

// At least `width` digits, zeros in front; a minus sign comes before them.
std::string Padded(std::int64_t value, int width);
// 16 lower-case hexadecimal digits.
std::string Hex64(std::uint64_t value);
// Two digits after the point, rounded half away from zero; |value| below 1e15.
std::string Fixed2(double value);

}  // namespace muster::base
