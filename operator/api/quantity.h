// Durations, instants and numbers as text, in the spellings that a manifest and a status use.
//
// Format and parse are inverse: Parse(Format(x)) == x, to the nanosecond and to the last bit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::api {

// "1s", "200ms", "1h30m": what Kubernetes (Go) reads and writes.
std::string FormatDuration(base::Duration d);
// Decimal numbers each with a unit of h, m, s, ms, us, ns; "0" alone needs none. Not negative.
absl::StatusOr<base::Duration> ParseDuration(std::string_view text);

// RFC 3339 in UTC, "2026-11-21T08:00:00Z", with a fraction only where there is one.
std::string FormatTime(base::WallTime t);
// Any RFC 3339 instant of the years 1970 to 2261, with any offset.
absl::StatusOr<base::WallTime> ParseTime(std::string_view text);

// The shortest decimal that reads back as the same double; empty when it is not finite.
std::string FormatNumber(double value);

// 16 hexadecimal digits, and back.
std::string FormatHex64(std::uint64_t value);
absl::StatusOr<std::uint64_t> ParseHex64(std::string_view text);

}  // namespace muster::api
