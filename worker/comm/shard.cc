#include "worker/comm/shard.h"

#include <bit>
#include <cstring>

#include "operator/base/rng.h"

namespace muster::comm {

// Four running products, so that one multiplication need not wait for the one before. Each step is
// a bijection of its lane, so a change of one word always changes the lane.
std::uint64_t ShardChecksum(std::span<const std::byte> bytes) {
  constexpr std::uint64_t kPrime = 0x9e3779b97f4a7c15ULL;
  std::uint64_t lanes[4] = {1, 2, 3, 4};
  const std::size_t n = bytes.size();
  std::size_t at = 0;
  for (; at + 32 <= n; at += 32) {
    std::uint64_t words[4];
    std::memcpy(words, bytes.data() + at, sizeof(words));
    for (int i = 0; i < 4; ++i) lanes[i] = std::rotl((lanes[i] ^ words[i]) * kPrime, 29);
  }
  for (; at < n; ++at) {
    lanes[0] = std::rotl((lanes[0] ^ std::to_integer<std::uint64_t>(bytes[at])) * kPrime, 29);
  }
  std::uint64_t sum = base::Mix64(n);
  for (std::uint64_t lane : lanes) sum = base::Mix64(sum ^ lane);
  return sum;
}

}  // namespace muster::comm
