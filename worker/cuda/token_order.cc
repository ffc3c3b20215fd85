#include "worker/cuda/token_order.h"

#include <algorithm>

namespace muster::cuda {

void TokenOrder::Reserve(std::int64_t rows) {
  const auto size = static_cast<std::size_t>(rows);
  keys_.reserve(size);
  rows_.reserve(size);
  words_.reserve(size);
  starts_.reserve(size + 1);
}

void TokenOrder::Sort(const std::int32_t* tokens, std::int64_t batch, std::int64_t context) {
  keys_.clear();
  rows_.clear();
  starts_.clear();
  words_.clear();
  for (std::int64_t row = 0; row < batch * context; ++row) {
    const std::int32_t token = tokens[row / context * (context + 1) + row % context];
    keys_.push_back(static_cast<std::uint64_t>(static_cast<std::uint32_t>(token)) << 32 |
                    static_cast<std::uint64_t>(row));
  }
  std::sort(keys_.begin(), keys_.end());
  for (const std::uint64_t key : keys_) {
    const auto word = static_cast<std::int32_t>(key >> 32);
    if (words_.empty() || words_.back() != word) {
      words_.push_back(word);
      starts_.push_back(static_cast<std::int32_t>(rows_.size()));
    }
    rows_.push_back(static_cast<std::int32_t>(key & 0xffffffffu));
  }
  starts_.push_back(static_cast<std::int32_t>(rows_.size()));
}

}  // namespace muster::cuda
