// Attention forward and back on the emulator, against the whole matrices in double.
#include <cuda_runtime.h>

#include "tests/worker/cuda/on_device.h"
#include "worker/cuda/kernels_gpt.h"

namespace muster::cuda {
namespace {

struct AttentionCase {
  std::int64_t batch, context, heads, size;
  std::int64_t width() const { return heads * size; }
  std::int64_t rows() const { return batch * context; }
};

struct AttentionNumbers {
  std::vector<double> out, lse, d_qkv;
};

// One head of one sample by its definition; `out` and `d_out` are as bfloat16 has them, since the
// way back starts from those.
class ReferenceHead {
 public:
  ReferenceHead(const AttentionCase& c, std::int64_t sample, std::int64_t head,
                const std::vector<float>& qkv, AttentionNumbers& to)
      : c_(c),
        row_(sample * c.context),
        column_(head * c.size),
        stat_((sample * c.heads + head) * c.context),
        qkv_(qkv),
        to_(to) {}

  void Forward() {
    const auto size = static_cast<std::size_t>(c_.context * c_.context);
    p_.assign(size, 0);
    for (std::int64_t t = 0; t < c_.context; ++t) {
      double sum = 0;
      for (std::int64_t s = 0; s <= t; ++s) sum += std::exp(Score(t, s));
      to_.lse[static_cast<std::size_t>(stat_ + t)] = std::log(sum);
      for (std::int64_t s = 0; s <= t; ++s) P(t, s) = std::exp(Score(t, s)) / sum;
      for (std::int64_t i = 0; i < c_.size; ++i) {
        double out = 0;
        for (std::int64_t s = 0; s <= t; ++s) out += P(t, s) * Of(2, s, i);
        to_.out[OutAt(t, i)] = out;
      }
    }
  }

  void Backward(const std::vector<float>& d_out) {
    for (std::int64_t t = 0; t < c_.context; ++t) {
      double dot = 0;
      for (std::int64_t i = 0; i < c_.size; ++i) {
        dot += static_cast<double>(d_out[OutAt(t, i)]) * to_.out[OutAt(t, i)];
      }
      for (std::int64_t s = 0; s <= t; ++s) {
        double d_p = 0;
        for (std::int64_t i = 0; i < c_.size; ++i) {
          d_p += static_cast<double>(d_out[OutAt(t, i)]) * Of(2, s, i);
          D(2, s, i) += P(t, s) * static_cast<double>(d_out[OutAt(t, i)]);
        }
        const double d_s = P(t, s) * (d_p - dot) * scale();
        for (std::int64_t i = 0; i < c_.size; ++i) {
          D(0, t, i) += d_s * Of(1, s, i);
          D(1, s, i) += d_s * Of(0, t, i);
        }
      }
    }
  }

 private:
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(c_.size)); }
  std::size_t At(int which, std::int64_t t, std::int64_t i) const {
    return static_cast<std::size_t>((row_ + t) * 3 * c_.width() + which * c_.width() + column_ + i);
  }
  std::size_t OutAt(std::int64_t t, std::int64_t i) const {
    return static_cast<std::size_t>((row_ + t) * c_.width() + column_ + i);
  }
  double Of(int which, std::int64_t t, std::int64_t i) const {
    return static_cast<double>(qkv_[At(which, t, i)]);
  }
  double& D(int which, std::int64_t t, std::int64_t i) { return to_.d_qkv[At(which, t, i)]; }
  double& P(std::int64_t t, std::int64_t s) {
    return p_[static_cast<std::size_t>(t * c_.context + s)];
  }
  double Score(std::int64_t t, std::int64_t s) const {
    double sum = 0;
    for (std::int64_t i = 0; i < c_.size; ++i) sum += Of(0, t, i) * Of(1, s, i);
    return sum * scale();
  }

  const AttentionCase c_;
  const std::int64_t row_, column_, stat_;
  const std::vector<float>& qkv_;
  AttentionNumbers& to_;
  std::vector<double> p_;
};

struct AttentionRun {
  std::vector<float> out, lse, d_qkv;
};

AttentionRun RunAttention(const AttentionCase& c, const std::vector<Bf16>& qkv,
                          const std::vector<Bf16>& d_out) {
  OnDevice<Bf16> in(qkv), d(d_out), out(d_out.size()), d_qkv(qkv.size());
  OnDevice<float> lse(static_cast<std::size_t>(c.rows() * c.heads));
  OnDevice<float> dot(static_cast<std::size_t>(c.rows() * c.heads));
  AttentionPass pass;
  pass.batch = c.batch;
  pass.context = c.context;
  pass.heads = c.heads;
  pass.width = c.width();
  pass.qkv = in.data();
  pass.out = out.data();
  pass.lse = lse.data();
  pass.d_out = d.data();
  pass.d_dot = dot.data();
  pass.d_qkv = d_qkv.data();
  EXPECT_EQ(LaunchAttention(nullptr, pass), cudaSuccess);
  EXPECT_EQ(LaunchAttentionBackward(nullptr, pass), cudaSuccess);
  EXPECT_EQ(simt::TakeBreaches(), std::vector<std::string>());
  return {FloatAll(out.Read()), lse.Read(), FloatAll(d_qkv.Read())};
}

// sqrt(sum of squares of the difference / of the expected)
double RelativeError(const std::vector<float>& actual, const std::vector<double>& expected) {
  double off = 0, size = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = static_cast<double>(actual[i]) - expected[i];
    off += difference * difference;
    size += expected[i] * expected[i];
  }
  return std::sqrt(off / size);
}

class CudaAttentionTest : public testing::Test {
 protected:
  ~CudaAttentionTest() override { simt::Configure({}); }
};

void CompareAttention(const AttentionCase& c, float range) {
  SCOPED_TRACE(testing::Message() << c.batch << " samples of " << c.context << ", " << c.heads
                                  << " heads of " << c.size);
  const auto out_size = static_cast<std::size_t>(c.rows() * c.width());
  const std::vector<Bf16> qkv = RandomBf16(3 * out_size, 11, range);
  const std::vector<Bf16> d_out = RandomBf16(out_size, 12);
  const AttentionRun run = RunAttention(c, qkv, d_out);
  AttentionNumbers expected;
  expected.out.resize(out_size);
  expected.lse.resize(static_cast<std::size_t>(c.rows() * c.heads));
  expected.d_qkv.resize(3 * out_size);
  const std::vector<float> in = FloatAll(qkv), d = FloatAll(d_out);
  for (std::int64_t i = 0; i < c.batch * c.heads; ++i) {
    ReferenceHead head(c, i / c.heads, i % c.heads, in, expected);
    head.Forward();
    head.Backward(d);
  }
  // Weights and outputs are rounded to bfloat16 once each (2^-9 relative); values are within range.
  ExpectNear(run.out, expected.out, static_cast<double>(range) * kBf16, kBf16, "out");
  ExpectNear(run.lse, expected.lse, 1e-5, 1e-5, "lse");
  // Gradients of scores are differences of rounded numbers, so they are judged as a whole.
  EXPECT_LT(RelativeError(run.d_qkv, expected.d_qkv), 2 * kBf16);
}

TEST_F(CudaAttentionTest, IsThatOfItsDefinitionForHeadsOfAllSizes) {
  for (std::int64_t size = 16; size <= kMostHeadSize; size += 16) {
    CompareAttention({1, 33, 1, size}, 1);
  }
}

TEST_F(CudaAttentionTest, IsThatOfItsDefinitionAtEveryEdgeOfABlock) {
  for (const std::int64_t context : {1, 2, 16, 31, 32, 63, 64, 65, 129}) {
    CompareAttention({2, context, 2, 16}, 1);
  }
  // Heads above 64 go over the other side in pieces of 32.
  for (const std::int64_t context : {31, 32, 64, 97, 128}) CompareAttention({1, context, 1, 80}, 1);
}

TEST_F(CudaAttentionTest, StandsScoresWhoseExponentialsOverflow) {
  // Scores up to some 10 x 10 x 32 / sqrt(32): e^500 is no float.
  CompareAttention({1, 70, 1, 32}, 10);
  // Several pieces, in which greater scores still come.
  CompareAttention({1, 140, 1, 128}, 10);
}

void ExpectSameBitsInAnyOrder(const AttentionCase& c) {
  const auto size = static_cast<std::size_t>(c.rows() * c.width());
  const std::vector<Bf16> qkv = RandomBf16(3 * size, 21), d_out = RandomBf16(size, 22);
  const AttentionRun first = RunAttention(c, qkv, d_out);
  for (const simt::Settings& settings : Orders()) {
    simt::Configure(settings);
    const AttentionRun again = RunAttention(c, qkv, d_out);
    EXPECT_EQ(BitsOf(again.out), BitsOf(first.out));
    EXPECT_EQ(BitsOf(again.lse), BitsOf(first.lse));
    EXPECT_EQ(BitsOf(again.d_qkv), BitsOf(first.d_qkv));
  }
  simt::Configure({});
}

TEST_F(CudaAttentionTest, HasTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  ExpectSameBitsInAnyOrder({2, 40, 2, 32});
  ExpectSameBitsInAnyOrder({1, 140, 1, 64});
  ExpectSameBitsInAnyOrder({1, 100, 2, 80});
}

TEST_F(CudaAttentionTest, ANotANumberStaysInItsSample) {
  const AttentionCase c{2, 8, 1, 16};
  const auto size = static_cast<std::size_t>(c.rows() * c.width());
  std::vector<Bf16> qkv = RandomBf16(3 * size, 31);
  // The query of the second sample's first row.
  qkv[static_cast<std::size_t>(8 * 3 * c.width())] = ToBf16(NAN);
  const AttentionRun run = RunAttention(c, qkv, RandomBf16(size, 32));
  for (std::size_t i = 0; i < size; ++i) {
    EXPECT_EQ(std::isnan(run.out[i]), i / 16 == 8) << i;
  }
}

TEST_F(CudaAttentionTest, RefusesOtherSizesOfHeads) {
  AttentionPass pass;
  pass.batch = pass.context = pass.heads = 1;
  pass.width = 24;
  EXPECT_EQ(LaunchAttention(nullptr, pass), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace muster::cuda
