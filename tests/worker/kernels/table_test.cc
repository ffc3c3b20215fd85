// Every kernel of every table: equal bits with the scalar twin, and agreement with formulas in
// double.
#include "worker/kernels/table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "operator/base/rng.h"

namespace muster::kernels {
namespace {

using Values = std::vector<float>;

// Lengths around every vector width, and beyond a block of a sum.
const std::int64_t kLengths[] = {1,  2,  7,  8,   9,    15,   16,   17,
                                 31, 33, 64, 100, 1023, 1024, 1025, 2500};

Values RandomValues(std::int64_t n, std::uint64_t seed, float scale = 3) {
  base::SplitMix random(seed);
  Values values(static_cast<std::size_t>(n));
  for (float& v : values) v = scale * static_cast<float>(2 * random.Uniform() - 1);
  return values;
}

// Ordinary values with infinities, NaN, zeros, denormals and limits strewn in.
Values EdgeValues(std::int64_t n) {
  using Limits = std::numeric_limits<float>;
  const float edges[] = {0.0f,
                         -0.0f,
                         Limits::denorm_min(),
                         -Limits::min(),
                         Limits::max(),
                         Limits::lowest(),
                         Limits::infinity(),
                         -Limits::infinity(),
                         Limits::quiet_NaN(),
                         88.8f,
                         -87.5f,
                         1e-20f};
  Values values = RandomValues(n, 77, 100);
  for (std::size_t i = 0; i < values.size(); i += 2) values[i] = edges[i / 2 % std::size(edges)];
  return values;
}

// NaNs of any payload count as equal: which operand's payload survives is not IEEE's business.
void ExpectSameBits(const Values& a, const Values& b, const char* what) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    ASSERT_EQ(std::memcmp(&a[i], &b[i], sizeof(float)), 0)
        << what << " differs at " << i << " of " << a.size() << ": " << a[i] << " and " << b[i];
  }
}

// All results of one table on given inputs, concatenated.
Values RunAll(const Kernels& k, std::int64_t n, const Values& x, const Values& y) {
  const std::size_t size = static_cast<std::size_t>(n);
  Values all, out(size), out2(size);
  const auto keep = [&](const Values& v) { all.insert(all.end(), v.begin(), v.end()); };
  k.exp(x.data(), out.data(), n);
  keep(out);
  k.gelu(x.data(), out.data(), n);
  keep(out);
  k.gelu_backward(x.data(), y.data(), out.data(), n);
  keep(out);
  float mean = 0, rstd = 0;
  k.layer_norm(x.data(), y.data(), y.data(), out.data(), &mean, &rstd, n);
  keep(out);
  keep({mean, rstd});
  out = y;
  k.layer_norm_backward(x.data(), y.data(), y.data(), mean, rstd, out.data(), n);
  keep(out);
  out = x;
  k.softmax(out.data(), 0.7f, n);
  keep(out);
  out2 = y;
  k.softmax_backward(out.data(), out2.data(), 0.7f, n);
  keep(out2);
  out = x;
  const double loss = k.cross_entropy(out.data(), n / 2, 0.25f, n);
  keep(out);
  keep({static_cast<float>(loss)});
  out = y;
  k.add(x.data(), out.data(), n);
  keep(out);
  const AdamWConstants c{0.9f, 0.1f, 0.95f, 0.05f, 0.5f, 1e-3f, 1.7f, 1e-8f, 0.999f};
  Values w = y, m = y, v(size, 0.25f);
  k.adamw(c, x.data(), w.data(), m.data(), v.data(), n);
  keep(w);
  keep(m);
  keep(v);
  return all;
}

TEST(TableTest, EveryTableGivesTheScalarTwinsBits) {
  ASSERT_STREQ(SupportedKernels().front()->name, "scalar");
  for (const Kernels* table : SupportedKernels()) {
    for (std::int64_t n : kLengths) {
      const Values x = RandomValues(n, 1), y = RandomValues(n, 2);
      ExpectSameBits(RunAll(*table, n, x, y), RunAll(*SupportedKernels().front(), n, x, y),
                     table->name);
      const Values edges = EdgeValues(n);
      ExpectSameBits(RunAll(*table, n, edges, y), RunAll(*SupportedKernels().front(), n, edges, y),
                     table->name);
    }
  }
}

TEST(TableTest, ColumnsGiveTheScalarTwinsBitsAndTheSumsOfColumns) {
  const std::int64_t stride = 50;
  for (std::int64_t rows : {1, 31, 32, 33, 100}) {
    const Values x = RandomValues(rows * stride, 1), dy = RandomValues(rows * stride, 2);
    const Values mean = RandomValues(rows, 3), rstd = RandomValues(rows, 4);
    for (std::int64_t n : {1, 8, 17, 50}) {
      Values first;
      for (const Kernels* table : SupportedKernels()) {
        Values gain(n), bias(n), sum(n);
        table->layer_norm_columns(x.data(), dy.data(), stride, mean.data(), rstd.data(), rows,
                                  gain.data(), bias.data(), n);
        table->column_sum(dy.data(), stride, rows, sum.data(), n);
        ExpectSameBits(sum, bias, table->name);
        if (first.empty()) first = gain;
        ExpectSameBits(gain, first, table->name);
        for (std::int64_t i = 0; i < n; ++i) {
          double exact = 0, exact_gain = 0;
          for (std::int64_t r = 0; r < rows; ++r) {
            const double d = dy[r * stride + i];
            exact += d;
            exact_gain += d * (static_cast<double>(x[r * stride + i]) - mean[r]) * rstd[r];
          }
          ASSERT_NEAR(sum[i], exact, 1e-4);
          ASSERT_NEAR(gain[i], exact_gain, 1e-3);
        }
      }
    }
  }
}

TEST(TableTest, GeluAndItsDerivativeAreTheTanhForm) {
  const auto gelu = [](double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  };
  Values x, dy, y(20001), dx(20001);
  for (int i = -10000; i <= 10000; ++i) x.push_back(static_cast<float>(i) * 0.0012f);
  dy.assign(x.size(), 2.0f);
  const std::int64_t n = static_cast<std::int64_t>(x.size());
  BestKernels().gelu(x.data(), y.data(), n);
  BestKernels().gelu_backward(x.data(), dy.data(), dx.data(), n);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    ASSERT_NEAR(y[i], gelu(at), 1e-6 * (1 + std::abs(at))) << at;
    ASSERT_NEAR(dx[i], 2 * (gelu(at + 1e-5) - gelu(at - 1e-5)) / 2e-5, 5e-6) << at;
  }
}

TEST(TableTest, SoftmaxAndCrossEntropyAgreeWithDoubles) {
  for (std::int64_t n : kLengths) {
    const Values x = RandomValues(n, 5, 20);
    double max = -1e9, sum = 0;
    for (float v : x) max = std::max<double>(max, v);
    for (float v : x) sum += std::exp(v - max);
    Values p = x;
    BestKernels().softmax(p.data(), 1.0f, n);
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(p[i], std::exp(x[i] - max) / sum, 1e-6) << n;
    }
    const std::size_t target = static_cast<std::size_t>(n / 3);
    Values d = x, untouched = x;
    const double loss = BestKernels().cross_entropy(d.data(), n / 3, 0.5f, n);
    ASSERT_NEAR(loss, std::log(sum) + max - x[target], 1e-5);
    ASSERT_EQ(BestKernels().cross_entropy(untouched.data(), n / 3, 0.0f, n), loss);
    ASSERT_EQ(untouched, x) << "an evaluation changes nothing";
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(d[i], 0.5 * (std::exp(x[i] - max) / sum - (i == target)), 1e-6);
    }
  }
}

}  // namespace
}  // namespace muster::kernels
