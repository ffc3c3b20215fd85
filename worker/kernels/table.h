// The element-wise and row kernels as a table of functions, one table per instruction set.
//
// All tables give the same bits: they use IEEE additions, products, divisions and square roots
// only, in one order (no fused multiply-add, sums over kLanes fixed lanes), so the choice is about
// speed alone. Thread rule: functions of their arguments; callers cut rows and blocks (E3: by
// shape, never by threads).
#pragma once

#include <cstdint>
#include <span>

namespace muster::kernels {

// Sums over a row go through this many partial sums, whatever the vector width, then a fixed tree.
inline constexpr int kLanes = 16;

// What one AdamW pass is computed with; made by worker/train from options in double.
struct AdamWConstants {
  float beta1 = 0;
  float one_minus_beta1 = 0;
  float beta2 = 0;
  float one_minus_beta2 = 0;
  float gradient_scale = 1;
  float step_size = 0;            // learning rate / (1 - beta1^update)
  float inverse_correction2 = 0;  // 1 / (1 - beta2^update)
  float epsilon = 0;
  float keep = 1;  // 1 - learning rate x weight decay
};

struct Kernels {
  const char* name;  // "scalar", "avx2", "avx512"

  // y = exp(x); y = gelu(x) (the tanh form); dx = dy x gelu'(x).
  void (*exp)(const float* x, float* y, std::int64_t n);
  void (*gelu)(const float* x, float* y, std::int64_t n);
  void (*gelu_backward)(const float* x, const float* dy, float* dx, std::int64_t n);

  // y = (x - mean) x rstd x gain + bias over one row; mean and rstd are returned for the way back.
  void (*layer_norm)(const float* x, const float* gain, const float* bias, float* y, float* mean,
                     float* rstd, std::int64_t n);
  // dx += what the row's norm passes back.
  void (*layer_norm_backward)(const float* x, const float* gain, const float* dy, float mean,
                              float rstd, float* dx, std::int64_t n);
  // gain and bias gradients of columns [0, n) over rows: chunks of kRowChunk rows, then a sum of
  // chunks.
  void (*layer_norm_columns)(const float* x, const float* dy, std::int64_t stride,
                             const float* mean, const float* rstd, std::int64_t rows, float* dgain,
                             float* dbias, std::int64_t n);
  // Column sums over rows in the same shape.
  void (*column_sum)(const float* x, std::int64_t stride, std::int64_t rows, float* sum,
                     std::int64_t n);

  // In place: x = softmax(scale x x) over n elements. Largest element first, so it never overflows.
  void (*softmax)(float* x, float scale, std::int64_t n);
  // In place on dp: ds = scale x p x (dp - sum(p x dp)).
  void (*softmax_backward)(const float* p, float* dp, float scale, std::int64_t n);
  // In place: x = (softmax(x) - onehot(target)) x scale, or x untouched when scale is 0.
  // Returns the loss -log softmax(x)[target] in nats.
  double (*cross_entropy)(float* x, std::int64_t target, float scale, std::int64_t n);

  void (*add)(const float* x, float* y, std::int64_t n);  // y += x
  void (*adamw)(const AdamWConstants& c, const float* g, float* w, float* m, float* v,
                std::int64_t n);
};

// Rows that one partial sum of a column covers.
inline constexpr std::int64_t kRowChunk = 32;

// Every table that this CPU can run, the plain one first, the fastest last.
std::span<const Kernels* const> SupportedKernels();
// The fastest.
const Kernels& BestKernels();

}  // namespace muster::kernels
