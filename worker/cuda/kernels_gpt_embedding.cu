// Tokens and positions to rows, and back. Numbers are float here: the weights as they are kept, and
// the gradient of the residual stream.
#include "worker/cuda/kernels_gpt.h"

namespace muster::cuda {
namespace {

constexpr int kEmbeddingThreads = 128;

// A block a row, a thread four columns at a time.
__global__ void EmbedKernel(Embedding e, Bf16* out) {
  e.dropout = WithKey(e.dropout);
  const std::int64_t row = blockIdx.x;
  const std::int64_t position = row % e.context;
  const std::int64_t token = e.tokens[row / e.context * (e.context + 1) + position];
  const float* const words = e.words + token * e.width;
  const float* const positions = e.positions + position * e.width;
  for (std::int64_t i = threadIdx.x * 4; i < e.width; i += blockDim.x * 4) {
    float x[4];
    for (int j = 0; j < 4; ++j) x[j] = words[i + j] + positions[i + j];
    Drop4(e.dropout, row * e.width + i, x);
    Bf16x4 quad;
    for (int j = 0; j < 4; ++j) quad.at[j] = ToBf16(x[j]);
    *reinterpret_cast<Bf16x4*>(out + row * e.width + i) = quad;
  }
}

// sum[0..4) += the row's gradient at column i, through the dropout.
__device__ void AddRow(const Embedding& e, const float* d, std::int64_t row, std::int64_t i,
                       float* sum) {
  float x[4];
  for (int j = 0; j < 4; ++j) x[j] = d[row * e.width + i + j];
  Drop4(e.dropout, row * e.width + i, x);
  for (int j = 0; j < 4; ++j) sum[j] += x[j];
}

// A block a distinct token: its rows one after the other. There are more blocks than tokens: how many
// are needed is not known when a graph is made.
__global__ void WordsKernel(Embedding e, TokenRows order, const float* d, float* d_words) {
  if (static_cast<std::int64_t>(blockIdx.x) >= *order.distinct) return;
  e.dropout = WithKey(e.dropout);
  const std::int32_t first = order.starts[blockIdx.x], end = order.starts[blockIdx.x + 1];
  float* const to = d_words + order.words[blockIdx.x] * e.width;
  for (std::int64_t i = threadIdx.x * 4; i < e.width; i += blockDim.x * 4) {
    float sum[4];
    for (int j = 0; j < 4; ++j) sum[j] = to[i + j];
    for (std::int32_t at = first; at < end; ++at) AddRow(e, d, order.rows[at], i, sum);
    for (int j = 0; j < 4; ++j) to[i + j] = sum[j];
  }
}

// A block a position: the samples of the batch one after the other.
__global__ void PositionsKernel(Embedding e, const float* d, float* d_positions) {
  e.dropout = WithKey(e.dropout);
  const std::int64_t position = blockIdx.x;
  for (std::int64_t i = threadIdx.x * 4; i < e.width; i += blockDim.x * 4) {
    float sum[4] = {0, 0, 0, 0};
    for (std::int64_t b = 0; b < e.batch; ++b) AddRow(e, d, b * e.context + position, i, sum);
    for (int j = 0; j < 4; ++j) d_positions[position * e.width + i + j] = sum[j];
  }
}

}  // namespace

cudaError_t LaunchEmbed(cudaStream_t stream, const Embedding& e, Bf16* out) {
  return Launch(EmbedKernel, Blocks(kEmbeddingThreads, e.batch * e.context), stream, e, out);
}

cudaError_t LaunchEmbeddingBackward(cudaStream_t stream, const Embedding& e, const TokenRows& order,
                                    const float* d, float* d_words, float* d_positions) {
  const cudaError_t error =
      Launch(PositionsKernel, Blocks(kEmbeddingThreads, e.context), stream, e, d, d_positions);
  if (error != cudaSuccess) return error;
  return Launch(WordsKernel, Blocks(kEmbeddingThreads, order.most), stream, e, order, d, d_words);
}

}  // namespace muster::cuda
