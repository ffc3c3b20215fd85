// What a GPU could compute at best, for the ratio that is called MFU. Pure.
#pragma once

#include <optional>
#include <string_view>

namespace muster::device {

// Dense bfloat16 operations a second that the vendor states for a product, by the name that the
// driver gives ("NVIDIA H200"); nothing for one that is not known here: a guessed peak makes a
// wrong ratio. Power limits and clocks of the machine at hand are not in it.
std::optional<double> PeakFlops(std::string_view product);

}  // namespace muster::device
