#include "worker/train/sum_parts.h"

#include <algorithm>

#include "operator/base/check.h"

namespace muster::train {

std::vector<SumPart> CutSums(const model::Layout& layout, std::size_t most) {
  const auto parts_at_most = static_cast<std::int64_t>(std::max<std::size_t>(most, 1));
  const std::int64_t least = (layout.parameters + parts_at_most - 1) / parts_at_most;
  std::vector<SumPart> parts;
  SumPart part;
  for (std::size_t t = layout.tensors.size(); t-- > 0;) {
    const model::Tensor& tensor = layout.tensors[t];
    part.first_tensor = t;
    part.first_element = tensor.offset;
    part.elements += tensor.size;
    ++part.tensors;
    if (part.elements < least && t > 0) continue;
    parts.push_back(part);
    part = SumPart{};
  }
  return parts;
}

PartsComplete::PartsComplete(const std::vector<SumPart>& parts) : parts_(parts) {
  for (const SumPart& part : parts) left_.push_back(part.tensors);
}

std::size_t PartsComplete::Finished(std::size_t tensor) {
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const SumPart& part = parts_[p];
    if (tensor < part.first_tensor || tensor >= part.first_tensor + part.tensors) continue;
    MUSTER_CHECK(left_[p] > 0, "a tensor is finished once");
    --left_[p];
  }
  while (complete_ < parts_.size() && left_[complete_] == 0) ++complete_;
  return complete_;
}

}  // namespace muster::train
