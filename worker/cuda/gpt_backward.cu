#include "worker/cuda/gpt_engine.h"

namespace muster::cuda {
namespace {

struct BackShape {
  std::int64_t in = 0, out = 0;
};

// Through one linear layer: dx = dy w^T where there is a place for it, times gelu'(pre) where there
// is that; then its weight and bias are finished.
void Through(GptPass& pass, std::int32_t weight, const BackShape& sides, const Bf16* x,
             const Bf16* dy, Bf16* dx, Bf16* pre = nullptr) {
  const GptBuffers& memory = pass.memory;
  Product to_x;
  to_x.m = pass.shape.rows;
  to_x.n = sides.in;
  to_x.k = sides.out;
  to_x.a = {dy, sides.out, false};
  to_x.b = {pass.copy(weight), sides.out, true};
  to_x.c = dx;
  to_x.stride = sides.in;
  to_x.epilogue = pre == nullptr ? Epilogue::kNone : Epilogue::kGeluBackward;
  to_x.pre = pre;
  pass.Multiply(to_x);
  Product to_weight;
  to_weight.m = sides.in;
  to_weight.n = sides.out;
  to_weight.k = pass.shape.rows;
  to_weight.a = {x, sides.in, true};
  to_weight.b = {dy, sides.out, false};
  to_weight.c_float = memory.d_matrix;
  to_weight.stride = sides.out;
  pass.Multiply(to_weight);
  pass.Launched("column_sum", LaunchColumnSum(pass.stream, dy, pass.shape.rows, sides.out,
                                              memory.scratch, memory.d_vector));
  pass.Finish(weight, memory.d_matrix);
  pass.Finish(weight + 1, memory.d_vector);
}

struct NormIn {
  const Bf16* x = nullptr;
  const float* mean = nullptr;
  const float* rstd = nullptr;
};

// Through a norm, onto the residual's gradient, and from there into the branch that ended before
// it, through that branch's dropout.
void ThroughNorm(GptPass& pass, std::int32_t gain, const NormIn& in, std::int64_t operation) {
  const GptBuffers& memory = pass.memory;
  FusedNormBackward n;
  n.rows = pass.shape.rows;
  n.width = pass.shape.width;
  n.x = in.x;
  n.gain = pass.tensor(gain);
  n.mean = in.mean;
  n.rstd = in.rstd;
  n.dy = memory.d_norm;
  n.d_stream = memory.d_residual;
  n.accumulate = gain != pass.shape.final_gain;
  n.d_branch = operation == 0 ? nullptr : memory.branch;
  n.dropout = pass.DropoutOf(operation);
  n.d_gain = memory.d_vector;
  n.d_bias = memory.d_vector2;
  n.scratch = memory.scratch;
  pass.Launched("fused_norm_backward", LaunchFusedNormBackward(pass.stream, n));
  pass.Finish(gain, memory.d_vector);
  pass.Finish(gain + 1, memory.d_vector2);
}

// A norm's output, made again where blocks share its place.
void MakeNormAgain(GptPass& pass, std::int32_t gain, const NormIn& in, Bf16* y, float* mean,
                   float* rstd) {
  if (pass.shape.recompute < 2) return;
  FusedNorm n;
  n.rows = pass.shape.rows;
  n.width = pass.shape.width;
  n.residual = in.x;
  n.gain = pass.tensor(gain);
  n.bias = pass.tensor(gain + 1);
  n.y = y;
  n.mean = mean;
  n.rstd = rstd;
  pass.Launched("norm_again", LaunchNormAgain(pass.stream, n));
}

void BlockBackward(GptPass& pass, std::int32_t layer) {
  const std::int64_t width = pass.shape.width;
  const GptBuffers& memory = pass.memory;
  const GptBuffers::Block& b = memory.blocks[static_cast<std::size_t>(layer)];
  const auto index = [&](GptTensor tensor) { return BlockTensorIndex(layer, tensor); };
  const NormIn norm1{b.input, b.mean1, b.rstd1};
  const NormIn norm2{b.middle, b.mean2, b.rstd2};

  if (pass.shape.recompute >= 1) {
    pass.Launched("gelu", LaunchGelu(pass.stream, b.up, b.gelu, pass.shape.rows * 4 * width));
  }
  Through(pass, index(GptTensor::kDownWeight), {4 * width, width}, b.gelu, memory.branch,
          memory.d_up, b.up);
  MakeNormAgain(pass, index(GptTensor::kNorm2Gain), norm2, b.norm2, b.mean2, b.rstd2);
  Through(pass, index(GptTensor::kUpWeight), {width, 4 * width}, b.norm2, memory.d_up,
          memory.d_norm);
  ThroughNorm(pass, index(GptTensor::kNorm2Gain), norm2, 1 + 2 * layer);

  Through(pass, index(GptTensor::kAttentionWeight), {width, width}, b.attended, memory.branch,
          memory.d_norm);
  pass.AttendBackward(b);
  MakeNormAgain(pass, index(GptTensor::kNorm1Gain), norm1, b.norm1, b.mean1, b.rstd1);
  Through(pass, index(GptTensor::kQkvWeight), {width, 3 * width}, b.norm1, memory.d_qkv,
          memory.d_norm);
  ThroughNorm(pass, index(GptTensor::kNorm1Gain), norm1, 2 * layer);
}

}  // namespace

void Backward(GptPass& pass) {
  const GptBuffers& memory = pass.memory;
  ThroughNorm(pass, pass.shape.final_gain, {memory.last, memory.final_mean, memory.final_rstd},
              2 * pass.shape.layers);
  for (auto layer = static_cast<std::int32_t>(pass.shape.layers);
       layer-- > 0 && pass.failed == 0;) {
    BlockBackward(pass, layer);
  }
  TokenRows order;
  order.most = pass.shape.rows < pass.shape.vocabulary ? pass.shape.rows : pass.shape.vocabulary;
  order.distinct = &memory.in.numbers->distinct;
  order.words = memory.in.words;
  order.starts = memory.in.starts;
  order.rows = memory.in.rows;
  pass.Launched("embedding_backward",
                LaunchEmbeddingBackward(pass.stream, pass.EmbeddingOf(), order, memory.d_residual,
                                        memory.d_words, memory.d_matrix));
  pass.Finish(kPositionTensor, memory.d_matrix);
  pass.Finish(kTokenTensor, memory.d_words);
}

}  // namespace muster::cuda
