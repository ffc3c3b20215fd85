#include "worker/device/memory.h"

#include "operator/base/check.h"

namespace muster::device {
namespace {

constexpr std::int64_t kFloat = sizeof(float);

std::int64_t SumBytes(api::Reduction reduction) {
  switch (reduction) {
    case api::Reduction::kExact64:
      return sizeof(std::int64_t);
    case api::Reduction::kExact32:
      return sizeof(std::int32_t);
    case api::Reduction::kFloat:
      return sizeof(float);
  }
  return sizeof(std::int64_t);
}

std::int64_t BytesPerToken(const ActivationShape& shape) {
  const std::int64_t scores = shape.heads * shape.context;
  const std::int64_t layer = 16 * shape.width + 4 + scores;
  const std::int64_t logits = (shape.vocabulary + 15) / 16 * 16;
  const std::int64_t floats = shape.layers * layer + 12 * shape.width + 2 + logits + scores;
  return kFloat * floats + static_cast<std::int64_t>(sizeof(double));
}

}  // namespace

DeviceBytes CountDeviceBytes(std::int64_t parameters, api::Reduction reduction,
                             const ActivationShape& shape) {
  MUSTER_CHECK(parameters > 0 && shape.batch > 0 && shape.context > 0, "an empty model");
  DeviceBytes bytes;
  bytes.state = parameters * 3 * kFloat;
  bytes.gradient = parameters * kFloat;
  bytes.sum = parameters * SumBytes(reduction);
  bytes.reduced = bytes.sum;
  bytes.activations = shape.batch * shape.context * BytesPerToken(shape);
  return bytes;
}

}  // namespace muster::device
