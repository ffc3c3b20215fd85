// Character by character: no regular expressions in what checks outside input.
#include "operator/api/label_syntax.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <string>

namespace muster::api {
namespace {

bool IsAlphanumeric(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

// At most 63 of [-A-Za-z0-9_.], letters or digits at both ends.
bool IsName(std::string_view text) {
  if (text.empty() || text.size() > 63) return false;
  if (!IsAlphanumeric(text.front()) || !IsAlphanumeric(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

// Labels of [-a-z0-9] between dots, each with a letter or digit at both ends.
bool IsDomain(std::string_view text) {
  if (text.size() > 253) return false;
  for (;;) {
    const std::size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    const bool known = std::all_of(label.begin(), label.end(), [](char c) {
      return (IsAlphanumeric(c) && !absl::ascii_isupper(static_cast<unsigned char>(c))) || c == '-';
    });
    if (!known) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

bool IsLabelKey(std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) return IsName(key);
  return IsDomain(key.substr(0, slash)) && IsName(key.substr(slash + 1));
}

bool IsAnnotationKey(std::string_view key) {
  std::string lower(key);
  absl::AsciiStrToLower(&lower);
  return IsLabelKey(lower);
}

bool IsLabelValue(std::string_view value) { return value.empty() || IsName(value); }

}  // namespace muster::api
