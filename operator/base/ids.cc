#include "operator/base/ids.h"

#include <charconv>

namespace muster::base {
namespace {

// Parses all of `text` as a non-negative decimal number.
bool ParseNumber(std::string_view text, std::int32_t& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 0 && text[0] != '-';
}

}  // namespace

std::string ToString(MemberId id) {
  return std::to_string(id.ordinal) + "." + std::to_string(id.incarnation);
}

absl::StatusOr<MemberId> ParseMemberId(std::string_view text) {
  MemberId id;
  const auto dot = text.find('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == text.size() ||
      !ParseNumber(text.substr(0, dot), id.ordinal) ||
      !ParseNumber(text.substr(dot + 1), id.incarnation)) {
    return InvalidArgument("member id '" + std::string(text) +
                           "' is not ORDINAL.INCARNATION, such as 3.2");
  }
  return id;
}

}  // namespace muster::base
