// Small pure helpers that lay out text for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace muster::cli {

// Broken at spaces so that no line is longer than `width`, unless one word is.
std::vector<std::string> Wrapped(std::string_view text, std::size_t width);

// Columns on a terminal, counting a UTF-8 sequence as one.
std::size_t Columns(std::string_view text);

// At most `width` columns; what is cut ends in "…".
std::string Cut(std::string_view text, std::size_t width);

// The same columns in ASCII, for a terminal that shows nothing else.
std::string Ascii(std::string_view text);

// Filled with spaces up to `width` columns, at the right end or at the left.
std::string PadRight(std::string text, std::size_t width);
std::string PadLeft(std::string text, std::size_t width);

// "2.3057": a number with so many digits after the point; "-" when it is not finite.
std::string Fixed(double value, int digits);

// "0.052 s", "12 s", "3m05s", "2h11m": how long, for people.
std::string Span(double seconds);

// "812", "51.2k", "3.40M".
std::string Short(double value);

}  // namespace muster::cli
