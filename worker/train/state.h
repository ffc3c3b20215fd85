// The state of training: what a checkpoint holds, a joiner receives and the digest covers.
//
// Large vectors (weights, both moments; 12 bytes a parameter) and a small header (step, updates,
// exponents). One thread at a time; the vectors may be read by others while nobody applies a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/status.h"

namespace muster::train {

// Zeroed bytes aligned to a cache line (and to any vector width); large ones lie on huge pages
// where the system gives them, since every pass over gigabytes of sums is bound by memory.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes);
  std::span<std::byte> bytes() const { return {data_.get(), size_}; }
  template <typename T>
  std::span<T> as() const {
    return {reinterpret_cast<T*>(data_.get()), size_ / sizeof(T)};
  }

 private:
  struct Free {
    std::size_t alignment;
    void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{alignment}); }
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t size_ = 0;
};

// What is state besides the vectors.
struct StateHeader {
  base::Step step;           // committed steps in it
  std::int64_t updates = 0;  // Adam's update count: steps that were not skipped
  std::vector<std::int32_t>
      exponents;  // Exact32: one per tensor, empty before the first step's pass
  friend bool operator==(const StateHeader&, const StateHeader&) = default;
};

// The header as bytes for a joiner, and back. DataLoss when they are not a header.
std::string EncodeHeader(const StateHeader& header);
absl::StatusOr<StateHeader> DecodeHeader(std::string_view bytes);

// Digest of exponents for SumTag; 0 when there are none.
std::uint64_t ExponentsDigest(std::span<const std::int32_t> exponents);

}  // namespace muster::train
