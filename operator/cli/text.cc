// Nothing here knows what it lays out.
#include "operator/cli/text.h"

#include <cmath>
#include <cstdio>
#include <utility>

namespace muster::cli {

std::vector<std::string> Wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  std::string line;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    if (!line.empty() && Columns(line) + 1 + Columns(word) > width) {
      lines.push_back(std::move(line));
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
    if (space == std::string_view::npos) break;
    text.remove_prefix(space + 1);
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

std::size_t Columns(std::string_view text) {
  std::size_t columns = 0;
  for (char c : text) columns += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return columns;
}

std::string Cut(std::string_view text, std::size_t width) {
  if (Columns(text) <= width) return std::string(text);
  if (width == 0) return "";
  std::size_t columns = 0;
  std::size_t end = 0;
  while (end < text.size()) {
    if ((static_cast<unsigned char>(text[end]) & 0xC0) != 0x80 && ++columns == width) break;
    ++end;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string Ascii(std::string_view text) {
  constexpr std::pair<std::string_view, char> kKnown[] = {{"█", '#'}, {"░", '.'}, {"…", '~'}};
  std::string out;
  while (!text.empty()) {
    std::size_t length = 1;
    while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) {
      ++length;
    }
    char shown = length == 1 ? text[0] : '?';
    for (const auto& [glyph, ascii] : kKnown) {
      if (text.substr(0, length) == glyph) shown = ascii;
    }
    out += shown;
    text.remove_prefix(length);
  }
  return out;
}

std::string PadRight(std::string text, std::size_t width) {
  const std::size_t columns = Columns(text);
  if (columns < width) text.append(width - columns, ' ');
  return text;
}

std::string PadLeft(std::string text, std::size_t width) {
  const std::size_t columns = Columns(text);
  return columns < width ? std::string(width - columns, ' ') + text : text;
}

std::string Fixed(double value, int digits) {
  if (!std::isfinite(value)) return "-";
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

std::string Span(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  if (seconds < 10) return Fixed(seconds, seconds < 1 ? 3 : 1) + " s";
  const auto whole = static_cast<long long>(std::llround(seconds));
  char buffer[64];
  if (whole < 60) {
    std::snprintf(buffer, sizeof buffer, "%lld s", whole);
  } else if (whole < 3600) {
    std::snprintf(buffer, sizeof buffer, "%lldm%02llds", whole / 60, whole % 60);
  } else {
    std::snprintf(buffer, sizeof buffer, "%lldh%02lldm", whole / 3600, whole / 60 % 60);
  }
  return buffer;
}

std::string Short(double value) {
  if (!std::isfinite(value)) return "-";
  if (value < 10'000) return Fixed(value, 0);
  if (value < 1e6) return Fixed(value / 1e3, 1) + "k";
  if (value < 1e9) return Fixed(value / 1e6, 2) + "M";
  return Fixed(value / 1e9, 2) + "G";
}

}  // namespace muster::cli
