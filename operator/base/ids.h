// Ids as distinct types, so that an epoch cannot be passed for a term or a step.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "operator/base/status.h"

namespace muster::base {

// An integer with a meaning. Arithmetic is spelled out through `value`; Next() is all that most
// need.
template <typename Tag, typename Rep>
struct StrongInt {
  Rep value = 0;
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep v) : value(v) {}
  constexpr StrongInt Next() const { return StrongInt(value + 1); }
  friend constexpr auto operator<=>(const StrongInt&, const StrongInt&) = default;
};

// The view's number. 0: none yet.
using Epoch = StrongInt<struct EpochTag, std::uint64_t>;
// The number of a coordinator's reign. 0: none yet.
using Term = StrongInt<struct TermTag, std::uint64_t>;
// Steps are numbered from 1. As "committed step" 0 means: the initial state, nothing committed.
using Step = StrongInt<struct StepTag, std::int64_t>;

// One worker process, from start to exit: the pod's ordinal and how often it was replaced.
// Written `ordinal.incarnation`, for example "3.2".
struct MemberId {
  std::int32_t ordinal = 0;
  std::int32_t incarnation = 0;
  friend constexpr auto operator<=>(const MemberId&, const MemberId&) = default;
};

std::string ToString(MemberId id);
// InvalidArgument when `text` is not two non-negative decimal numbers joined by a dot.
absl::StatusOr<MemberId> ParseMemberId(std::string_view text);

}  // namespace muster::base

template <typename Tag, typename Rep>
struct std::hash<muster::base::StrongInt<Tag, Rep>> {
  std::size_t operator()(muster::base::StrongInt<Tag, Rep> id) const {
    return std::hash<Rep>()(id.value);
  }
};

template <>
struct std::hash<muster::base::MemberId> {
  std::size_t operator()(muster::base::MemberId id) const {
    return std::hash<std::int64_t>()((std::int64_t{id.ordinal} << 32) ^ id.incarnation);
  }
};
