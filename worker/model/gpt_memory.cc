#include "worker/model/gpt_memory.h"

#include <sys/mman.h>

#include <algorithm>

namespace muster::model {

GptMemory::GptMemory(const GptShape& shape) : shape_(shape) {
  Cut();  // counts
}

void GptMemory::Ensure() {
  if (data_ != nullptr) return;
  const std::size_t size = static_cast<std::size_t>(used_) * sizeof(float);
  data_.reset(static_cast<float*>(::operator new[](size, std::align_val_t{kAlignment})));
  // Fewer page faults and TLB misses; a refusal changes nothing but speed.
  (void)madvise(data_.get(), size, MADV_HUGEPAGE);
  losses.resize(static_cast<std::size_t>(shape_.rows()));
  Cut();
}

std::int64_t GptMemory::bytes() const {
  return used_ * static_cast<std::int64_t>(sizeof(float)) +
         shape_.rows() * static_cast<std::int64_t>(sizeof(double));
}

float* GptMemory::Take(std::int64_t floats) {
  float* at = data_ == nullptr ? nullptr : data_.get() + used_;
  used_ += (floats + 15) / 16 * 16;
  return at;
}

void GptMemory::Cut() {
  const GptShape& shape = shape_;
  used_ = 0;
  const std::int64_t rows = shape.rows();
  const std::int64_t stream = rows * shape.width;
  const std::int64_t scores = shape.batch * shape.heads * shape.context * shape.context;
  blocks.assign(static_cast<std::size_t>(shape.layers), {});
  embedded = Take(stream);
  last = embedded;
  for (Block& b : blocks) {
    b = {.input = last,
         .norm1 = Take(stream),
         .mean1 = Take(rows),
         .rstd1 = Take(rows),
         .qkv = Take(3 * stream),
         .probabilities = Take(scores),
         .attended = Take(stream),
         .middle = Take(stream),
         .norm2 = Take(stream),
         .mean2 = Take(rows),
         .rstd2 = Take(rows),
         .up = Take(4 * stream),
         .gelu = Take(4 * stream),
         .output = Take(stream)};
    last = b.output;
  }
  final_norm = Take(stream);
  final_mean = Take(rows);
  final_rstd = Take(rows);
  logits = Take(rows * shape.logit_stride());
  d_residual = Take(stream);
  d_branch = Take(stream);
  d_norm = Take(stream);
  d_qkv = Take(3 * stream);
  d_up = Take(4 * stream);
  d_scores = Take(scores);
  d_matrix = Take(std::max(4 * shape.width, shape.context) * shape.width);
  d_vector = Take(4 * shape.width);
  d_vector2 = Take(4 * shape.width);
  d_embedding = Take(shape.vocabulary * shape.width);
}

}  // namespace muster::model
