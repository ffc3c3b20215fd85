#include "worker/train/state.h"

#include <sys/mman.h>

#include <cstring>

#include "operator/base/rng.h"

namespace muster::train {
namespace {

// magic, step, updates, count of exponents: four little-endian 64-bit words, then the exponents.
constexpr std::uint64_t kMagic = 0x315453524554534dULL;  // "MSTERST1"
constexpr std::size_t kFixedBytes = 4 * sizeof(std::uint64_t);

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

AlignedBuffer::AlignedBuffer(std::size_t bytes) : size_(bytes) {
  const std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kCacheLine;
  data_ = {static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{alignment})),
           Free{alignment}};
  // Before the first touch. A refusal changes nothing but speed.
  if (alignment == kHugePage) (void)madvise(data_.get(), bytes, MADV_HUGEPAGE);
  std::memset(data_.get(), 0, bytes);
}

std::string EncodeHeader(const StateHeader& header) {
  const std::uint64_t words[4] = {kMagic, static_cast<std::uint64_t>(header.step.value),
                                  static_cast<std::uint64_t>(header.updates),
                                  header.exponents.size()};
  std::string bytes(kFixedBytes + header.exponents.size() * sizeof(std::int32_t), '\0');
  std::memcpy(bytes.data(), words, kFixedBytes);
  if (!header.exponents.empty()) {
    std::memcpy(bytes.data() + kFixedBytes, header.exponents.data(),
                header.exponents.size() * sizeof(std::int32_t));
  }
  return bytes;
}

absl::StatusOr<StateHeader> DecodeHeader(std::string_view bytes) {
  std::uint64_t words[4] = {};
  if (bytes.size() < kFixedBytes) return base::DataLoss("state header is shorter than 32 bytes");
  std::memcpy(words, bytes.data(), kFixedBytes);
  if (words[0] != kMagic) return base::DataLoss("state header has a wrong magic number");
  const std::size_t left = bytes.size() - kFixedBytes;
  if (left % sizeof(std::int32_t) != 0 || words[3] != left / sizeof(std::int32_t)) {
    return base::DataLoss("state header's length does not match its count of exponents");
  }
  StateHeader header;
  header.step = base::Step(static_cast<std::int64_t>(words[1]));
  header.updates = static_cast<std::int64_t>(words[2]);
  header.exponents.resize(words[3]);
  if (left != 0) std::memcpy(header.exponents.data(), bytes.data() + kFixedBytes, left);
  return header;
}

std::uint64_t ExponentsDigest(std::span<const std::int32_t> exponents) {
  if (exponents.empty()) return 0;
  std::uint64_t digest = base::Mix64(exponents.size());
  for (std::int32_t e : exponents) {
    digest = base::Mix64(digest ^ static_cast<std::uint32_t>(e));
  }
  return digest == 0 ? 1 : digest;
}

}  // namespace muster::train
