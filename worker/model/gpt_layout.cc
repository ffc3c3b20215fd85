#include "worker/model/gpt_layout.h"

namespace muster::model {
namespace {

void Append(Layout& layout, std::string name, std::vector<std::int64_t> shape) {
  Tensor tensor;
  tensor.name = std::move(name);
  tensor.offset = layout.parameters;
  tensor.size = 1;
  for (std::int64_t side : shape) tensor.size *= side;
  tensor.decay = shape.size() > 1;
  tensor.shape = std::move(shape);
  layout.parameters += tensor.size;
  layout.tensors.push_back(std::move(tensor));
}

}  // namespace

Layout MakeGptLayout(const api::ProgramConfig& config) {
  const std::int64_t width = config.width;
  Layout layout;
  Append(layout, "wte.weight", {config.vocabulary, width});
  Append(layout, "wpe.weight", {config.context, width});
  for (std::int32_t layer = 0; layer < config.layers; ++layer) {
    const std::string block = "h." + std::to_string(layer) + ".";
    Append(layout, block + "ln_1.weight", {width});
    Append(layout, block + "ln_1.bias", {width});
    Append(layout, block + "attn.c_attn.weight", {width, 3 * width});
    Append(layout, block + "attn.c_attn.bias", {3 * width});
    Append(layout, block + "attn.c_proj.weight", {width, width});
    Append(layout, block + "attn.c_proj.bias", {width});
    Append(layout, block + "ln_2.weight", {width});
    Append(layout, block + "ln_2.bias", {width});
    Append(layout, block + "mlp.c_fc.weight", {width, 4 * width});
    Append(layout, block + "mlp.c_fc.bias", {4 * width});
    Append(layout, block + "mlp.c_proj.weight", {4 * width, width});
    Append(layout, block + "mlp.c_proj.bias", {width});
  }
  Append(layout, "ln_f.weight", {width});
  Append(layout, "ln_f.bias", {width});
  return layout;
}

}  // namespace muster::model
