// What fetcher and server say to each other on a state socket, after the greeting. Little-endian
// structs, and the checksum of a shard. Private to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace muster::comm {

inline constexpr std::uint32_t kShardMagic = 0x44524853;  // "SHRD"

enum class Ask : std::uint32_t { kDescribe = 1, kShard = 2 };
enum class Told : std::uint32_t { kOk = 0, kGone = 1, kBadRange = 2 };

struct ShardRequest {
  std::uint32_t magic = kShardMagic;
  Ask ask = Ask::kDescribe;
  std::uint64_t region = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
static_assert(sizeof(ShardRequest) == 32);

// Answer to kDescribe; `regions` sizes (u64 each), the header's bytes and those of what stands beside it
// follow.
struct Description {
  std::uint32_t magic = kShardMagic;
  Told told = Told::kOk;
  std::int64_t step = 0;
  std::uint64_t digest = 0;
  std::uint32_t regions = 0;
  std::uint32_t header_bytes = 0;
  std::uint32_t beside_bytes = 0;
  std::uint32_t unused = 0;
};
static_assert(sizeof(Description) == 40);

// Answer to kShard; the bytes follow when kOk.
struct ShardHead {
  std::uint32_t magic = kShardMagic;
  Told told = Told::kOk;
  std::uint64_t length = 0;
  std::uint64_t checksum = 0;
};
static_assert(sizeof(ShardHead) == 24);

// 64 bits over the bytes and their length; sees every flipped bit. Memory speed, not cryptography.
std::uint64_t ShardChecksum(std::span<const std::byte> bytes);

template <typename T>
std::span<const std::byte> BytesOf(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <typename T>
std::span<std::byte> WritableBytesOf(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace muster::comm
