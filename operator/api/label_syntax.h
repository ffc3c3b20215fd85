// What Kubernetes takes for the keys of labels and annotations and for the values of labels.
// Internal to operator/api. Values only.
#pragma once

#include <string_view>

namespace muster::api {

inline constexpr std::string_view kKeyAllowed =
    "a name of at most 63 letters, digits, '-', '_' and '.' that begins and ends with a letter or "
    "digit, after a domain and a '/' where there is one";
inline constexpr std::string_view kLabelValueAllowed =
    "empty, or at most 63 letters, digits, '-', '_' and '.' that begin and end with a letter or "
    "digit";

// "app", "muster.dev/job". A domain is in lower case for labels; for annotations case is ignored.
bool IsLabelKey(std::string_view key);
bool IsAnnotationKey(std::string_view key);
bool IsLabelValue(std::string_view value);

}  // namespace muster::api
