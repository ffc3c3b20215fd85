#include "operator/base/text.h"

#include <cstddef>

namespace muster::base {

std::string Padded(std::int64_t value, int width) {
  // Unsigned: the least integer has no positive twin.
  const auto size = static_cast<std::uint64_t>(value);
  std::string digits = std::to_string(value < 0 ? -size : size);
  if (digits.size() < static_cast<std::size_t>(width)) {
    digits.insert(0, static_cast<std::size_t>(width) - digits.size(), '0');
  }
  return value < 0 ? "-" + digits : digits;
}

std::string Hex64(std::uint64_t value) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

std::string Fixed2(double value) {
  const bool negative = value < 0;
  const auto cents = static_cast<std::int64_t>((negative ? -value : value) * 100 + 0.5);
  return (negative ? "-" : "") + std::to_string(cents / 100) + "." + Padded(cents % 100, 2);
}

}  // namespace muster::base
