// Which build this is. Two programs made from different code or by different compilers have
// different ids, and one view never mixes them (E3).
#pragma once

#include <string>
#include <string_view>

namespace muster::runtime {

// "0.1.0".
std::string_view Version();

// Hex of the running program's own GNU build id (SHA-1 over its contents, made by the linker).
// Empty when the program was linked without one.
std::string BuildId();

}  // namespace muster::runtime
