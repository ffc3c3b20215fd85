#include <algorithm>
#include <cstring>

#include "worker/model/gpt_slot.h"
#include "worker/model/random.h"

namespace muster::model {
namespace {

using kernels::Grid;
using kernels::Product;
using kernels::Tile;
using kernels::Tiles;
using kernels::Transpose;

void Finish(const GptPass& pass, GradientSink& sink, std::size_t index, const float* gradient) {
  sink.Finished(index, {gradient, static_cast<std::size_t>(pass.layout.tensors[index].size)});
}

// The gradient that enters a branch: the residual's, through the branch's dropout.
const float* IntoBranch(const GptPass& pass, std::int64_t operation) {
  if (pass.dropout == 0) return pass.memory.d_residual;
  const std::int64_t width = pass.shape.width;
  pass.device.pool.For(pass.shape.rows(), [&](std::int64_t r) {
    float* d = pass.memory.d_branch + r * width;
    std::memcpy(d, pass.memory.d_residual + r * width,
                static_cast<std::size_t>(width) * sizeof(float));
    Dropout(pass.Random(operation), pass.dropout, r * width, {d, static_cast<std::size_t>(width)});
  });
  return pass.memory.d_branch;
}

// Through one linear layer; its weight and bias are finished.
template <typename After = kernels::NoTileWork>
void Through(const GptPass& pass, GradientSink& sink, std::int64_t layer, BlockTensor weight,
             std::int64_t in, std::int64_t out, const float* x, const float* dy, float* dx,
             const After& after = {}) {
  GptMemory& memory = pass.memory;
  LinearBackward(pass.device, pass.LinearOf(layer, weight, in, out), x, dy, dx, memory.d_matrix,
                 memory.d_vector, after);
  const std::size_t index = BlockIndex(layer, weight);
  Finish(pass, sink, index, memory.d_matrix);
  Finish(pass, sink, index + 1, memory.d_vector);
}

// Through a norm, onto the residual's gradient.
void ThroughNorm(const GptPass& pass, GradientSink& sink, std::size_t gain, const float* x,
                 const float* mean, const float* rstd) {
  GptMemory& memory = pass.memory;
  NormBackward(pass.device, pass.NormOf(gain), x, mean, rstd, memory.d_norm, memory.d_residual,
               memory.d_vector, memory.d_vector2);
  Finish(pass, sink, gain, memory.d_vector);
  Finish(pass, sink, gain + 1, memory.d_vector2);
}

void BlockBackward(const GptPass& pass, GradientSink& sink, std::int64_t layer) {
  using enum BlockTensor;
  const std::int64_t width = pass.shape.width;
  const GptMemory::Block& b = pass.memory.blocks[static_cast<std::size_t>(layer)];
  GptMemory& memory = pass.memory;

  Through(pass, sink, layer, kDownWeight, 4 * width, width, b.gelu, IntoBranch(pass, 2 + 2 * layer),
          memory.d_up, [&](const Tile& tile) {
            for (std::int64_t r = tile.row; r < tile.row + tile.rows; ++r) {
              const std::int64_t at = r * 4 * width + tile.column;
              pass.device.kernels.gelu_backward(b.up + at, memory.d_up + at, memory.d_up + at,
                                                tile.columns);
            }
          });
  Through(pass, sink, layer, kUpWeight, width, 4 * width, b.norm2, memory.d_up, memory.d_norm);
  ThroughNorm(pass, sink, BlockIndex(layer, kNorm2Gain), b.middle, b.mean2, b.rstd2);

  Through(pass, sink, layer, kAttentionWeight, width, width, b.attended,
          IntoBranch(pass, 1 + 2 * layer), memory.d_norm);
  AttentionBackward(pass.device, pass.AttentionShape(), b.qkv, b.probabilities, memory.d_norm,
                    memory.d_scores, memory.d_qkv);
  Through(pass, sink, layer, kQkvWeight, width, 3 * width, b.norm1, memory.d_qkv, memory.d_norm);
  ThroughNorm(pass, sink, BlockIndex(layer, kNorm1Gain), b.input, b.mean1, b.rstd1);
}

// From the logits' gradient to the final norm's, and the head's part of the tied embedding.
void HeadBackward(const GptPass& pass) {
  const GptShape& shape = pass.shape;
  GptMemory& memory = pass.memory;
  const Product to_norm{.m = shape.rows(),
                        .n = shape.width,
                        .k = shape.vocabulary,
                        .a = {memory.logits, shape.logit_stride()},
                        .b = {pass.tensor(kTokenEmbedding), shape.width},
                        .c = memory.d_norm,
                        .stride = shape.width};
  const Product to_words{.m = shape.vocabulary,
                         .n = shape.width,
                         .k = shape.rows(),
                         .a = {memory.logits, shape.logit_stride(), Transpose::kYes},
                         .b = {memory.final_norm, shape.width},
                         .c = memory.d_embedding,
                         .stride = shape.width};
  const Grid norm_grid = kernels::MakeGrid(shape.rows(), shape.width);
  const Grid word_grid = kernels::MakeGrid(shape.vocabulary, shape.width);
  // The few long tiles first.
  pass.device.pool.For(norm_grid.count() + word_grid.count(), [&](std::int64_t i) {
    if (i < norm_grid.count()) {
      kernels::GemmOnTile(to_norm, norm_grid.at(i));
    } else {
      kernels::GemmOnTile(to_words, word_grid.at(i - norm_grid.count()));
    }
  });
}

// The embeddings' gradients: rows are added in row order within each tile of columns.
void EmbeddingBackward(const GptPass& pass, GradientSink& sink) {
  const GptShape& shape = pass.shape;
  GptMemory& memory = pass.memory;
  const float* d = IntoBranch(pass, 0);
  const std::size_t position_bytes =
      static_cast<std::size_t>(shape.context * shape.width) * sizeof(float);
  std::memset(memory.d_matrix, 0, position_bytes);
  pass.device.pool.For(Tiles(shape.width, kColumnTile), [&](std::int64_t i) {
    const std::int64_t column = i * kColumnTile;
    const std::int64_t columns = std::min(kColumnTile, shape.width - column);
    for (std::int64_t r = 0; r < shape.rows(); ++r) {
      const float* row = d + r * shape.width + column;
      pass.device.kernels.add(row, memory.d_matrix + r % shape.context * shape.width + column,
                              columns);
      pass.device.kernels.add(row, memory.d_embedding + pass.token(r) * shape.width + column,
                              columns);
    }
  });
  Finish(pass, sink, kPositionEmbedding, memory.d_matrix);
  Finish(pass, sink, kTokenEmbedding, memory.d_embedding);
}

}  // namespace

void Backward(const GptPass& pass, GradientSink& sink) {
  const GptShape& shape = pass.shape;
  GptMemory& memory = pass.memory;
  HeadBackward(pass);
  std::memset(memory.d_residual, 0,
              static_cast<std::size_t>(shape.rows() * shape.width) * sizeof(float));
  ThroughNorm(pass, sink, FinalNormGain(shape.layers), memory.last, memory.final_mean,
              memory.final_rstd);
  for (std::int64_t layer = shape.layers - 1; layer >= 0; --layer) BlockBackward(pass, sink, layer);
  EmbeddingBackward(pass, sink);
}

}  // namespace muster::model
