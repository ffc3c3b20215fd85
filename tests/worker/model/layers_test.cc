// Linear, LayerNorm and attention against naive loops in double, over odd shapes.
#include "worker/model/layers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "operator/base/rng.h"

namespace muster::model {
namespace {

using Values = std::vector<float>;

Values RandomValues(std::int64_t n, std::uint64_t seed) {
  base::SplitMix random(seed);
  Values values(static_cast<std::size_t>(n));
  for (float& v : values) v = static_cast<float>(2 * random.Uniform() - 1);
  return values;
}

void ExpectNear(const Values& actual, const std::vector<double>& expected, const char* what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], 2e-5 * (1 + std::abs(expected[i]))) << what << " " << i;
  }
}

struct LinearShape {
  std::int64_t rows, in, out;
};

class LinearTest : public testing::TestWithParam<LinearShape> {};

TEST_P(LinearTest, ForwardAndBackwardAgreeWithLoops) {
  const auto [rows, in, out] = GetParam();
  const Values x = RandomValues(rows * in, 1), w = RandomValues(in * out, 2);
  const Values bias = RandomValues(out, 3), dy = RandomValues(rows * out, 4);
  std::vector<double> y(static_cast<std::size_t>(rows * out)), dx(x.size()), dw(w.size()),
      db(bias.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t o = 0; o < out; ++o) {
      double sum = bias[o];
      const double d = dy[r * out + o];
      db[o] += d;
      for (std::int64_t i = 0; i < in; ++i) {
        sum += static_cast<double>(x[r * in + i]) * w[i * out + o];
        dx[r * in + i] += d * w[i * out + o];
        dw[i * out + o] += d * x[r * in + i];
      }
      y[r * out + o] = sum;
    }
  }
  Device device(2);
  const Linear linear{rows, in, out, w.data(), bias.data()};
  Values got_y(y.size(), 7), got_dx(x.size(), 7), got_dw(w.size(), 7), got_db(bias.size(), 7);
  std::vector<int> seen(y.size(), 0);
  LinearForward(device, linear, x.data(), got_y.data(), [&](const kernels::Tile& t) {
    for (std::int64_t r = t.row; r < t.row + t.rows; ++r) {
      for (std::int64_t c = t.column; c < t.column + t.columns; ++c) ++seen[r * out + c];
    }
  });
  LinearBackward(device, linear, x.data(), dy.data(), got_dx.data(), got_dw.data(), got_db.data());
  ExpectNear(got_y, y, "y");
  ExpectNear(got_dx, dx, "dx");
  ExpectNear(got_dw, dw, "dw");
  ExpectNear(got_db, db, "db");
  EXPECT_EQ(seen, std::vector<int>(y.size(), 1)) << "tiles cover the result once";
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearTest,
                         testing::Values(LinearShape{1, 1, 1}, LinearShape{3, 5, 7},
                                         LinearShape{16, 16, 48}, LinearShape{33, 40, 129},
                                         LinearShape{65, 17, 500}, LinearShape{400, 20, 30}));

class NormTest : public testing::TestWithParam<std::int64_t> {};

TEST_P(NormTest, ForwardAndBackwardAgreeWithLoops) {
  const std::int64_t width = GetParam(), rows = 67;
  const Values x = RandomValues(rows * width, 1), gain = RandomValues(width, 2);
  const Values bias = RandomValues(width, 3), dy = RandomValues(rows * width, 4);
  const Values before = RandomValues(rows * width, 5);
  const double n = static_cast<double>(width);
  std::vector<double> y(x.size()), dx(before.begin(), before.end()), dgain(gain.size()),
      dbias(bias.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    double mean = 0, variance = 0, a = 0, b = 0;
    for (std::int64_t i = 0; i < width; ++i) mean += x[r * width + i] / n;
    for (std::int64_t i = 0; i < width; ++i) variance += std::pow(x[r * width + i] - mean, 2) / n;
    const double rstd = 1 / std::sqrt(variance + 1e-5);
    for (std::int64_t i = 0; i < width; ++i) {
      const double normal = (x[r * width + i] - mean) * rstd, d = dy[r * width + i];
      y[r * width + i] = normal * gain[i] + bias[i];
      dgain[i] += d * normal;
      dbias[i] += d;
      a += d * gain[i] / n;
      b += d * gain[i] * normal / n;
    }
    for (std::int64_t i = 0; i < width; ++i) {
      const double normal = (x[r * width + i] - mean) * rstd, d = dy[r * width + i];
      dx[r * width + i] += rstd * (d * gain[i] - a - normal * b);
    }
  }
  Device device(2);
  const Norm norm{rows, width, gain.data(), bias.data()};
  Values got_y(x.size()), mean(rows), rstd(rows), got_dx = before, got_gain(gain.size(), 7),
                                                  got_bias(bias.size(), 7);
  NormForward(device, norm, x.data(), got_y.data(), mean.data(), rstd.data());
  NormBackward(device, norm, x.data(), mean.data(), rstd.data(), dy.data(), got_dx.data(),
               got_gain.data(), got_bias.data());
  ExpectNear(got_y, y, "y");
  ExpectNear(got_dx, dx, "dx");
  ExpectNear(got_gain, dgain, "dgain");
  ExpectNear(got_bias, dbias, "dbias");
}

INSTANTIATE_TEST_SUITE_P(Widths, NormTest, testing::Values(8, 13, 16, 128, 195, 1300));

// Forward in double for given q, k, v; what the backward pass is differentiated from.
std::vector<double> NaiveAttention(const Attention& a, const std::vector<double>& qkv) {
  const std::int64_t size = a.width / a.heads;
  std::vector<double> y(static_cast<std::size_t>(a.batch * a.context * a.width));
  for (std::int64_t i = 0; i < a.batch * a.heads; ++i) {
    const std::int64_t first = i / a.heads * a.context, head = i % a.heads * size;
    for (std::int64_t t = 0; t < a.context; ++t) {
      std::vector<double> p(static_cast<std::size_t>(t + 1));
      double sum = 0;
      for (std::int64_t s = 0; s <= t; ++s) {
        double dot = 0;
        for (std::int64_t j = 0; j < size; ++j) {
          dot += qkv[(first + t) * 3 * a.width + head + j] *
                 qkv[(first + s) * 3 * a.width + a.width + head + j];
        }
        sum += p[s] = std::exp(dot / std::sqrt(static_cast<double>(size)));
      }
      for (std::int64_t s = 0; s <= t; ++s) {
        for (std::int64_t j = 0; j < size; ++j) {
          y[(first + t) * a.width + head + j] +=
              p[s] / sum * qkv[(first + s) * 3 * a.width + 2 * a.width + head + j];
        }
      }
    }
  }
  return y;
}

TEST(AttentionTest, ForwardAgreesWithLoopsAndBackwardWithDifferences) {
  for (const Attention& a :
       {Attention{1, 1, 1, 4}, Attention{2, 9, 3, 15}, Attention{2, 19, 2, 32}}) {
    const std::int64_t rows = a.batch * a.context;
    const Values qkv = RandomValues(rows * 3 * a.width, 1), dy = RandomValues(rows * a.width, 2);
    const std::vector<double> exact(qkv.begin(), qkv.end());
    Device device(2);
    Values p(a.probabilities(), 7), y(rows * a.width, 7), scratch(a.probabilities(), 7),
        dqkv(qkv.size(), 7);
    AttentionForward(device, a, qkv.data(), p.data(), y.data());
    AttentionBackward(device, a, qkv.data(), p.data(), dy.data(), scratch.data(), dqkv.data());
    ExpectNear(y, NaiveAttention(a, exact), "y");
    const auto value = [&](const std::vector<double>& at) {
      double sum = 0;
      const std::vector<double> out = NaiveAttention(a, at);
      for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * dy[i];
      return sum;
    };
    for (std::size_t i = 0; i < qkv.size(); i += 7) {
      std::vector<double> more = exact, less = exact;
      more[i] += 1e-4;
      less[i] -= 1e-4;
      ASSERT_NEAR(dqkv[i], (value(more) - value(less)) / 2e-4, 1e-5) << i;
    }
  }
}

}  // namespace
}  // namespace muster::model
