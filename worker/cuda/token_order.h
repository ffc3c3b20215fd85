// The rows of a slot in the order of their tokens, so that the gradient of each token's embedding
// is added by one block, row after row. On the host; nothing is allocated after Reserve.
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <vector>

namespace muster::cuda {

class TokenOrder {
 public:
  void Reserve(std::int64_t rows);
  // tokens: batch x (context + 1); row r has token r % context of sample r / context.
  void Sort(const std::int32_t* tokens, std::int64_t batch, std::int64_t context);

  // Row by row in ascending order of token, then of row; where each distinct token begins, with
  // the number of rows at the end; and which token it is.
  const std::vector<std::int32_t>& rows() const { return rows_; }
  const std::vector<std::int32_t>& starts() const { return starts_; }
  const std::vector<std::int32_t>& words() const { return words_; }

 private:
  std::vector<std::uint64_t> keys_;  // token << 32 | row
  std::vector<std::int32_t> rows_, starts_, words_;
};

}  // namespace muster::cuda
