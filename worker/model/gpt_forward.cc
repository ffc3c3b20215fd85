#include <algorithm>
#include <cstring>

#include "worker/model/gpt_slot.h"
#include "worker/model/random.h"

namespace muster::model {
namespace {

using kernels::Product;
using kernels::Tile;
using kernels::Transpose;

void Embed(const GptPass& pass) {
  const std::int64_t width = pass.shape.width;
  const float* words = pass.tensor(kTokenEmbedding);
  const float* positions = pass.tensor(kPositionEmbedding);
  pass.device.pool.For(pass.shape.rows(), [&](std::int64_t r) {
    float* x = pass.memory.embedded + r * width;
    std::memcpy(x, words + pass.token(r) * width, static_cast<std::size_t>(width) * sizeof(float));
    pass.device.kernels.add(positions + r % pass.shape.context * width, x, width);
    if (pass.dropout > 0) {
      Dropout(pass.Random(0), pass.dropout, r * width, {x, static_cast<std::size_t>(width)});
    }
  });
}

// y = residual + dropout(x w + bias), tile by tile.
void Branch(const GptPass& pass, const Linear& linear, std::int64_t operation, const float* x,
            const float* residual, float* y) {
  LinearForward(pass.device, linear, x, y, [&](const Tile& tile) {
    for (std::int64_t r = tile.row; r < tile.row + tile.rows; ++r) {
      const std::int64_t at = r * linear.out + tile.column;
      if (pass.dropout > 0) {
        Dropout(pass.Random(operation), pass.dropout, at,
                {y + at, static_cast<std::size_t>(tile.columns)});
      }
      pass.device.kernels.add(residual + at, y + at, tile.columns);
    }
  });
}

void BlockForward(const GptPass& pass, std::int64_t layer) {
  using enum BlockTensor;
  const std::int64_t width = pass.shape.width;
  const GptMemory::Block& b = pass.memory.blocks[static_cast<std::size_t>(layer)];
  Device& device = pass.device;

  NormForward(device, pass.NormOf(BlockIndex(layer, kNorm1Gain)), b.input, b.norm1, b.mean1,
              b.rstd1);
  LinearForward(device, pass.LinearOf(layer, kQkvWeight, width, 3 * width), b.norm1, b.qkv);
  AttentionForward(device, pass.AttentionShape(), b.qkv, b.probabilities, b.attended);
  Branch(pass, pass.LinearOf(layer, kAttentionWeight, width, width), 1 + 2 * layer, b.attended,
         b.input, b.middle);

  NormForward(device, pass.NormOf(BlockIndex(layer, kNorm2Gain)), b.middle, b.norm2, b.mean2,
              b.rstd2);
  LinearForward(device, pass.LinearOf(layer, kUpWeight, width, 4 * width), b.norm2, b.up,
                [&](const Tile& tile) {
                  for (std::int64_t r = tile.row; r < tile.row + tile.rows; ++r) {
                    const std::int64_t at = r * 4 * width + tile.column;
                    device.kernels.gelu(b.up + at, b.gelu + at, tile.columns);
                  }
                });
  Branch(pass, pass.LinearOf(layer, kDownWeight, 4 * width, width), 2 + 2 * layer, b.gelu, b.middle,
         b.output);
}

}  // namespace

SlotRandom GptPass::Random(std::int64_t operation) const {
  return SlotRandom(key, static_cast<std::uint64_t>(operation));
}

Linear GptPass::LinearOf(std::int64_t layer, BlockTensor weight, std::int64_t in,
                         std::int64_t out) const {
  const std::size_t index = BlockIndex(layer, weight);
  return {shape.rows(), in, out, tensor(index), tensor(index + 1)};
}

Norm GptPass::NormOf(std::size_t gain) const {
  return {shape.rows(), shape.width, tensor(gain), tensor(gain + 1)};
}

double Forward(const GptPass& pass, float gradient_scale, std::int64_t rows) {
  const GptShape& shape = pass.shape;
  GptMemory& memory = pass.memory;
  Embed(pass);
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) BlockForward(pass, layer);
  NormForward(pass.device, pass.NormOf(FinalNormGain(shape.layers)), memory.last, memory.final_norm,
              memory.final_mean, memory.final_rstd);
  kernels::Gemm(pass.device.pool,
                Product{.m = shape.rows(),
                        .n = shape.vocabulary,
                        .k = shape.width,
                        .a = {memory.final_norm, shape.width},
                        .b = {pass.tensor(kTokenEmbedding), shape.width, Transpose::kYes},
                        .c = memory.logits,
                        .stride = shape.logit_stride()});
  pass.device.pool.For(rows, [&](std::int64_t r) {
    memory.losses[static_cast<std::size_t>(r)] = pass.device.kernels.cross_entropy(
        memory.logits + r * shape.logit_stride(), pass.target(r), gradient_scale, shape.vocabulary);
  });
  // In row order, in double.
  double sum = 0;
  for (std::int64_t r = 0; r < rows; ++r) sum += memory.losses[static_cast<std::size_t>(r)];
  return sum;
}

}  // namespace muster::model
