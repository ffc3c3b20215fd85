#include "worker/cuda/context.h"
#include "worker/cuda/gpt_engine.h"
#include "worker/cuda/gpt_graphs.h"

namespace muster::cuda {
namespace {

// The bfloat16 copy of the weights; the rows of zeros behind the embedding are there for good.
void CopyWeights(GptPass& pass) {
  const GptShape& shape = pass.shape;
  pass.Launched("to_bf16", LaunchToBf16(pass.stream, pass.weights, pass.memory.weights,
                                        shape.size(kTokenTensor)));
  const std::int64_t rest = shape.offsets[kPositionTensor];
  pass.Launched("to_bf16", LaunchToBf16(pass.stream, pass.weights + rest,
                                        pass.memory.weights + shape.copy_offset(kPositionTensor),
                                        shape.parameters() - rest));
}

// Where a norm's output and statistics go.
struct NormOut {
  Bf16* y = nullptr;
  float* mean = nullptr;
  float* rstd = nullptr;
};

// stream = residual + dropout(branch), then the norm whose gain is tensor `gain`.
void Norm(GptPass& pass, std::int32_t gain, const Bf16* residual, const Bf16* branch,
          std::int64_t operation, Bf16* stream, const NormOut& out) {
  FusedNorm n;
  n.rows = pass.shape.rows;
  n.width = pass.shape.width;
  n.residual = residual;
  n.branch = branch;
  n.stream = stream;
  n.gain = pass.tensor(gain);
  n.bias = pass.tensor(gain + 1);
  n.y = out.y;
  n.mean = out.mean;
  n.rstd = out.rstd;
  if (branch != nullptr) n.dropout = pass.DropoutOf(operation);
  pass.Launched("fused_norm", LaunchFusedNorm(pass.stream, n));
}

// y = x w + bias, and with `pre` that goes there, and its GELU to y.
void Linear(GptPass& pass, std::int32_t weight, const Bf16* x, std::int64_t in, std::int64_t out,
            Bf16* y, Bf16* pre = nullptr) {
  Product p;
  p.m = pass.shape.rows;
  p.n = out;
  p.k = in;
  p.a.data = x;
  p.a.stride = in;
  p.b.data = pass.copy(weight);
  p.b.stride = out;
  p.c = y;
  p.stride = out;
  p.epilogue = pre == nullptr ? Epilogue::kBias : Epilogue::kBiasGelu;
  p.bias = pass.copy(weight + 1);
  p.pre = pre;
  pass.Multiply(p);
}

NormOut NextNorm(const GptPass& pass, std::int32_t layer) {
  const GptBuffers& memory = pass.memory;
  if (layer >= pass.shape.layers) {
    return {memory.final_norm, memory.final_mean, memory.final_rstd};
  }
  const GptBuffers::Block& b = memory.blocks[static_cast<std::size_t>(layer)];
  return {b.norm1, b.mean1, b.rstd1};
}

// A block from its first norm's output to the next block's.
void BlockForward(GptPass& pass, std::int32_t layer) {
  const std::int64_t width = pass.shape.width;
  const GptBuffers::Block& b = pass.memory.blocks[static_cast<std::size_t>(layer)];
  Bf16* const branch = pass.memory.branch;
  const auto index = [&](GptTensor tensor) { return BlockTensorIndex(layer, tensor); };

  Linear(pass, index(GptTensor::kQkvWeight), b.norm1, width, 3 * width, b.qkv);
  pass.Attend(b);
  Linear(pass, index(GptTensor::kAttentionWeight), b.attended, width, width, branch);
  Norm(pass, index(GptTensor::kNorm2Gain), b.input, branch, 1 + 2 * layer, b.middle,
       {b.norm2, b.mean2, b.rstd2});
  if (pass.shape.recompute == 0) {
    Linear(pass, index(GptTensor::kUpWeight), b.norm2, width, 4 * width, b.gelu, b.up);
  } else {
    // By the kernel that makes it again on the way back, whoever multiplies.
    Linear(pass, index(GptTensor::kUpWeight), b.norm2, width, 4 * width, b.up);
    pass.Launched("gelu", LaunchGelu(pass.stream, b.up, b.gelu, pass.shape.rows * 4 * width));
  }
  Linear(pass, index(GptTensor::kDownWeight), b.gelu, 4 * width, width, branch);
  Norm(pass, BlockTensorIndex(layer + 1, GptTensor::kNorm1Gain), b.middle, branch, 2 + 2 * layer,
       b.output, NextNorm(pass, layer + 1));
}

// One chunk of rows through the head; with a scale also back.
void HeadChunk(GptPass& pass, std::int64_t first, std::int64_t rows, float scale) {
  const GptShape& shape = pass.shape;
  const GptBuffers& memory = pass.memory;
  const Bf16* const x = memory.final_norm + first * shape.width;
  Product logits;
  logits.m = rows;
  logits.n = shape.padded;
  logits.k = shape.width;
  logits.a = {x, shape.width, false};
  logits.b = {pass.copy(kTokenTensor), shape.width, true};
  logits.c = memory.logits;
  logits.stride = shape.padded;
  pass.Multiply(logits);
  HeadLoss loss;
  loss.first_row = first;
  loss.rows = rows;
  loss.vocabulary = shape.vocabulary;
  loss.stride = shape.padded;
  loss.context = shape.context;
  loss.tokens = memory.in.tokens;
  loss.logits = memory.logits;
  loss.scale = scale;
  loss.losses = memory.losses;
  pass.Launched("head_loss", LaunchHeadLoss(pass.stream, loss));
  if (scale == 0.0f) return;

  Product to_norm;
  to_norm.m = rows;
  to_norm.n = shape.width;
  to_norm.k = shape.padded;
  to_norm.a = {memory.logits, shape.padded, false};
  to_norm.b = {pass.copy(kTokenTensor), shape.width, false};
  to_norm.c = memory.d_norm + first * shape.width;
  to_norm.stride = shape.width;
  pass.Multiply(to_norm);
  Product to_words;
  to_words.m = shape.padded;
  to_words.n = shape.width;
  to_words.k = rows;
  to_words.a = {memory.logits, shape.padded, true};
  to_words.b = {x, shape.width, false};
  to_words.c_float = memory.d_words;
  to_words.stride = shape.width;
  to_words.accumulate = first != 0;
  pass.Multiply(to_words);
}

}  // namespace

Embedding GptPass::EmbeddingOf() const {
  Embedding e;
  e.batch = shape.batch;
  e.context = shape.context;
  e.width = shape.width;
  e.tokens = memory.in.tokens;
  e.words = tensor(kTokenTensor);
  e.positions = tensor(kPositionTensor);
  e.dropout = DropoutOf(0);
  return e;
}

AttentionPass GptPass::AttentionOf(const GptBuffers::Block& b) const {
  AttentionPass a;
  a.batch = shape.batch;
  a.context = shape.context;
  a.heads = shape.heads;
  a.width = shape.width;
  a.qkv = b.qkv;
  a.out = b.attended;
  a.lse = b.lse;
  a.d_out = memory.d_norm;
  a.d_dot = memory.d_dot;
  a.d_qkv = memory.d_qkv;
  return a;
}

void GptPass::Launched(const char* name, cudaError_t error) {
  if (failed == 0) failed = Say(name, error, message);
}

void GptPass::Multiply(const Product& product) {
  if (failed == 0) failed = multiplier.Multiply(stream, product, message);
}

void GptPass::Attend(const GptBuffers::Block& b) {
  if (failed == 0) failed = attention.Forward(stream, AttentionOf(b), message);
}

void GptPass::AttendBackward(const GptBuffers::Block& b) {
  if (failed == 0) failed = attention.Backward(stream, AttentionOf(b), message);
}

void GptPass::Finish(std::int32_t tensor, const float* gradient) {
  if (failed != 0) return;
  if (recorder != nullptr) {
    failed = recorder->Finish({tensor, gradient}, message);
    return;
  }
  if (finished(user, tensor, gradient, shape.size(tensor)) == 0) return;
  failed = Complain(message, "a finished gradient", "its receiver ended the slot");
}

void Forward(GptPass& pass, float gradient_scale) {
  CopyWeights(pass);
  pass.Launched("embed", LaunchEmbed(pass.stream, pass.EmbeddingOf(), pass.memory.embedded));
  Norm(pass, BlockTensorIndex(0, GptTensor::kNorm1Gain), pass.memory.embedded, nullptr, 0, nullptr,
       NextNorm(pass, 0));
  for (std::int32_t layer = 0; layer < pass.shape.layers && pass.failed == 0; ++layer) {
    BlockForward(pass, layer);
  }
  const std::int64_t chunk = pass.shape.chunk;
  for (std::int64_t row = 0; row < pass.shape.rows && pass.failed == 0; row += chunk) {
    const std::int64_t left = pass.shape.rows - row;
    HeadChunk(pass, row, left < chunk ? left : chunk, gradient_scale);
  }
}

void SumLosses(GptPass& pass, std::int64_t rows, double* sum) {
  pass.Launched("loss_sum", LaunchLossSum(pass.stream, pass.memory.losses, rows, sum));
}

}  // namespace muster::cuda
