// Launchers of the kernels of a GPT's slot. Activations are bfloat16, statistics and gradients of
// tensors float; sums inside a kernel are float.
//
// What threads and blocks add, they add over trees whose shape follows from the matrices' shape
// alone: no float is added atomically, and no result depends on the grid (E3). Widths are multiples
// of 16. Thread rule: a stream's launches come from one thread.
#pragma once

#include <cstdint>
#include <memory>

#include "worker/cuda/attention.h"
#include "worker/cuda/bf16.h"
#include "worker/cuda/launch.h"
#include "worker/cuda/matmul.h"
#include "worker/cuda/slot_random.h"
#include "worker/cuda/slot_sums.h"

namespace muster::cuda {

template <bool, typename A, typename B>
struct Choose {
  using Type = A;
};
template <typename A, typename B>
struct Choose<false, A, B> {
  using Type = B;
};

inline std::int64_t Parts(std::int64_t count, std::int64_t each) {
  return (count + each - 1) / each;
}
inline Grid Blocks(int threads, std::int64_t x, std::int64_t y = 1, std::int64_t z = 1) {
  Grid grid;
  grid.blocks = dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z));
  grid.threads = dim3(static_cast<unsigned>(threads));
  return grid;
}

// ---- kernels_gpt_matmul.cu ----

// The product was checked (CheckProduct).
cudaError_t LaunchMatmul(cudaStream_t stream, const Product& product);
// Checks, and launches it.
std::unique_ptr<Multiplier> MakeOwnMultiplier();

// ---- kernels_gpt_elements.cu ----

// Counts are multiples of 4, as all of these are.
cudaError_t LaunchToBf16(cudaStream_t stream, const float* from, Bf16* to, std::int64_t count);
cudaError_t LaunchGelu(cudaStream_t stream, const Bf16* pre, Bf16* out, std::int64_t count);
// d = d x gelu'(pre)
cudaError_t LaunchGeluBackward(cudaStream_t stream, const Bf16* pre, Bf16* d, std::int64_t count);

// sum[j] = sum of x[i][j] over the rows: chunks of rows in order, then the chunks in order.
// scratch: ColumnScratch(rows, width) floats.
cudaError_t LaunchColumnSum(cudaStream_t stream, const Bf16* x, std::int64_t rows,
                            std::int64_t width, float* scratch, float* sum);
// The second half of it alone.
cudaError_t LaunchChunkSum(cudaStream_t stream, const float* chunks, std::int64_t count,
                           std::int64_t width, float* sum);

// ---- kernels_gpt_embedding.cu ----

struct Embedding {
  std::int64_t batch = 0, context = 0, width = 0;
  const std::int32_t* tokens = nullptr;  // batch x (context + 1)
  const float* words = nullptr;
  const float* positions = nullptr;
  Dropout dropout;
};
cudaError_t LaunchEmbed(cudaStream_t stream, const Embedding& e, Bf16* out);

// Rows of a slot in the order of their tokens: rows[starts[i] .. starts[i + 1]) have the token
// words[i], in ascending order. Made on the host (token_order.h).
struct TokenRows {
  std::int64_t most = 0;                   // tokens that there can be
  const std::int32_t* distinct = nullptr;  // and how many there are, of the device
  const std::int32_t* words = nullptr;
  const std::int32_t* starts = nullptr;  // distinct + 1
  const std::int32_t* rows = nullptr;
};
// d_words += and d_positions =, from the gradient of the embedded rows before dropout.
cudaError_t LaunchEmbeddingBackward(cudaStream_t stream, const Embedding& e, const TokenRows& order,
                                    const float* d, float* d_words, float* d_positions);

// ---- kernels_gpt_norm.cu ----

// stream = residual + dropout(branch), then y = norm(stream). Without a branch the residual is the
// stream, and nothing is written there.
struct FusedNorm {
  std::int64_t rows = 0, width = 0;
  const Bf16* residual = nullptr;
  const Bf16* branch = nullptr;
  Bf16* stream = nullptr;
  const float* gain = nullptr;
  const float* bias = nullptr;
  Bf16* y = nullptr;
  float* mean = nullptr;
  float* rstd = nullptr;
  Dropout dropout;
};
cudaError_t LaunchFusedNorm(cudaStream_t stream, const FusedNorm& n);
// y again, from a stream (as the residual, without a branch) whose mean and rstd are kept: the same
// bits.
cudaError_t LaunchNormAgain(cudaStream_t stream, const FusedNorm& n);

// d_stream = or += what passes back through the norm; d_branch = dropout of d_stream, for the
// operation that the stream came out of.
struct FusedNormBackward {
  std::int64_t rows = 0, width = 0;
  const Bf16* x = nullptr;  // the stream
  const float* gain = nullptr;
  const float* mean = nullptr;
  const float* rstd = nullptr;
  const Bf16* dy = nullptr;
  float* d_stream = nullptr;
  bool accumulate = true;
  Bf16* d_branch = nullptr;  // null: none
  Dropout dropout;
  float* d_gain = nullptr;
  float* d_bias = nullptr;
  float* scratch = nullptr;  // 2 x ColumnScratch(rows, width)
};
cudaError_t LaunchFusedNormBackward(cudaStream_t stream, const FusedNormBackward& n);

// ---- kernels_gpt_attention.cu ----

constexpr std::int64_t kMostHeadSize = 128;
cudaError_t LaunchAttention(cudaStream_t stream, const AttentionPass& a);
cudaError_t LaunchAttentionBackward(cudaStream_t stream, const AttentionPass& a);
// Launches them.
std::unique_ptr<Attention> MakeOwnAttention();

// ---- kernels_gpt_head.cu ----

// Loss and its gradient of a chunk of logits. A row has `vocabulary` logits and is `stride` long;
// what lies beyond becomes 0. With scale 0 the logits stay.
struct HeadLoss {
  std::int64_t first_row = 0, rows = 0;  // of the slot
  std::int64_t vocabulary = 0, stride = 0, context = 0;
  const std::int32_t* tokens = nullptr;  // batch x (context + 1)
  Bf16* logits = nullptr;                // becomes its gradient
  float scale = 0;
  double* losses = nullptr;  // of all rows of the slot
};
cudaError_t LaunchHeadLoss(cudaStream_t stream, const HeadLoss& h);
// *sum = the losses in row order.
cudaError_t LaunchLossSum(cudaStream_t stream, const double* losses, std::int64_t rows,
                          double* sum);

}  // namespace muster::cuda
