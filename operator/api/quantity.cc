// Spells durations, instants and numbers; integer arithmetic throughout, so nothing is rounded.
#include "operator/api/quantity.h"

#include <absl/strings/ascii.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "operator/base/text.h"

namespace muster::api {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
// Longest first, and "ms" before "m": the first that matches is the one.
constexpr std::array<Unit, 7> kUnits = {{{"ms", 1'000'000},
                                         {"us", 1'000},
                                         {"µs", 1'000},
                                         {"ns", 1},
                                         {"h", 3'600'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"s", 1'000'000'000}}};

absl::Status NotDuration(std::string_view text) {
  return base::InvalidArgument("\"" + std::string(text) +
                               "\" is not a duration such as 500ms, 1s or 1h30m");
}

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

// Reads "1.5" off the front as a whole part and nanos of a fraction.
struct Decimal {
  std::int64_t whole = 0;
  std::int64_t fraction = 0;  // in units of 1e-9
};
std::optional<Decimal> TakeDecimal(std::string_view& text) {
  Decimal out;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.whole);
  if (error != std::errc() || !IsDigit(text.front())) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (text.empty() || text.front() != '.') return out;
  text.remove_prefix(1);
  std::int64_t scale = 100'000'000;
  if (text.empty() || !IsDigit(text.front())) return std::nullopt;
  while (!text.empty() && IsDigit(text.front())) {
    out.fraction += (text.front() - '0') * scale;
    scale /= 10;
    text.remove_prefix(1);
  }
  return out;
}

// Digits at [at, at + count), or -1.
std::int64_t Digits(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) return -1;
  std::int64_t value = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (!IsDigit(text[i])) return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

// Seconds east of UTC from "Z" or "+02:00".
std::optional<std::int64_t> OffsetSeconds(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  const std::int64_t hours = Digits(text, 1, 2);
  const std::int64_t minutes = Digits(text, 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
  const std::int64_t seconds = hours * 3600 + minutes * 60;
  return text[0] == '-' ? -seconds : seconds;
}

}  // namespace

std::string FormatDuration(base::Duration d) {
  const std::int64_t ns = d.count();
  if (ns == 0) return "0s";
  if (ns % 1'000 != 0) return std::to_string(ns) + "ns";
  if (ns % 1'000'000 != 0) return std::to_string(ns / 1'000) + "us";
  if (ns % 1'000'000'000 != 0) return std::to_string(ns / 1'000'000) + "ms";
  const std::int64_t seconds = ns / 1'000'000'000;
  std::string out;
  if (seconds >= 3600) out += std::to_string(seconds / 3600) + "h";
  if (seconds / 60 % 60 != 0) out += std::to_string(seconds / 60 % 60) + "m";
  if (seconds % 60 != 0) out += std::to_string(seconds % 60) + "s";
  return out;
}

absl::StatusOr<base::Duration> ParseDuration(std::string_view text) {
  if (text == "0") return base::Duration(0);
  if (text.empty() || text.size() > 64) return NotDuration(text.substr(0, 64));
  std::string_view rest = text;
  // An integer with a unit may have up to 19 digits; what does not fit in 64 bits is refused.
  __int128 total = 0;
  while (!rest.empty()) {
    const std::optional<Decimal> number = TakeDecimal(rest);
    if (!number) return NotDuration(text);
    const Unit* found = nullptr;
    for (const Unit& unit : kUnits) {
      if (rest.substr(0, unit.name.size()) == unit.name) {
        found = &unit;
        break;
      }
    }
    if (found == nullptr) return NotDuration(text);
    rest.remove_prefix(found->name.size());
    const __int128 unit = found->nanoseconds;
    total += unit * number->whole + unit * number->fraction / 1'000'000'000;
    if (total > std::numeric_limits<std::int64_t>::max()) return NotDuration(text);
  }
  return base::Duration(static_cast<std::int64_t>(total));
}

std::string FormatTime(base::WallTime t) {
  using std::chrono::days;
  const std::int64_t ns = t.time_since_epoch().count();
  const std::int64_t day_ns = 86'400'000'000'000;
  const std::int64_t day = ns >= 0 ? ns / day_ns : -((-ns + day_ns - 1) / day_ns);
  const std::int64_t in_day = ns - day * day_ns;
  const std::chrono::year_month_day date{std::chrono::sys_days(days(day))};
  const std::int64_t seconds = in_day / 1'000'000'000;
  using base::Padded;
  std::string out = Padded(static_cast<int>(date.year()), 4) + "-" +
                    Padded(static_cast<unsigned>(date.month()), 2) + "-" +
                    Padded(static_cast<unsigned>(date.day()), 2) + "T" + Padded(seconds / 3600, 2) +
                    ":" + Padded(seconds / 60 % 60, 2) + ":" + Padded(seconds % 60, 2);
  if (const std::int64_t fraction = in_day % 1'000'000'000; fraction != 0) {
    out += "." + Padded(fraction, 9);
    while (out.back() == '0') out.pop_back();
  }
  return out + "Z";
}

absl::StatusOr<base::WallTime> ParseTime(std::string_view text) {
  const absl::Status wrong = base::InvalidArgument("\"" + std::string(text.substr(0, 64)) +
                                                   "\" is not a time such as 2026-01-31T12:00:00Z");
  if (text.size() < 20 || text.size() > 40 || text[4] != '-' || text[7] != '-' || text[13] != ':' ||
      text[16] != ':' || (text[10] != 'T' && text[10] != 't')) {
    return wrong;
  }
  const std::int64_t year = Digits(text, 0, 4);
  const std::int64_t month = Digits(text, 5, 2);
  const std::int64_t day = Digits(text, 8, 2);
  const std::int64_t hour = Digits(text, 11, 2);
  const std::int64_t minute = Digits(text, 14, 2);
  const std::int64_t second = Digits(text, 17, 2);
  // 2261: the last whole year of 64-bit nanoseconds.
  if (year < 1970 || year > 2261 || month < 0 || day < 0 || hour < 0 || hour > 23 || minute < 0 ||
      minute > 59 || second < 0 || second > 59) {
    return wrong;
  }
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return wrong;
  std::string_view rest = text.substr(19);
  std::int64_t fraction = 0;
  if (rest.front() == '.') {
    std::int64_t scale = 100'000'000;
    rest.remove_prefix(1);
    if (rest.empty() || !IsDigit(rest.front())) return wrong;
    for (; !rest.empty() && IsDigit(rest.front()); rest.remove_prefix(1), scale /= 10) {
      fraction += (rest.front() - '0') * scale;
    }
  }
  const std::optional<std::int64_t> offset = OffsetSeconds(rest);
  if (!offset) return wrong;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = days * 86'400 + hour * 3600 + minute * 60 + second - *offset;
  return base::WallTime(base::Duration(seconds * 1'000'000'000 + fraction));
}

std::string FormatNumber(double value) {
  if (!std::isfinite(value)) return "";
  char buffer[40];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return error == std::errc() ? std::string(buffer, end) : "";
}

std::string FormatHex64(std::uint64_t value) { return base::Hex64(value); }

absl::StatusOr<std::uint64_t> ParseHex64(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, 16);
  if (text.size() != 16 || error != std::errc() || stop != end) {
    return base::InvalidArgument("\"" + std::string(text.substr(0, 64)) +
                                 "\" is not a digest of 16 hexadecimal digits");
  }
  return value;
}

}  // namespace muster::api
