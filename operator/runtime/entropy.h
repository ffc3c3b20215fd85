// Chance from the kernel, for secrets and for seeds. Everything that must be repeatable takes its
// randomness from a seed instead (operator/base/rng.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace muster::runtime {

std::uint64_t RandomNumber();

// `bytes` random bytes in hex: 32 are too many to guess.
std::string RandomToken(std::size_t bytes = 32);

}  // namespace muster::runtime
