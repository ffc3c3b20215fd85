#include "worker/cuda/gpt_plan.h"

#include <algorithm>
#include <cstdio>

#include "worker/cuda/cublaslt.h"
#include "worker/cuda/cudnn_attention.h"
#include "worker/cuda/slot_sums.h"

namespace muster::cuda {
namespace {

constexpr std::int64_t kCacheLines = 256;
constexpr std::int64_t kMostCount = INT32_MAX / 16;

std::int32_t Refuse(MusterCudaText message, const char* field, double value, const char* allowed) {
  char why[160];
  std::snprintf(why, sizeof why, "%s is %.12g: allowed is %s", field, value, allowed);
  return Complain(message, "the configuration of the GPT", why);
}

// Cuts pieces off a base, or counts them.
class Knife {
 public:
  explicit Knife(void* base) : base_(static_cast<unsigned char*>(base)) {}
  template <typename T>
  void Cut(T*& to, std::int64_t count) {
    to = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += Up(count * static_cast<std::int64_t>(sizeof(T)));
  }
  void CutBytes(void*& to, std::int64_t bytes) {
    to = base_ == nullptr ? nullptr : base_ + used_;
    used_ += Up(bytes);
  }
  std::int64_t used() const { return used_; }

 private:
  static std::int64_t Up(std::int64_t bytes) {
    return (bytes + kCacheLines - 1) / kCacheLines * kCacheLines;
  }
  unsigned char* const base_;
  std::int64_t used_ = 0;
};

void CutBlock(Knife& knife, const GptShape& shape, const GptBuffers::Block& shared,
              GptBuffers::Block& b) {
  const std::int64_t stream = shape.rows * shape.width;
  b.norm1 = shared.norm1;
  b.norm2 = shared.norm2;
  b.gelu = shared.gelu;
  if (shape.recompute < 2) {
    knife.Cut(b.norm1, stream);
    knife.Cut(b.norm2, stream);
  }
  if (shape.recompute < 1) knife.Cut(b.gelu, 4 * stream);
  knife.Cut(b.qkv, 3 * stream);
  knife.Cut(b.attended, stream);
  knife.Cut(b.middle, stream);
  knife.Cut(b.up, 4 * stream);
  knife.Cut(b.output, stream);
  for (float** statistic : {&b.mean1, &b.rstd1, &b.mean2, &b.rstd2}) {
    knife.Cut(*statistic, shape.rows);
  }
  knife.Cut(b.lse, shape.rows * shape.heads);
}

void CutBackward(Knife& knife, const GptShape& shape, GptBuffers& all) {
  const std::int64_t stream = shape.rows * shape.width;
  knife.Cut(all.d_norm, stream);
  knife.Cut(all.d_qkv, 3 * stream);
  knife.Cut(all.d_up, 4 * stream);
  knife.Cut(all.d_residual, stream);
  knife.Cut(all.d_dot, shape.rows * shape.heads);
  knife.Cut(all.d_matrix, std::max(4 * shape.width, shape.context) * shape.width);
  knife.Cut(all.d_vector, 4 * shape.width);
  knife.Cut(all.d_vector2, 4 * shape.width);
  knife.Cut(all.d_words, shape.padded * shape.width);
  knife.Cut(all.scratch, ColumnScratch(shape.rows, 4 * shape.width));
}

}  // namespace

cudnn::AttentionShape AttentionShapeOf(const MusterCudaGptConfig& c) {
  cudnn::AttentionShape shape;
  shape.batch = c.batch;
  shape.context = c.context;
  shape.heads = c.heads;
  shape.width = c.width;
  return shape;
}

std::int32_t CheckGptConfig(const MusterCudaGptConfig& c, MusterCudaText message) {
  struct Count {
    const char* field;
    std::int32_t value, least;
  };
  const Count counts[] = {{"layers", c.layers, 1},        {"heads", c.heads, 1},
                          {"width", c.width, 16},         {"context", c.context, 1},
                          {"batch", c.batch, 1},          {"vocabulary", c.vocabulary, 2},
                          {"chunk_rows", c.chunk_rows, 1}};
  for (const Count& count : counts) {
    if (count.value >= count.least && count.value <= kMostCount) continue;
    char allowed[64];
    std::snprintf(allowed, sizeof allowed, "%d to %lld", static_cast<int>(count.least),
                  static_cast<long long>(kMostCount));
    return Refuse(message, count.field, count.value, allowed);
  }
  const std::int32_t size = c.width / c.heads;
  if (c.width % c.heads != 0 || size % 16 != 0 || size < 16 || size > 128) {
    return Refuse(message, "width", c.width,
                  "heads x the size of a head, which is a multiple of 16 up to 128");
  }
  if (static_cast<std::int64_t>(c.batch) * c.context > kMostCount) {
    return Refuse(message, "batch x context", static_cast<double>(c.batch) * c.context,
                  "at most 134217727");
  }
  if (c.batch > 65535) return Refuse(message, "batch", c.batch, "1 to 65535");
  if (c.heads > 65535) return Refuse(message, "heads", c.heads, "1 to 65535");
  if (!(c.dropout >= 0 && c.dropout < 1)) {
    return Refuse(message, "dropout", c.dropout, "0 or more and less than 1");
  }
  if (c.recompute < 0 || c.recompute > 2)
    return Refuse(message, "recompute", c.recompute, "0 to 2");
  if (c.products != MUSTER_CUDA_PRODUCTS_OWN && c.products != MUSTER_CUDA_PRODUCTS_CUBLASLT) {
    return Refuse(message, "products", c.products, "0 (own kernels) or 1 (cuBLASLt)");
  }
  if (c.products == MUSTER_CUDA_PRODUCTS_OWN && (c.table != nullptr || c.tune != 0)) {
    return Refuse(message, "products", c.products, "1 (cuBLASLt) with a table of algorithms");
  }
  if (c.attention != MUSTER_CUDA_ATTENTION_OWN && c.attention != MUSTER_CUDA_ATTENTION_CUDNN) {
    return Refuse(message, "attention", c.attention, "0 (own kernels) or 1 (cuDNN)");
  }
  if (c.attention == MUSTER_CUDA_ATTENTION_CUDNN && CheckShape(AttentionShapeOf(c)) != nullptr) {
    return Refuse(message, "context", c.context, "a multiple of 128 with the attention of cuDNN");
  }
  return 0;
}

GptShape::GptShape(const MusterCudaGptConfig& c)
    : layers(c.layers),
      heads(c.heads),
      width(c.width),
      context(c.context),
      batch(c.batch),
      vocabulary(c.vocabulary),
      rows(static_cast<std::int64_t>(c.batch) * c.context),
      padded((static_cast<std::int64_t>(c.vocabulary) + 15) / 16 * 16),
      chunk(std::min<std::int64_t>(c.chunk_rows, rows)),
      recompute(c.recompute),
      final_gain(BlockTensorIndex(c.layers, GptTensor::kNorm1Gain)) {
  offsets.push_back(0);
  const auto append = [&](std::int64_t size) { offsets.push_back(offsets.back() + size); };
  append(vocabulary * width);
  append(context * width);
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    // The first norm; query, key and value; attention's projection; the second norm; the MLP.
    const std::int64_t block[] = {
        width, width, 3 * width * width, 3 * width, width * width,     width,
        width, width, 4 * width * width, 4 * width, 4 * width * width, width};
    for (const std::int64_t size : block) append(size);
  }
  append(width);
  append(width);
}

SlotInputs CutSlotInputs(const GptShape& shape, void* base) {
  Knife knife(base);
  SlotInputs in;
  knife.Cut(in.numbers, 1);
  knife.Cut(in.tokens, shape.batch * (shape.context + 1));
  in.forward_bytes = knife.used();
  knife.Cut(in.rows, shape.rows);
  knife.Cut(in.starts, shape.rows + 1);
  knife.Cut(in.words, shape.rows);
  in.bytes = knife.used();
  return in;
}

GptBuffers CutGptBuffers(const MusterCudaGptConfig& config, void* base) {
  const GptShape shape(config);
  const std::int64_t stream = shape.rows * shape.width;
  Knife knife(base);
  GptBuffers all;
  knife.Cut(all.weights, shape.parameters() + (shape.padded - shape.vocabulary) * shape.width);
  void* inputs = nullptr;
  knife.CutBytes(inputs, CutSlotInputs(shape, nullptr).bytes);
  all.in = CutSlotInputs(shape, inputs);
  knife.Cut(all.embedded, stream);
  GptBuffers::Block shared;
  if (shape.recompute >= 1) knife.Cut(shared.gelu, 4 * stream);
  if (shape.recompute >= 2) {
    knife.Cut(shared.norm1, stream);
    shared.norm2 = shared.norm1;
  }
  all.blocks.resize(static_cast<std::size_t>(shape.layers));
  all.last = all.embedded;
  for (GptBuffers::Block& b : all.blocks) {
    b.input = all.last;
    CutBlock(knife, shape, shared, b);
    all.last = b.output;
  }
  knife.Cut(all.final_norm, stream);
  knife.Cut(all.final_mean, shape.rows);
  knife.Cut(all.final_rstd, shape.rows);
  knife.Cut(all.branch, stream);
  knife.Cut(all.logits, shape.chunk * shape.padded);
  CutBackward(knife, shape, all);
  knife.Cut(all.losses, shape.rows);
  if (config.products == MUSTER_CUDA_PRODUCTS_CUBLASLT) {
    knife.CutBytes(all.workspace, kCublasLtWorkspace);
  }
  if (config.attention == MUSTER_CUDA_ATTENTION_CUDNN) {
    knife.CutBytes(all.attention_workspace, CudnnWorkspace(AttentionShapeOf(config)));
  }
  all.bytes = knife.used();
  return all;
}

}  // namespace muster::cuda
