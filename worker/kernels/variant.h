// The body of every kernel table, as templates over the vector width. Included by variant_*.cc
// alone.
//
// Each of those files is compiled for its own instruction set, so nothing here may leave a copy
// that the linker could share: all is in an unnamed namespace, and no template of the standard
// library is used. Sums run over kLanes lanes in blocks of kSumBlock elements, then over a fixed
// tree (E3).
#pragma once

#include <cstdint>
#include <cstring>

#include "worker/kernels/math.h"
#include "worker/kernels/table.h"

namespace muster::kernels {
namespace {

template <int W>
struct Vector {
  typedef float F __attribute__((vector_size(4 * W)));
  typedef std::uint32_t U __attribute__((vector_size(4 * W)));
};
template <>
struct Vector<1> {
  using F = float;
  using U = std::uint32_t;
};

}  // namespace

#if MUSTER_WIDTH > 1
template <>
struct BitsOf<Vector<MUSTER_WIDTH>::F> {
  using type = Vector<MUSTER_WIDTH>::U;
};
#endif

namespace {

constexpr std::int64_t kSumBlock = 1024;
constexpr float kNormEpsilon = 1e-5f;
constexpr float kMinusInfinity = -__builtin_inff();

template <int W>
struct Variant {
  using F = typename Vector<W>::F;
  static constexpr int kParts = kLanes / W;

  struct Lanes {
    F part[kParts];
  };

  MUSTER_INLINE static F Load(const float* x) {
    F v;
    std::memcpy(&v, x, sizeof v);
    return v;
  }
  MUSTER_INLINE static void Store(F v, float* x) { std::memcpy(x, &v, sizeof v); }
  // The first `left` elements, the rest `fill`; left may be 0 or less.
  MUSTER_INLINE static F LoadSome(const float* x, std::int64_t left, float fill) {
    if (left >= W) return Load(x);
    float lanes[W];
    for (int i = 0; i < W; ++i) lanes[i] = i < left ? x[i] : fill;
    return Load(lanes);
  }
  MUSTER_INLINE static void StoreSome(F v, float* x, std::int64_t left) {
    if (left >= W) return Store(v, x);
    float lanes[W];
    Store(v, lanes);
    for (int i = 0; i < left; ++i) x[i] = lanes[i];
  }
  MUSTER_INLINE static F Sqrt(F v) {
    float lanes[W];
    Store(v, lanes);
    for (int i = 0; i < W; ++i) lanes[i] = __builtin_sqrtf(lanes[i]);
    return Load(lanes);
  }

  // y[i] = f(x[i]...) with whole vectors and one padded tail.
  template <typename Body>
  MUSTER_INLINE static void ForEach(std::int64_t n, const Body& body) {
    std::int64_t i = 0;
    for (; i + W <= n; i += W) body(i, static_cast<std::int64_t>(W));
    if (i < n) body(i, n - i);
  }

  MUSTER_INLINE static float Tree(const Lanes& lanes) {
    float s[kLanes];
    std::memcpy(s, &lanes, sizeof s);
    for (int width = kLanes / 2; width >= 1; width /= 2) {
      for (int i = 0; i < width; ++i) s[i] += s[i + width];
    }
    return s[0];
  }

  // Sum of term(i, left) over a row; a term past the end must be zero.
  template <typename Term>
  MUSTER_INLINE static float Sum(std::int64_t n, const Term& term) {
    Lanes total{};
    for (std::int64_t block = 0; block < n; block += kSumBlock) {
      const std::int64_t end = block + kSumBlock < n ? block + kSumBlock : n;
      Lanes sum{};
      for (std::int64_t i = block; i < end; i += kLanes) {
        for (int p = 0; p < kParts; ++p) sum.part[p] += term(i + p * W, end - i - p * W);
      }
      for (int p = 0; p < kParts; ++p) total.part[p] += sum.part[p];
    }
    return Tree(total);
  }

  MUSTER_INLINE static float Max(const float* x, std::int64_t n) {
    F best = F{} + kMinusInfinity;
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      const F v = LoadSome(x + i, left, kMinusInfinity);
      best = v > best ? v : best;
    });
    float lanes[W];
    Store(best, lanes);
    float max = lanes[0];
    for (int i = 1; i < W; ++i) max = lanes[i] > max ? lanes[i] : max;
    return max;
  }

  static void ExpAll(const float* x, float* y, std::int64_t n) {
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      StoreSome(Exp<F>(LoadSome(x + i, left, 0)), y + i, left);
    });
  }

  // 0.5 (1 + tanh u) = 1 / (1 + e^-2u): one exp, and no cancellation for negative u.
  MUSTER_INLINE static F GeluGate(F x) {
    const F minus_2u = x * -1.5957691216f * (1.0f + 0.044715f * (x * x));
    return 1.0f / (1.0f + Exp<F>(minus_2u));
  }
  static void Gelu(const float* x, float* y, std::int64_t n) {
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      const F v = LoadSome(x + i, left, 0);
      StoreSome(v * GeluGate(v), y + i, left);
    });
  }
  static void GeluBackward(const float* x, const float* dy, float* dx, std::int64_t n) {
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      const F v = LoadSome(x + i, left, 0);
      const F gate = GeluGate(v);
      const F slope = 1.5957691216f * (1.0f + 0.134145f * (v * v));  // d(2u)/dx
      const F derivative = gate + v * (gate * (1.0f - gate)) * slope;
      StoreSome(LoadSome(dy + i, left, 0) * derivative, dx + i, left);
    });
  }

  static void LayerNorm(const float* x, const float* gain, const float* bias, float* y,
                        float* mean_out, float* rstd_out, std::int64_t n) {
    const float count = static_cast<float>(n);
    const float mean =
        Sum(n, [&](std::int64_t i, std::int64_t left) { return LoadSome(x + i, left, 0); }) / count;
    const float variance = Sum(n,
                               [&](std::int64_t i, std::int64_t left) {
                                 const F d = LoadSome(x + i, left, mean) - mean;
                                 return d * d;
                               }) /
                           count;
    const float rstd = 1.0f / __builtin_sqrtf(variance + kNormEpsilon);
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      const F normal = (LoadSome(x + i, left, 0) - mean) * rstd;
      StoreSome(normal * LoadSome(gain + i, left, 0) + LoadSome(bias + i, left, 0), y + i, left);
    });
    *mean_out = mean;
    *rstd_out = rstd;
  }

  static void LayerNormBackward(const float* x, const float* gain, const float* dy, float mean,
                                float rstd, float* dx, std::int64_t n) {
    const auto scaled = [&](std::int64_t i, std::int64_t left) {
      return LoadSome(dy + i, left, 0) * LoadSome(gain + i, left, 0);
    };
    const auto normal = [&](std::int64_t i, std::int64_t left) {
      return (LoadSome(x + i, left, mean) - mean) * rstd;
    };
    const float count = static_cast<float>(n);
    const float a = Sum(n, scaled) / count;
    const float b = Sum(n, [&](std::int64_t i,
                               std::int64_t left) { return scaled(i, left) * normal(i, left); }) /
                    count;
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      const F passed = (scaled(i, left) - a - normal(i, left) * b) * rstd;
      StoreSome(LoadSome(dx + i, left, 0) + passed, dx + i, left);
    });
  }

  static void LayerNormColumns(const float* x, const float* dy, std::int64_t stride,
                               const float* mean, const float* rstd, std::int64_t rows,
                               float* dgain, float* dbias, std::int64_t n) {
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      F gain_total = F{}, bias_total = F{};
      for (std::int64_t chunk = 0; chunk < rows; chunk += kRowChunk) {
        const std::int64_t end = chunk + kRowChunk < rows ? chunk + kRowChunk : rows;
        F gain_sum = F{}, bias_sum = F{};
        for (std::int64_t r = chunk; r < end; ++r) {
          const F d = LoadSome(dy + r * stride + i, left, 0);
          gain_sum += d * ((LoadSome(x + r * stride + i, left, 0) - mean[r]) * rstd[r]);
          bias_sum += d;
        }
        gain_total += gain_sum;
        bias_total += bias_sum;
      }
      StoreSome(gain_total, dgain + i, left);
      StoreSome(bias_total, dbias + i, left);
    });
  }

  static void ColumnSum(const float* x, std::int64_t stride, std::int64_t rows, float* sum,
                        std::int64_t n) {
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      F total = F{};
      for (std::int64_t chunk = 0; chunk < rows; chunk += kRowChunk) {
        const std::int64_t end = chunk + kRowChunk < rows ? chunk + kRowChunk : rows;
        F partial = F{};
        for (std::int64_t r = chunk; r < end; ++r) partial += LoadSome(x + r * stride + i, left, 0);
        total += partial;
      }
      StoreSome(total, sum + i, left);
    });
  }

  // x = exp(scale x (x - max)) in place where `keep`; returns the sum.
  template <bool keep>
  MUSTER_INLINE static float Exponentials(float* x, float scale, float max, std::int64_t n) {
    return Sum(n, [&](std::int64_t i, std::int64_t left) {
      const F e = Exp<F>((LoadSome(x + i, left, kMinusInfinity) - max) * scale);
      if constexpr (keep) StoreSome(e, x + i, left);
      return e;
    });
  }
  MUSTER_INLINE static void Scale(float* x, float factor, std::int64_t n) {
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      StoreSome(LoadSome(x + i, left, 0) * factor, x + i, left);
    });
  }

  static void Softmax(float* x, float scale, std::int64_t n) {
    const float sum = Exponentials<true>(x, scale, Max(x, n), n);
    Scale(x, 1.0f / sum, n);
  }

  static void SoftmaxBackward(const float* p, float* dp, float scale, std::int64_t n) {
    const float dot = Sum(n, [&](std::int64_t i, std::int64_t left) {
      return LoadSome(p + i, left, 0) * LoadSome(dp + i, left, 0);
    });
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      const F ds = LoadSome(p + i, left, 0) * (LoadSome(dp + i, left, 0) - dot) * scale;
      StoreSome(ds, dp + i, left);
    });
  }

  static double CrossEntropy(float* x, std::int64_t target, float scale, std::int64_t n) {
    const float max = Max(x, n);
    const double logit = static_cast<double>(x[target]) - static_cast<double>(max);
    if (scale == 0.0f) return Log(Exponentials<false>(x, 1.0f, max, n)) - logit;
    const float sum = Exponentials<true>(x, 1.0f, max, n);
    Scale(x, scale / sum, n);
    x[target] -= scale;
    return Log(sum) - logit;
  }

  static void Add(const float* x, float* y, std::int64_t n) {
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      StoreSome(LoadSome(y + i, left, 0) + LoadSome(x + i, left, 0), y + i, left);
    });
  }

  static void AdamW(const AdamWConstants& c, const float* g, float* w, float* m, float* v,
                    std::int64_t n) {
    ForEach(n, [&](std::int64_t i, std::int64_t left) {
      const F gradient = LoadSome(g + i, left, 0) * c.gradient_scale;
      const F m1 = LoadSome(m + i, left, 0) * c.beta1 + gradient * c.one_minus_beta1;
      const F v1 = LoadSome(v + i, left, 0) * c.beta2 + gradient * gradient * c.one_minus_beta2;
      const F root = Sqrt(v1 * c.inverse_correction2) + c.epsilon;
      StoreSome(LoadSome(w + i, left, 0) * c.keep - m1 * c.step_size / root, w + i, left);
      StoreSome(m1, m + i, left);
      StoreSome(v1, v + i, left);
    });
  }
};

template <int W>
constexpr Kernels MakeKernels(const char* name) {
  using V = Variant<W>;
  return {name,
          V::ExpAll,
          V::Gelu,
          V::GeluBackward,
          V::LayerNorm,
          V::LayerNormBackward,
          V::LayerNormColumns,
          V::ColumnSum,
          V::Softmax,
          V::SoftmaxBackward,
          V::CrossEntropy,
          V::Add,
          V::AdamW};
}

}  // namespace

}  // namespace muster::kernels
